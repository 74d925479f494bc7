//! What an edit changed, in lines.

use std::fmt::Write as _;

/// The lines that went and that came. An edit is at one place, so what is alike before and behind it is left out:
/// it may hold the secrets of other entries.
pub fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let alike = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[alike..], &new[alike..]);
    let behind = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - behind], &new[..new.len() - behind]);
    let mut text = String::new();
    if old.is_empty() && new.is_empty() {
        return text;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "from line {}:", alike + 1);
    for (mark, lines) in [('-', old), ('+', new)] {
        for line in lines {
            let _ = writeln!(text, "{mark} {line}");
        }
    }
    text
}
