//! How much a JSON text becomes in memory: by its values, not its bytes.

/// The brackets, colons and commas of a JSON text that stand outside of its strings. Each value but the first has one
/// before it, so that there are at most one more values and keys than these, found without building any of them.
pub fn marks(json: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b'[' | b'{' | b':' | b',' if !in_text => count += 1,
            _ => {}
        }
    }
    count
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
            assert_eq!(marks(json.as_bytes()), wanted, "{json}");
        }
    }
}
