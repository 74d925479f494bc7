//! Names and times as texts: what several rooms show alike.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::UnixNanos;
use crate::task::TaskId;

/// `task://{id}/output/{name}`, the name percent-encoded, `/` included.
pub fn output_uri(task: TaskId, name: &str) -> String {
    format!("{}/output/{}", task.uri(), percent_encode(name))
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

/// With six digits of the second always, so that times sort as text.
pub fn rfc3339(at: UnixNanos) -> String {
    let whole_second = i64::try_from(at / 1_000_000_000).ok();
    let text = whole_second
        .and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok())
        .and_then(|second| second.format(&Rfc3339).ok());
    match text.as_deref().and_then(|text| text.strip_suffix('Z')) {
        Some(text) => format!("{text}.{:06}Z", at / 1_000 % 1_000_000),
        None => format!("@{at}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_names_are_spelled_as_the_standards_say() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(1_700_000_000_120_000_000), "2023-11-14T22:13:20.120000Z");
        assert_eq!(rfc3339(1_700_000_000_123_456_789), "2023-11-14T22:13:20.123456Z");
        let task = TaskId::from_bytes([7; 16]);
        assert_eq!(output_uri(task, "a/b c"), format!("task://{task}/output/a%2Fb%20c"));
        assert_eq!(percent_decode("a%2Fb%20c").as_deref(), Some("a/b c"));
        assert_eq!(percent_decode("%ff"), None);
    }
}
