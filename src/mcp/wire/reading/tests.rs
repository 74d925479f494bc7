use serde_json::json;

use super::*;

/// The code, the id and the words of the answer.
fn refused(message: impl AsRef<[u8]>) -> (i32, Value, String) {
    match envelope(message.as_ref()).expect_err("it cannot be read") {
        Unreadable::Request { id, error } => (error.code.0, id, error.message.into_owned()),
        Unreadable::Response { .. } => panic!("an answer: {}", String::from_utf8_lossy(message.as_ref())),
    }
}

fn deep(levels: usize) -> String {
    format!(
        r#"{{"method":"a","params":{}{},"id":"deep","jsonrpc":"2.0"}}"#,
        "[".repeat(levels),
        "]".repeat(levels)
    )
}

#[test]
fn what_is_well_formed_has_an_envelope() {
    for (message, expected) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Envelope::Request(RequestId::Number(1))),
        (r#"{"id":1e2,"method":"a","jsonrpc":"2.0","x":[]}"#, Envelope::Request(RequestId::Number(100))),
        (
            r#"{"jsonrpc":"2.0","\u0069d":"\ud83d\ude00","method":"a"}"#,
            Envelope::Request(RequestId::String("😀".into())),
        ),
        ("\u{feff}{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":5}\r\n", Envelope::Notification),
        (r#"{"jsonrpc":"2.0","id":1,"result":{"result":1,"result":2}}"#, Envelope::Response),
        (r#"{"jsonrpc":"2.0","id":null,"error":{}}"#, Envelope::Response),
        (r#"{"jsonrpc":"2.0","error":{}}"#, Envelope::Response),
    ] {
        assert_eq!(envelope(message.as_bytes()), Ok(expected), "{message}");
    }
    assert!(envelope(deep(100).as_bytes()).is_ok());
}

#[test]
fn what_is_no_json_is_refused_with_the_id_of_its_request() {
    let bad_byte = b"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"x\",\"params\":\"\xc3\x28\"}".to_vec();
    let deep = deep(200);
    for (message, id, part) in [
        (&bad_byte[..], json!("a"), "byte 50 is 0xC3"),
        (br#"{"id":2,"method":"x","params":"cut \ud83d"}"#, json!(2), "half of a surrogate pair"),
        (br#"{"method":"x","params":"\udc00\ud83d!","id":"\u0061"}"#, json!("a"), "surrogate"),
        (deep.as_bytes(), json!("deep"), "nested too deep"),
        (br#"{"id":3,"method":"x","params":{"a":1"#, json!(3), "breaks off (line 1, column 36)"),
        (br#"{"id":3,"method":"x","params":{"a":NaN,"b":01,"c":1e999}}"#, json!(3), "column"),
        (b"{\"id\":4,\n\"method\":\"x\",}", json!(4), "line 2, column 14"),
        (br#"{"id":5,"method":"x"} and more"#, json!(5), "trailing"),
        (b"{\"id\":6,\"method\":\"a\tb\"}", json!(6), "control character"),
        // Where it is not sure whose id it is, there is none.
        (br#"{"id":7,"method":"x"}{"id":8,"method":"x"}"#, Value::Null, "trailing"),
        (br#"{"id":7,"method":"x","id":8,"#, Value::Null, "breaks off"),
        (br#"{"id":7,"\u0069d":8,"method":"x","#, Value::Null, "breaks off"),
        (br#"{"method":"x","id":12"#, Value::Null, "breaks off"),
        (br#"{"params":[},"method":"x","id":7}"#, Value::Null, "line 1"),
        (br#"{"params":{"id":7,"method":"x"}"#, Value::Null, "breaks off"),
        (br#"{"method":"x" "id":7}"#, Value::Null, "line 1"),
        (br#"{"method":"a" b","id":7,"c":"d"}"#, Value::Null, "line 1"),
        (br#"{"jsonrpc":"2.0","id":7,"#, Value::Null, "breaks off"),
        (br#"[{"id":7,"method":"x"},"#, Value::Null, "breaks off"),
        (b"hello", Value::Null, "line 1, column 1"),
        (b"", Value::Null, "breaks off"),
    ] {
        let shown = String::from_utf8_lossy(message);
        let (code, found, words) = refused(message);
        assert_eq!((code, found), (-32700, id), "{shown}: {words}");
        assert!(words.contains(part), "{shown}: {words}");
    }
}

#[test]
fn json_that_is_no_request_is_refused_with_what_is_wrong() {
    for (message, id, part) in [
        ("[]", Value::Null, "a batch"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, Value::Null, "a batch"),
        ("7", Value::Null, "a number"),
        ("\"ping\"", Value::Null, "a text"),
        ("null", Value::Null, "null"),
        ("true", Value::Null, "a boolean"),
        ("{}", Value::Null, "\"jsonrpc\""),
        (r#"{"id":1,"method":"ping"}"#, json!(1), "no \"jsonrpc\""),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, json!(1), "is not \"2.0\""),
        (r#"{"jsonrpc":2.0,"id":"a","method":"ping"}"#, json!("a"), "is not \"2.0\""),
        (r#"{"jsonrpc":"2.0","id":1}"#, json!(1), "no \"method\""),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, json!(1), "\"method\" is no text"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Value::Null, "\"id\" is null"),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, Value::Null, "\"id\" is a boolean"),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, Value::Null, "\"id\" is an array"),
        (r#"{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}"#, Value::Null, "\"id\" is an object"),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, json!(1.5), "\"id\" is 1.5"),
        (r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"ping"}"#, json!(u64::MAX), "whole number"),
        (r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}"#, Value::Null, "\"id\" twice"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b","i\u0064":2}"#, Value::Null, "\"id\" twice"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{},"params":{}}"#, json!(1), "\"params\" twice"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#, json!(1), "an answer"),
    ] {
        let (code, found, words) = refused(message);
        assert_eq!((code, found), (-32600, id), "{message}: {words}");
        assert!(words.contains(part), "{message}: {words}");
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_told_from_a_request() {
    for (message, id) in [
        (&br#"{"jsonrpc":"2.0","id":1,"result":{"a":"\ud83d"}}"#[..], json!(1)),
        (br#"{"id":"q","error":{"code":1,"#, json!("q")),
        (br#"{"result":"a","id":"q","error":}"#, json!("q")),
        (br#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, json!(1)),
        (br#"{"id":1,"result":{}}"#, json!(1)),
        (br#"{"jsonrpc":"2.0","result":{}}"#, Value::Null),
        (br#"{"jsonrpc":"2.0","id":[],"error":{}}"#, Value::Null),
    ] {
        let shown = String::from_utf8_lossy(message);
        match envelope(message) {
            Err(Unreadable::Response { id: found, .. }) => assert_eq!(found, id, "{shown}"),
            other => panic!("{shown}: {other:?}"),
        }
    }
}

/// An error of this server's that comes back as it is, cut off anywhere or wrapped in words, is never a reason for
/// another error without end.
#[test]
fn errors_are_not_answered_with_errors_for_ever() {
    let Err(refusal) = envelope(b"hello") else { panic!("it cannot be read") };
    let answer = refusal.http_body().to_string();
    assert_eq!(envelope(answer.as_bytes()), Ok(Envelope::Response));
    let (mut patience, mut answered) = (Patience::default(), 0);
    for round in 0..10 * limits::MAX_UNNAMED_REFUSALS {
        let echo = format!("got {answer} {round}");
        answered += usize::from(patience.allows(&refused(echo).1));
    }
    assert_eq!(answered, limits::MAX_UNNAMED_REFUSALS);
    assert!(patience.allows(&json!(1)), "a request that waits is told");
    patience.renew();
    assert!(patience.allows(&Value::Null));
}

#[test]
fn a_long_id_is_none_and_a_deep_message_holds_little() {
    let long = "9".repeat(limits::MAX_SCANNED_ID_BYTES + 1);
    for id in [long.clone(), format!("\"{long}\"")] {
        assert_eq!(IdScan::of(format!("{{\"id\":{id},\"method\":\"a\",").as_bytes()).id, None);
    }
    let deep = format!("{{\"params\":{}", "[".repeat(2 * limits::MAX_SCANNED_DEPTH));
    assert_eq!(IdScan::of(deep.as_bytes()), Scan::default());
}

#[test]
fn of_a_long_body_the_id_is_looked_for_where_clients_write_it_and_on_a_pipe_anywhere() {
    let values = "1,".repeat(limits::MAX_MESSAGE_VALUES);
    let first = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":[{values}1]}}"#);
    let last = format!(r#"{{"jsonrpc":"2.0","method":"a","params":[{values}1],"id":1}}"#);
    let id = |unreadable: Result<Envelope, Unreadable>| match unreadable.expect_err("too many values") {
        Unreadable::Request { id, .. } => id,
        Unreadable::Response { .. } => panic!("a request"),
    };
    for (message, of_body) in [(&first, json!(1)), (&last, Value::Null)] {
        assert_eq!(id(envelope(message.as_bytes())), json!(1));
        assert_eq!(id(envelope_of_body(message.as_bytes())), of_body);
    }
}
