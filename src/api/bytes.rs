//! Bytes in JSON: as text where they are one, else as base64.

/// Bytes of an output as text, where its media type and they themselves allow it. An output that still
/// grows may end within a character: that end is left for the next read.
pub fn as_text<'a>(mime_type: &str, bytes: &'a [u8], more_follows: bool) -> Option<&'a str> {
    if !is_textual(mime_type) {
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() && more_follows => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

fn is_textual(mime_type: &str) -> bool {
    let essence = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence.as_str(),
            "application/json"
                | "application/jsonl"
                | "application/x-ndjson"
                | "application/xml"
                | "application/yaml"
                | "application/toml"
                | "application/javascript"
                | "application/sql"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_text_by_its_type_and_its_bytes() {
        let bytes = "aé".as_bytes();
        assert_eq!(as_text("text/markdown; charset=utf-8", bytes, false), Some("aé"));
        assert_eq!(as_text("image/svg+xml", bytes, false), Some("aé"));
        assert_eq!(as_text("application/octet-stream", bytes, false), None);
        assert_eq!(as_text("text/plain", &bytes[..2], true), Some("a"));
        assert_eq!(as_text("text/plain", &bytes[..2], false), None);
        assert_eq!(as_text("text/plain", &[0xff, b'a'], true), None);
    }
}
