//! Names as texts: what several rooms show alike.

use crate::catalog::show_hidden;
use crate::task::TaskId;

/// What a document says in words is for eyes; what is in the store stays as it was said.
pub(super) fn shown(text: impl AsRef<str>) -> String {
    show_hidden(text.as_ref()).into_owned()
}

/// `task://{id}/output/{name}`, the name percent-encoded, `/` included.
pub fn output_uri(task: TaskId, name: &str) -> String {
    format!("{}/output/{}", task.uri(), percent_encode(name))
}

/// `state://{namespace}/{key}`, the key percent-encoded.
pub fn state_uri(namespace: &str, key: &str) -> String {
    format!("state://{namespace}/{}", percent_encode(key))
}

/// One path segment: everything but RFC 3986's unreserved characters is encoded.
pub fn percent_encode(segment: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(segment, SEGMENT).to_string()
}

/// The other way; `None` where what is decoded is no UTF-8.
pub fn percent_decode(segment: &str) -> Option<String> {
    percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_as_the_standard_says() {
        let task = TaskId::from_bytes([7; 16]);
        assert_eq!(output_uri(task, "a/b c"), format!("task://{task}/output/a%2Fb%20c"));
        assert_eq!(percent_decode("a%2Fb%20c").as_deref(), Some("a/b c"));
        assert_eq!(percent_decode("%ff"), None);
    }
}
