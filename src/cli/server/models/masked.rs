//! The key where an endpoint gives it back: masked before it reaches a guest, a log or the store. That is for accidents: an
//! endpoint that gives it back in another form gives it away.

use serde_json::Value;

use crate::authority::Secret;

/// What stands for each byte of it, as in answers to requests of guests.
const MASK: &str = "*";

pub fn masked(text: &str, key: Option<&Secret>) -> String {
    match key.map(Secret::expose) {
        Some(key) if !key.is_empty() => text.replace(key, &MASK.repeat(key.len())),
        _ => text.to_owned(),
    }
}

/// In all texts and names of a document.
pub fn mask(value: &mut Value, key: Option<&Secret>) {
    let Some(secret) = key.map(Secret::expose) else { return };
    match value {
        Value::String(text) if text.contains(secret) => *text = masked(text, key),
        Value::Array(all) => all.iter_mut().for_each(|value| mask(value, key)),
        Value::Object(fields) => {
            for (name, mut value) in std::mem::take(fields) {
                mask(&mut value, key);
                fields.insert(masked(&name, key), value);
            }
        }
        _ => {}
    }
}

/// The same of a text that comes piece by piece: what may be the beginning of the key waits for what comes.
pub struct Masked<'a> {
    key: Option<&'a Secret>,
    held: String,
}

impl<'a> Masked<'a> {
    pub fn new(key: Option<&'a Secret>) -> Self {
        Self { key, held: String::new() }
    }

    /// What of it can be shown.
    pub fn take(&mut self, piece: &str) -> String {
        let Some(key) = self.key.map(Secret::expose) else { return piece.to_owned() };
        self.held.push_str(piece);
        let mut shown = masked(&self.held, self.key);
        // A key is ASCII.
        let is_beginning = |length: &usize| shown.as_bytes().ends_with(&key.as_bytes()[..*length]);
        let begins = (1..key.len()).rev().find(is_beginning).unwrap_or(0);
        self.held = shown.split_off(shown.len() - begins);
        shown
    }

    /// What waited, once nothing more comes.
    pub fn rest(self) -> String {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_masked_wherever_it_stands() {
        let key = Secret::new("sk-canary".to_owned());
        let mut value = json!({"a": ["my key is sk-canary."], "sk-canary": {"b": "sk-can"}});
        mask(&mut value, Some(&key));
        assert_eq!(value, json!({"a": ["my key is *********."], "*********": {"b": "sk-can"}}));
    }

    #[test]
    fn a_key_is_masked_however_it_is_cut() {
        let key = Secret::new("aab-aac".to_owned());
        let text = "x aaab-aac aab-aab-aac\u{e9} aab-aa";
        let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        for first in &cuts {
            for second in cuts.iter().filter(|second| *second >= first) {
                let mut masked = Masked::new(Some(&key));
                let pieces = [&text[..*first], &text[*first..*second], &text[*second..]];
                let shown = pieces.map(|piece| masked.take(piece)).concat() + &masked.rest();
                assert_eq!(shown, "x a******* aab-*******\u{e9} aab-aa", "{pieces:?}");
            }
        }
    }
}
