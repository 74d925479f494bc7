//! How much a JSON text becomes in memory: by its values, not its bytes.

/// Whether more than so many brackets, colons and commas of a JSON text stand outside of its strings. Each value but the
/// first has one before it, so that there are at most one more values and keys than these, found without building any of
/// them. What is refused is not looked through to its end.
pub fn has_more_marks(json: &[u8], than: usize) -> bool {
    let (mut count, mut in_text, mut escaped) = (0, false, false);
    json.iter().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b'[' | b'{' | b':' | b',' if !in_text => count += 1,
            _ => {}
        }
        count > than
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_count_and_what_stands_in_texts_does_not() {
        for (json, wanted) in [
            ("1", 0),
            (r#""a, [b]: {c}""#, 0),
            (r#""\", [" "#, 0),
            (r#"{"a\\":[1,2,{}]}"#, 6),
            (r#"{"a":"\"","b":[[],[]]}"#, 8),
        ] {
            let json = json.as_bytes();
            assert!(!has_more_marks(json, wanted), "{json:?}");
            assert!(wanted == 0 || has_more_marks(json, wanted - 1), "{json:?}");
        }
    }
}
