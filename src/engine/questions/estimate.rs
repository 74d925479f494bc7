//! How many tokens a request is likely to be, before any endpoint counts them: what is held back of a budget for it.

use serde_json::Value;

use crate::limits;

/// Of the parameters of MCP's `sampling/createMessage`. Data of an image or a sound is taken for so many tokens as a
/// model makes of one, whatever its bytes.
pub fn input_tokens(request: &Value) -> u64 {
    let (bytes, media) = measure(request);
    bytes.div_ceil(limits::BYTES_PER_TOKEN).saturating_add(media.saturating_mul(limits::MEDIA_TOKENS))
}

/// Bytes of texts and names, and pieces of media.
fn measure(value: &Value) -> (u64, u64) {
    let sum = |(bytes, media): (u64, u64), (more, also): (u64, u64)| (bytes + more, media + also);
    match value {
        Value::String(text) => (text.len() as u64, 0),
        Value::Array(all) => all.iter().map(measure).fold((0, 0), sum),
        Value::Object(fields) => {
            let is_media = matches!(fields.get("type").and_then(Value::as_str), Some("image" | "audio"));
            let of_field = |(name, value): (&String, &Value)| match name.as_str() {
                "data" if is_media => (0, 1),
                _ => sum((name.len() as u64, 0), measure(value)),
            };
            fields.iter().map(of_field).fold((0, 0), sum)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => (1, 0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_counts_by_its_length_and_an_image_once() {
        let of = |content: Value| input_tokens(&json!({"messages": [{"role": "user", "content": content}]}));
        let short = of(json!({"type": "text", "text": "hi"}));
        let long = of(json!({"type": "text", "text": "x".repeat(4_002)}));
        assert_eq!(long - short, 1_000);
        let image =
            |bytes: usize| of(json!({"type": "image", "mimeType": "image/png", "data": "A".repeat(bytes)}));
        assert_eq!(image(10), image(1_000_000));
        assert!(image(10) > limits::MEDIA_TOKENS && short < 20, "{short}");
    }
}
