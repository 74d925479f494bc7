use serde::{Deserialize, Serialize};

use crate::limits;

/// The caller's place in a trace, in the words of W3C Trace Context and Baggage: kept and shown as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    pub traceparent: Option<String>,
    pub tracestate: Option<String>,
    pub baggage: Option<String>,
}

impl TraceContext {
    /// What is malformed or too long is left out, as W3C wants it: no call fails for its trace. `None`
    /// where nothing is left.
    pub fn of(traceparent: Option<&str>, tracestate: Option<&str>, baggage: Option<&str>) -> Option<Self> {
        let traceparent = traceparent.filter(|text| is_traceparent(text));
        // A state without its parent says nothing.
        let tracestate = tracestate.filter(|_| traceparent.is_some());
        let trace = Self {
            traceparent: traceparent.map(str::to_owned),
            tracestate: bounded(tracestate, limits::MAX_TRACESTATE_BYTES),
            baggage: bounded(baggage, limits::MAX_BAGGAGE_BYTES),
        };
        (trace != Self::default()).then_some(trace)
    }
}

fn bounded(header: Option<&str>, bytes: usize) -> Option<String> {
    let is_header = |text: &&str| {
        !text.is_empty() && text.len() <= bytes && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    };
    header.filter(is_header).map(str::to_owned)
}

/// `version-traceid-parentid-flags` in lower-case hexadecimal. A version after 00 may say more behind it.
fn is_traceparent(text: &str) -> bool {
    const PLACES: [usize; 4] = [2, 32, 16, 2];
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let mut parts = text.splitn(5, '-');
    let fields: Vec<&str> = parts.by_ref().take(4).collect();
    let [version, trace, parent, _] = fields[..] else { return false };
    let fits = fields.iter().zip(PLACES).all(|(part, places)| part.len() == places && is_hex(part));
    fits && version != "ff"
        && !is_zero(trace)
        && !is_zero(parent)
        && (version != "00" || parts.next().is_none())
        && text.len() <= limits::MAX_TRACEPARENT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    #[test]
    fn what_fits_is_kept_as_it_came() {
        let trace = TraceContext::of(Some(PARENT), Some("a=1,b=2"), Some("user=x;p=1")).expect("a trace");
        assert_eq!(trace.traceparent.as_deref(), Some(PARENT));
        assert_eq!(trace.tracestate.as_deref(), Some("a=1,b=2"));
        assert_eq!(trace.baggage.as_deref(), Some("user=x;p=1"));
        assert!(TraceContext::of(Some(&PARENT.replacen("00", "cc", 1)), None, None).is_some());
        assert!(TraceContext::of(Some(&format!("cc{}-what-else", &PARENT[2..])), None, None).is_some());
    }

    #[test]
    fn what_does_not_is_left_out() {
        for wrong in [
            "",
            "00",
            &PARENT.to_uppercase(),
            &PARENT[..54],
            &format!("{PARENT}-more"),
            &format!("ff{}", &PARENT[2..]),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            &format!("cc{}-{}", &PARENT[2..], "x".repeat(limits::MAX_TRACEPARENT_BYTES)),
        ] {
            assert_eq!(TraceContext::of(Some(wrong), Some("a=1"), None), None, "{wrong}");
        }
        let long = "x".repeat(limits::MAX_BAGGAGE_BYTES + 1);
        assert_eq!(TraceContext::of(None, None, Some(&long)), None);
        assert_eq!(TraceContext::of(None, None, Some("a=1\r\nb: 2")), None);
        let trace = TraceContext::of(Some(PARENT), Some(&long), Some("k=v")).expect("a trace");
        assert_eq!((trace.tracestate, trace.baggage.as_deref()), (None, Some("k=v")));
    }
}
