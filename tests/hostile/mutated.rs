//! Good components with something wrong: bits and bytes, pieces that are lost, doubled or exchanged, and whole sections.

use crate::support::Dice;

/// One or two things are wrong with it; `other` is what it may get pieces from.
pub fn mutated(dice: &mut Dice, good: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=dice.roll(2) {
        if bytes.len() > 16 {
            mutate(dice, &mut bytes, other);
        }
    }
    bytes
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) {
    match dice.roll(10) {
        0 | 1 => {
            let at = place(dice, bytes);
            bytes[at] ^= 1 << dice.roll(8);
        }
        2 => {
            let at = place(dice, bytes);
            bytes[at] = [0, 1, 0x40, 0x7f, 0x80, 0xff][dice.roll(6) as usize];
        }
        3 => {
            // The largest number, in the place of a small one.
            let at = place(dice, bytes);
            bytes.splice(at..=at, [0xff, 0xff, 0xff, 0xff, 0x0f]);
        }
        4 => {
            let (from, to) = piece(dice, bytes);
            bytes.drain(from..to);
        }
        5 => {
            let (from, to) = piece(dice, bytes);
            let again = bytes[from..to].to_vec();
            let at = place(dice, bytes);
            bytes.splice(at..at, again);
        }
        6 => {
            let (from, to) = piece(dice, other);
            let at = place(dice, bytes);
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        7 => {
            let at = place(dice, bytes);
            bytes.truncate(at);
        }
        _ => sections(dice, bytes, other),
    }
}

/// Leaves what stands before the first section.
fn place(dice: &mut Dice, bytes: &[u8]) -> usize {
    8.min(bytes.len() - 1) + dice.roll(bytes.len().saturating_sub(8).max(1) as u64) as usize
}

fn piece(dice: &mut Dice, bytes: &[u8]) -> (usize, usize) {
    let from = place(dice, bytes);
    (from, (from + 1 + dice.roll(64) as usize).min(bytes.len()))
}

/// A section goes, comes twice, changes its place with another, or comes from elsewhere.
fn sections(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) {
    let (mut own, others) = (split(bytes), split(other));
    if own.is_empty() || others.is_empty() {
        return;
    }
    let mut one = |sections: &[Vec<u8>]| dice.roll(sections.len() as u64) as usize;
    let (a, b, of_other) = (one(&own), one(&own), one(&others));
    match dice.roll(4) {
        0 => drop(own.remove(a)),
        1 => own.insert(b, own[a].clone()),
        2 => own.swap(a, b),
        _ => own.insert(a, others[of_other].clone()),
    }
    bytes.truncate(8);
    own.iter().for_each(|section| bytes.extend(section));
}

/// The sections, as far as there are whole ones.
fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut sections = Vec::new();
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some(whole) = length(rest).and_then(|length| rest.get(..length)) {
        sections.push(whole.to_vec());
        rest = &rest[whole.len()..];
    }
    sections
}

/// Of the section that begins here: its id, its length, its contents.
fn length(bytes: &[u8]) -> Option<usize> {
    let (mut length, mut shift) = (0_usize, 0);
    for (at, byte) in bytes.iter().enumerate().skip(1).take(5) {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(at + 1 + length);
        }
    }
    None
}
