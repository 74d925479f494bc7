//! Characters that a reader does not see, or that change how the rest is shown. Here is the one list of them and the
//! one way to show them: definitions that hold one are refused, all other text for eyes is escaped at each door
//! (documents, MCP's texts, terminals, the log), and data stays as it is.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::de::IgnoredAny;
use serde_json::Value;
use unicode_properties::{GeneralCategoryGroup, UnicodeEmoji, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

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
    if is_plain(text) {
        return None;
    }
    text.char_indices().find_map(|(at, character)| Some(HiddenChar { character, at, kind: kind(character)? }))
}

/// Text for eyes: what is hidden in it is spelled out, as `\u{202e}`. What a script or an emoji cannot be written without
/// stays, and so do line ends and tabs.
pub fn show_hidden(text: &str) -> Cow<'_, str> {
    escaped(text, |c, shown| {
        // Writing to a String cannot fail.
        let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
    })
}

/// JSON as text: the same value, with what is hidden in its strings written as JSON's own escapes.
pub fn show_in_json(json: &str) -> Cow<'_, str> {
    escaped(json, |c, shown| match c {
        // It stands between the tokens: no string of JSON holds one unescaped.
        '\r' => shown.push('\n'),
        c => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    })
}

/// Text that may be JSON, which programs read: as JSON where it is, so that its value stays, and else as text.
pub fn show_text(text: &str) -> Cow<'_, str> {
    if !is_hiding(text) {
        return Cow::Borrowed(text);
    }
    let is_json =
        text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok();
    if is_json { show_in_json(text) } else { show_hidden(text) }
}

/// All texts of a value, names of fields included.
pub fn show_value(value: Value) -> Value {
    let owned = |text: String| match show_hidden(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown,
    };
    match value {
        Value::String(text) => Value::String(owned(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(show_value).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, field)| (owned(name), show_value(field))).collect())
        }
        other => other,
    }
}

/// Whether there is any character of the list in it.
fn is_hiding(text: &str) -> bool {
    !is_plain(text) && text.chars().any(|c| kind(c).is_some())
}

/// Whether it is nothing but visible ASCII, spaces, line ends and tabs, as most texts are: many bytes are looked at at
/// once, where a character at a time costs more than all else that is done with a text.
fn is_plain(text: &str) -> bool {
    let is_visible = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
    text.as_bytes().chunks(64).all(|bytes| bytes.iter().fold(true, |all, byte| all & is_visible(byte)))
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !is_hiding(text) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    // The character before, where it was not escaped.
    let mut before = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(flag) = FLAGS.iter().find(|flag| rest.starts_with(**flag)) {
            shown.push_str(flag);
            (rest, before) = (&rest[flag.len()..], None);
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if kind(c).is_none() || belongs(before, c, rest.chars().next()) {
            shown.push(c);
            before = Some(c);
        } else {
            escape(c, &mut shown);
            before = None;
        }
    }
    Cow::Owned(shown)
}

/// The flags that are written with tag characters: England, Scotland and Wales.
const FLAGS: [&str; 3] = [
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
];

const KEYCAP: char = '\u{20e3}';

/// Scripts in which a joiner, or its opposite, changes how letters are written.
const JOINED: [Script; 20] = [
    Script::Arabic,
    Script::Syriac,
    Script::Mandaic,
    Script::Mongolian,
    Script::Nko,
    Script::Phags_Pa,
    Script::Devanagari,
    Script::Bengali,
    Script::Gurmukhi,
    Script::Gujarati,
    Script::Oriya,
    Script::Tamil,
    Script::Telugu,
    Script::Kannada,
    Script::Malayalam,
    Script::Sinhala,
    Script::Khmer,
    Script::Myanmar,
    Script::Tibetan,
    Script::Balinese,
];

/// Scripts without spaces, whose words a zero width space keeps apart.
const UNSPACED: [Script; 4] = [Script::Thai, Script::Lao, Script::Khmer, Script::Myanmar];

/// Whether a character of the list is one that its neighbours need: each stands alone between them, so that
/// nothing can be spelled with it.
fn belongs(before: Option<char>, c: char, after: Option<char>) -> bool {
    let (Some(before), after) = (before, after.unwrap_or(' ')) else {
        return c == '\r' && after == Some('\n');
    };
    let both_in = |scripts: &[Script]| {
        scripts.iter().any(|script| is_letter_of(before, *script) && is_letter_of(after, *script))
    };
    match c {
        '\r' => after == '\n',
        '\u{ad}' => before.is_alphabetic() && after.is_alphabetic(),
        '\u{fe0e}' | '\u{fe0f}' => is_emoji(before) || (before.is_emoji_char() && after == KEYCAP),
        '\u{200d}' if is_emoji(after) => is_emoji(before) || before == '\u{fe0f}',
        // Also at the end of a word, and where a foreign word or a number has a Persian ending.
        '\u{200c}' | '\u{200d}' => {
            let is_alone = kind(before).is_none() && kind(after).is_none();
            is_alone && (is_joined(before) || is_joined(after))
        }
        '\u{200b}' => both_in(&UNSPACED),
        '\u{180b}'..='\u{180d}' | '\u{180f}' => is_letter_of(before, Script::Mongolian),
        '\u{180e}' => both_in(&[Script::Mongolian]),
        '\u{2800}' => is_braille(before) || is_braille(after),
        _ => false,
    }
}

