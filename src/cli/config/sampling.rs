//! `[sampling]`: the endpoint that samples where no client does.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// An endpoint with OpenAI's `chat/completions`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingSettings {
    /// As far as the version: `https://api.openai.com/v1`.
    #[serde(deserialize_with = "read_base_url")]
    pub url: String,
    pub model: String,
    /// The environment variable that holds its key.
    #[serde(default, rename = "key", deserialize_with = "read_key_variable")]
    pub key_variable: Option<String>,
}

fn read_base_url<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    if is_url && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(text);
    }
    Err(D::Error::custom(format!("'{}' is no URL such as https://api.openai.com/v1", text.escape_debug())))
}

fn read_key_variable<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(input)?;
    match text.strip_prefix("env:").filter(|name| !name.is_empty()) {
        Some(name) => Ok(Some(name.to_owned())),
        // What was written may be the key itself.
        None => {
            Err(D::Error::custom("it is written env:NAME, with the name of the variable that holds the key"))
        }
    }
}
