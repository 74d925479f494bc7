//! An export without its texts: what was done, when, and how large it was stays.

use serde_json::Value;

use super::task::{Exported, PackedState};
use crate::engine::journal::records::{Record, put_varint, take_record};

impl Exported {
    /// Every payload becomes as many `x`: arguments, what the journal and operations hold, the saved state, the
    /// environment, errors.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        self.head.redacted = true;
        if let Some(error) = &mut self.head.error {
            error.message = "(redacted)".to_owned();
            error.detail = None;
        }
        self.task.arguments = arguments(&self.task.arguments);
        self.task.keys.iter_mut().for_each(|key| *key = masked(key));
        self.task.log_end = None;
        self.records = records(&self.records);
        for op in &mut self.ops {
            if let PackedState::Done(outcome) = &mut op.state {
                outcome.fill(b'x');
            }
        }
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.state.fill(b'x');
        }
        self.environment.iter_mut().for_each(|(_, value)| *value = masked(value));
        self
    }
}

fn arguments(text: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap_or_default();
    mask(&mut value);
    value.to_string()
}

fn mask(value: &mut Value) {
    match value {
        Value::String(text) => *text = masked(text),
        Value::Number(_) => *value = 0.into(),
        Value::Array(items) => items.iter_mut().for_each(mask),
        // A schema names its fields; those that it leaves open are the caller's own.
        Value::Object(fields) => fields.values_mut().for_each(mask),
        Value::Null | Value::Bool(_) => {}
    }
}

fn masked(text: &str) -> String {
    "x".repeat(text.chars().count())
}

fn records(bytes: &[u8]) -> Vec<u8> {
    let (mut rest, mut out) = (bytes, Vec::with_capacity(bytes.len()));
    loop {
        let before = rest;
        let Some(record) = take_record(&mut rest) else { return out };
        match record {
            Record::Time { .. } => out.extend_from_slice(&before[..before.len() - rest.len()]),
            Record::Call { kind, hash, payload } => {
                out.push(kind);
                out.extend_from_slice(&hash.to_le_bytes());
                put_varint(&mut out, payload.len() as u64);
                out.resize(out.len() + payload.len(), b'x');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::exported;
    use super::super::task::PackedCheckpoint;
    use super::*;
    use crate::engine::ExportedError;

    #[test]
    fn no_text_stays() {
        let mut whole = exported();
        let secret = b"Paris";
        whole.records = vec![9];
        whole.records.extend_from_slice(&5u64.to_le_bytes());
        whole.records.push(secret.len() as u8);
        whole.records.extend_from_slice(secret);
        whole.ops[0].state = PackedState::Done(secret.to_vec());
        whole.task.keys = vec!["Paris".into()];
        let (state, zero) = (secret.to_vec(), 0);
        whole.checkpoint = Some(PackedCheckpoint {
            state,
            log_position: zero,
            reports: zero,
            logical: zero,
            records: zero,
            awake_nanos: zero,
        });
        whole.head.error = Some(ExportedError { message: "Paris".into(), detail: Some("Paris".into()) });
        let records = whole.records.len();
        let redacted = whole.redacted();
        assert_eq!(redacted.records.len(), records);
        let bytes = redacted.to_bytes().expect("a file");
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        assert!(redacted.head.redacted && redacted.task.arguments.contains("xxxxx"));
    }
}