fn is_emoji(c: char) -> bool {
    c.is_emoji_char() && !c.is_ascii()
}

fn is_mark(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}

fn is_joined(c: char) -> bool {
    JOINED.iter().any(|script| is_letter_of(c, *script))
}

/// A letter, or a mark on one, that the script itself has.
fn is_letter_of(c: char, script: Script) -> bool {
    let scripts = c.script_extension();
    let is_everybodys = scripts.is_common() || scripts.is_inherited();
    (c.is_alphabetic() || is_mark(c)) && !is_everybodys && scripts.contains_script(script)
}

fn is_braille(c: char) -> bool {
    matches!(c, '\u{2801}'..='\u{28ff}')
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
        | 0x13430..=0x1345F
        | 0x16FE4
        | 0x1BCA0..=0x1BCA3
        | 0x1D159
        | 0x1D173..=0x1D17A => "an invisible character",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_for_plain_hides_nothing() {
        for c in (0..=0x2ff).filter_map(char::from_u32) {
            for text in [c.to_string(), format!("{}{c}", "a".repeat(100))] {
                assert_eq!(is_plain(&text), c.is_ascii() && kind(c).is_none(), "{c:?}");
                assert_eq!(is_hiding(&text), kind(c).is_some(), "{c:?}");
            }
        }
    }

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

    #[test]
    fn what_is_hidden_is_spelled_out() {
        for (text, shown) in [
            ("Rome\u{e0049}\u{e0067}", "Rome\\u{e0049}\\u{e0067}"),
            ("pay \u{202e}000,9$\u{2066}\u{200b}", "pay \\u{202e}000,9$\\u{2066}\\u{200b}"),
            ("a\u{1b}[2J\u{9b}31m\u{7}\u{7f}\r", "a\\u{1b}[2J\\u{9b}31m\\u{7}\\u{7f}\\u{d}"),
            ("x\u{fe0f}\u{e0100}\u{feff}\u{2028}", "x\\u{fe0f}\\u{e0100}\\u{feff}\\u{2028}"),
            ("a\u{200d}b \u{ad}c\u{ad} d\u{3164}", "a\\u{200d}b \\u{ad}c\\u{ad} d\\u{3164}"),
            // One that belongs does not cover for the next.
            ("🙂\u{fe0f}\u{fe0f}", "🙂\u{fe0f}\\u{fe0f}"),
            ("🙂\u{200d}\u{200d}🙂", "🙂\\u{200d}\\u{200d}🙂"),
            ("ی\u{200c}\u{200c}ی", "ی\\u{200c}\\u{200c}ی"),
            ("a\u{13431}b\u{1d159}", "a\\u{13431}b\\u{1d159}"),
            // A flag of nowhere carries a message.
            ("\u{1f3f4}\u{e0068}\u{e0069}\u{e007f}", "\u{1f3f4}\\u{e0068}\\u{e0069}\\u{e007f}"),
            ("\u{2800}\u{2800}", "\\u{2800}\\u{2800}"),
        ] {
            assert_eq!(show_hidden(text), shown, "{text:?}");
            assert_eq!(
                show_hidden(shown).matches('\\').count(),
                shown.matches('\\').count(),
                "twice is once"
            );
        }
    }

    #[test]
    fn text_that_needs_them_is_left_as_it_is() {
        for text in [
            "two\r\nlines\tand a tab",
            "❤️ 👩‍👩‍👧‍👦 👩🏽‍💻 🏳️‍🌈 1️⃣ ©️ ☎︎",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} Scotland",
            "می\u{200c}خواهم",
            "HTML\u{200c}ها ۱۰\u{200c}ها ه\u{200d}.ش. می\u{200c}",
            "क्\u{200d}ष र्\u{200d} क्\u{200c}ष",
            "ශ්\u{200d}රී ലങ്ക",
            "עברית שָׁלוֹם العربية",
            "Donau\u{ad}dampf\u{ad}schiff",
            "សួស្តី\u{200b}ពិភពលោក",
            "ᠮᠣᠩᠭᠣᠯ\u{180b} ⠓⠑\u{2800}⠇",
        ] {
            assert!(matches!(show_hidden(text), Cow::Borrowed(_)) || show_hidden(text) == text, "{text:?}");
        }
    }

    #[test]
    fn json_keeps_its_value_and_shows_what_it_hides() {
        let value = serde_json::json!({
            "a\u{202e}": ["\u{1b}]0;x\u{7}", "tag \u{e0041}", "\u{9b}31m", "plain é 🙂"], "n": 1.5,
        });
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let shown = show_text(&text);
            assert!(find_hidden(&shown).is_none(), "{shown}");
            assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
        }
        let returns = "{\"a\":\r \"\u{202e}\"\r\n}";
        assert_eq!(
            serde_json::from_str::<Value>(&show_text(returns)).unwrap(),
            serde_json::json!({"a": "\u{202e}"})
        );
        assert_eq!(show_text("{ no JSON \u{202e}"), "{ no JSON \\u{202e}");
        let shown = show_value(value);
        assert_eq!(shown["a\\u{202e}"][1], "tag \\u{e0041}");
    }
}
