//! Messages as MCP's sampling has them.

use serde_json::{Value, json};

use super::fault::Fault;
use crate::engine::questions::ModelAnswer;
use crate::limits;

pub type Answer = ModelAnswer;

/// The blocks of a message of MCP's: one alone, or several.
pub fn blocks_of(message: &Value) -> &[Value] {
    let content = &message["content"];
    content.as_array().map_or(std::slice::from_ref(content), Vec::as_slice)
}

/// As MCP's `sampling/createMessage` answers.
pub fn message(model: &str, mut content: Vec<Value>, reason: Option<&str>) -> Result<Value, Fault> {
    let content = match content.len() {
        0 => return Err(Fault::answer("its answer holds no message")),
        1 => content.remove(0),
        _ => Value::Array(content),
    };
    let mut message = json!({ "model": model, "role": "assistant", "content": content });
    if let Some(reason) = reason {
        message["stopReason"] = json!(reason);
    }
    Ok(message)
}

/// With what it cost, as its endpoint says or, where it does not, as much as its bytes make likely.
pub fn settle(message: Value, input: &Value, output: &Value) -> Answer {
    let likely = || (message["content"].to_string().len() as u64).div_ceil(limits::BYTES_PER_TOKEN);
    let output_tokens = output.as_u64().unwrap_or_else(likely);
    Answer { input_tokens: input.as_u64(), output_tokens, message }
}
