/// A character that a reader does not see, or that changes how the rest is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("holds U+{:04X}, {}, at byte {}; remove it", u32::from(self.character), self.kind, self.at)]
pub struct HiddenChar {
    pub character: char,
    /// Offset in the text, bytes.
    pub at: usize,
    kind: &'static str,
}

/// The first character of a text that could hide something from the person who approves a tool but not from
/// the model that reads it, or that could steer a terminal. Line feed and tab are allowed.
pub fn find_hidden(text: &str) -> Option<HiddenChar> {
    text.char_indices().find_map(|(at, character)| Some(HiddenChar { character, at, kind: kind(character)? }))
}

fn kind(character: char) -> Option<&'static str> {
    Some(match u32::from(character) {
        0x09 | 0x0A => return None,
        0x00..=0x1F | 0x7F..=0x9F => "a control character",
        0x061C | 0x200E..=0x200F | 0x202A..=0x202E | 0x2066..=0x2069 => "a bidirectional control",
        0x2028..=0x2029 => "a line separator",
        0x180B..=0x180F | 0xFE00..=0xFE0F | 0xE0100..=0xE01EF => "a variation selector",
        0xE0000..=0xE0FFF => "a tag character",
        0xFFF9..=0xFFFB => "an annotation character",
        0x00AD
        | 0x034F
        | 0x115F..=0x1160
        | 0x17B4..=0x17B5
        | 0x200B..=0x200D
        | 0x2060..=0x2065
        | 0x206A..=0x206F
        | 0x2800
        | 0x3164
        | 0xFEFF
        | 0xFFA0
        | 0xFFF0..=0xFFF8
        | 0x1BCA0..=0x1BCA3
        | 0x1D173..=0x1D17A => "an invisible character",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_text_of_any_script_passes() {
        for text in
            ["", "two\nlines\tand a tab", "précis Ωμέγα 日本語 עברית العربية हिन्दी", "📎 a < b & \"c\""]
        {
            assert_eq!(find_hidden(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_a_reader_cannot_see_is_named_with_its_place() {
        let hidden = [
            ('\0', "U+0000"),
            ('\r', "U+000D"),
            ('\u{1b}', "U+001B"),
            ('\u{9b}', "U+009B"),
            ('\u{ad}', "U+00AD"),
            ('\u{200b}', "U+200B"),
            ('\u{200d}', "U+200D"),
            ('\u{202e}', "U+202E"),
            ('\u{2066}', "U+2066"),
            ('\u{2028}', "U+2028"),
            ('\u{fe0f}', "U+FE0F"),
            ('\u{feff}', "U+FEFF"),
            ('\u{e0041}', "U+E0041"),
            ('\u{e0101}', "U+E0101"),
        ];
        for (character, code) in hidden {
            let found = find_hidden(&format!("é{character}b")).unwrap();
            assert_eq!((found.character, found.at), (character, 2));
            assert!(found.to_string().contains(code), "{found}");
        }
    }
}
