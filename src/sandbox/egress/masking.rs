//! Secrets masked in what comes piece by piece: also where one begins in a piece and ends in a later one.

use crate::authority::Secret;

/// What stands for each byte of a secret that came back.
pub const MASK: u8 = b'*';

/// Holds back no more than what may be the begin of a secret, so that an event is shown when it comes.
pub struct Masker {
    secrets: Vec<Secret>,
    /// What may be the begin of a secret.
    held: Vec<u8>,
    /// So many of the first bytes of `held` belong to a secret that began before them.
    covered: usize,
}

impl Masker {
    pub fn new(secrets: Vec<Secret>) -> Self {
        Self { secrets, held: Vec::new(), covered: 0 }
    }

    /// The next bytes as they may be shown, without those that the next piece decides about.
    pub fn pass(&mut self, piece: &[u8]) -> Vec<u8> {
        if self.secrets.is_empty() {
            return piece.to_vec();
        }
        self.held.extend_from_slice(piece);
        let keep_from = self.undecided_from();
        let mut shown = self.held.clone();
        shown[..self.covered].fill(MASK);
        let mut covered_to = self.covered;
        for secret in &self.secrets {
            covered_to = covered_to.max(mask(&self.held, secret.expose().as_bytes(), &mut shown, keep_from));
        }
        shown.truncate(keep_from);
        self.held.drain(..keep_from);
        self.covered = covered_to.saturating_sub(keep_from);
        shown
    }

    /// What was held back, where nothing comes after it: the begin of a secret is none.
    pub fn rest(self) -> Vec<u8> {
        let mut shown = self.held.clone();
        shown[..self.covered].fill(MASK);
        // One secret may be within what could have become another.
        for secret in &self.secrets {
            mask(&self.held, secret.expose().as_bytes(), &mut shown, 0);
        }
        shown
    }

    /// Where the longest end begins that may be the begin of a secret.
    fn undecided_from(&self) -> usize {
        let length = self.held.len();
        let longest = |secret: &Secret| {
            let secret = secret.expose().as_bytes();
            let most = length.min(secret.len().saturating_sub(1));
            (1..=most).rev().find(|begin| self.held.ends_with(&secret[..*begin])).unwrap_or(0)
        };
        length - self.secrets.iter().map(longest).max().unwrap_or(0)
    }
}

/// Masks each occurrence, also those that overlap. Returns where the last one ends that begins before `keep_from`: those
/// that begin behind it are found again.
fn mask(text: &[u8], secret: &[u8], shown: &mut [u8], keep_from: usize) -> usize {
    let finder = memchr::memmem::Finder::new(secret);
    let (mut from, mut masked_to, mut covered_to) = (0, 0, 0);
    while let Some(found) = finder.find(&text[from..]) {
        let (begin, end) = (from + found, from + found + secret.len());
        shown[begin.max(masked_to)..end].fill(MASK);
        masked_to = end;
        if begin < keep_from {
            covered_to = end;
        }
        from = begin + 1;
    }
    covered_to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(secrets: &[&str], pieces: &[&str]) -> String {
        let mut masker = Masker::new(secrets.iter().copied().map(Secret::new).collect());
        let mut shown: Vec<u8> = pieces.iter().flat_map(|piece| masker.pass(piece.as_bytes())).collect();
        shown.extend(masker.rest());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn a_secret_is_masked_wherever_it_is_cut() {
        let text = "before abcab and abc, abcabcab after";
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                let shown = passed(&["abcab"], &pieces);
                assert_eq!(shown, "before ***** and abc, ******** after", "{pieces:?}");
            }
        }
        let bytes: Vec<&str> = text.split("").collect();
        assert_eq!(passed(&["abcab"], &bytes), "before ***** and abc, ******** after");
    }

    #[test]
    fn secrets_that_overlap_are_masked_both() {
        let text = "x12345y";
        for cut in 0..=text.len() {
            let pieces = [&text[..cut], &text[cut..]];
            assert_eq!(passed(&["1234", "345"], &pieces), "x*****y", "{pieces:?}");
            assert_eq!(passed(&["345", "1234"], &pieces), "x*****y", "{pieces:?}");
            assert_eq!(passed(&["12345678", "45"], &pieces), "x123**y", "{pieces:?}");
        }
        assert_eq!(passed(&["12345678", "45"], &["x12345"]), "x123**", "it ends where it could become one");
    }

    #[test]
    fn what_cannot_become_a_secret_is_shown_at_once() {
        let mut masker = Masker::new(vec![Secret::new("secret")]);
        assert_eq!(masker.pass(b"data: one\n\n"), b"data: one\n\n");
        assert_eq!(masker.pass(b"data: sec"), b"data: ");
        assert_eq!(masker.pass(b"ond\n\n"), b"second\n\n");
        assert_eq!(masker.pass(b"secre"), b"");
        assert_eq!(masker.rest(), b"secre", "it was none");
    }
}
