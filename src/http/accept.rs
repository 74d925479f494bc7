//! What a client accepts (RFC 9110, 12.5.1).

use http::{HeaderMap, header};

/// Whether a client accepts this kind of media: whether the most specific range that fits has a weight. Parameters
/// other than weights are passed over.
pub fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges =
        values.flat_map(|value| value.split(',')).map(str::trim).filter(|range| !range.is_empty());
    let mut best: Option<(u8, bool)> = None;
    let mut is_empty = true;
    for range in &mut ranges {
        is_empty = false;
        let mut parts = range.split(';').map(str::trim);
        let Some(specific) = fits(parts.next().unwrap_or_default(), kind) else { continue };
        let has_weight = !parts.any(is_zero_weight);
        best = match best {
            Some((other, _)) if other > specific => best,
            Some((other, weight)) if other == specific => Some((specific, weight || has_weight)),
            _ => Some((specific, has_weight)),
        };
    }
    is_empty || best.is_some_and(|(_, has_weight)| has_weight)
}

/// How specific the range is for this kind, if it is for it.
fn fits(range: &str, kind: &str) -> Option<u8> {
    let (range_type, range_part) = range.split_once('/')?;
    let (kind_type, kind_part) = kind.split_once('/')?;
    match (range_type.eq_ignore_ascii_case(kind_type), range_part) {
        (true, part) if part.eq_ignore_ascii_case(kind_part) => Some(2),
        (true, "*") => Some(1),
        (false, "*") if range_type == "*" => Some(0),
        _ => None,
    }
}

/// `q=0`, with up to three zeros behind the point. What is no weight counts as none given.
fn is_zero_weight(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_zero = whole == "0" && fraction.len() <= 3 && fraction.bytes().all(|digit| digit == b'0');
    name.trim().eq_ignore_ascii_case("q") && is_zero
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const JSON: &str = "application/json";
    const EVENTS: &str = "text/event-stream";

    #[test]
    fn the_most_specific_range_decides() {
        for (accept, json, events) in [
            (None, true, true),
            (Some(""), true, true),
            (Some("*/*"), true, true),
            (Some("*/*;q=0.1"), true, true),
            (Some("application/json, text/event-stream"), true, true),
            (Some("Application/JSON;charset=utf-8 ,TEXT/event-stream; Q=0.5"), true, true),
            (Some("application/*, text/*"), true, true),
            (Some("text/html, image/gif, *; q=.2, */*; q=.2"), true, true),
            (Some("application/*"), true, false),
            (Some("text/*;q=0.001"), false, true),
            (Some("*/*, text/event-stream;q=0"), true, false),
            (Some("*/*;q=0, application/json, text/event-stream"), true, true),
            (Some("application/*;q=0.0, */*"), false, true),
            (Some("text/event-stream;q=0, text/event-stream"), false, true),
            (Some("*/*;q=0"), false, false),
            (Some("application/jsonp, text/event-streams"), false, false),
            (Some("*/json"), false, false),
            (Some("json"), false, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|accept| (header::ACCEPT, HeaderValue::from_static(accept))));
            assert_eq!((accepts(&headers, JSON), accepts(&headers, EVENTS)), (json, events), "{accept:?}");
        }
        let mut twice = HeaderMap::new();
        twice.append(header::ACCEPT, HeaderValue::from_static("application/json"));
        twice.append(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        assert!(accepts(&twice, JSON) && accepts(&twice, EVENTS));
    }
}
