//! `[models.NAME]`: models that components are granted by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::catalog::is_tool_name;
use crate::limits;
use crate::secrets::{SecretSource, SourceError};

/// The interface that an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ModelApi {
    #[serde(rename = "openai-chat")]
    OpenAiChat,
    #[serde(rename = "openai-responses")]
    OpenAiResponses,
    #[serde(rename = "anthropic")]
    Anthropic,
}

/// One model at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    pub api: ModelApi,
    /// As far as the version: `https://api.openai.com/v1`. It is https, or this machine's own.
    #[serde(deserialize_with = "read_url")]
    pub url: String,
    /// As the endpoint calls it.
    pub model: String,
    /// Where its key is.
    #[serde(default, deserialize_with = "read_source")]
    pub key: Option<SecretSource>,
    /// Sent with each request; no place for a secret.
    #[serde(default, deserialize_with = "read_headers")]
    pub headers: BTreeMap<String, String>,
    /// At most so many tokens of an answer, whatever a tool asks for.
    #[serde(default, deserialize_with = "read_max_tokens")]
    pub max_tokens: Option<u64>,
    /// Of a million tokens, in whatever unit all prices are in; thousandths of it here.
    #[serde(default, rename = "input_price", deserialize_with = "read_price")]
    pub input_price_millis: u64,
    #[serde(default, rename = "output_price", deserialize_with = "read_price")]
    pub output_price_millis: u64,
    #[serde(default = "default_timeout", deserialize_with = "read_timeout")]
    pub timeout_seconds: u64,
}

impl ModelSettings {
    /// With the file of its key named by its whole path.
    pub fn with_whole_path(mut self, absolute: impl Fn(&Path) -> PathBuf) -> Self {
        if let Some(SecretSource::File(path)) = &mut self.key {
            *path = absolute(path);
        }
        self
    }
}

/// By name, each as the manifests have it.
pub fn read_models<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, ModelSettings>, D::Error> {
    let models = BTreeMap::<String, ModelSettings>::deserialize(input)?;
    match models.keys().find(|name| !is_tool_name(name)) {
        Some(name) => Err(D::Error::custom(format!(
            "'{}' is no name of a model: it takes 1 to 64 of A-Z, a-z, 0-9, '_' and '-'",
            name.escape_debug()
        ))),
        None => Ok(models),
    }
}

fn read_url<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    let refuse = |why: &str| Err(D::Error::custom(format!("the URL {why}")));
    // What was written may hold a secret: it is not repeated.
    let Ok(url) = reqwest::Url::parse(&text) else {
        return refuse("is none, such as https://api.openai.com/v1");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("holds a name or password: put the key into `key`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("ends with its path: put what is sent along into `headers`");
    }
    match url.scheme() {
        "https" => Ok(text),
        "http" if is_own(&url) => Ok(text),
        _ => {
            refuse("is neither https nor of this machine (http://127.0.0.1, http://[::1], http://localhost)")
        }
    }
}

fn is_own(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn read_source<'de, D: Deserializer<'de>>(input: D) -> Result<Option<SecretSource>, D::Error> {
    let text = String::deserialize(input)?;
    match (text.parse(), text.strip_prefix("file:")) {
        (Ok(source), _) => Ok(Some(source)),
        // The configuration that it stands in says from where.
        (Err(SourceError::RelativePath), Some(path)) if !path.is_empty() => {
            Ok(Some(SecretSource::File(path.into())))
        }
        // The error does not repeat what was written, which may be the key itself.
        (Err(error), _) => Err(D::Error::custom(error)),
    }
}

fn read_headers<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    let headers = BTreeMap::<String, String>::deserialize(input)?;
    for (name, value) in &headers {
        let is_header = reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
            && reqwest::header::HeaderValue::from_str(value).is_ok();
        if !is_header {
            return Err(D::Error::custom(format!("'{}' or its value is no header", name.escape_debug())));
        }
    }
    Ok(headers)
}

fn read_max_tokens<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    in_range(u64::deserialize(input)?, limits::MAX_SAMPLE_TOKENS).map(Some).map_err(D::Error::custom)
}

fn read_timeout<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    in_range(u64::deserialize(input)?, limits::MAX_MODEL_SECONDS).map_err(D::Error::custom)
}

fn read_price<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    let price = f64::deserialize(input)?;
    let millis = price * 1_000.0;
    let most = limits::MAX_MODEL_PRICE_MILLIS;
    // Doubles hold such numbers but for their last digits.
    let is_price = millis >= 0.0 && millis <= most as f64 && (millis - millis.round()).abs() < 1e-3;
    if !is_price {
        return Err(D::Error::custom(format!(
            "{price} is no price of a million tokens: it takes 0 to {} with at most three digits behind the point",
            most / 1_000
        )));
    }
    // Within the range that was asked for.
    Ok(millis.round() as u64)
}

fn in_range(number: u64, most: u64) -> Result<u64, String> {
    if (1..=most).contains(&number) { Ok(number) } else { Err(format!("{number} is not from 1 to {most}")) }
}

fn default_timeout() -> u64 {
    limits::SAMPLE_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Result<ModelSettings, String> {
        toml::from_str(lines).map_err(|error| error.to_string())
    }

    #[test]
    fn a_model_has_an_endpoint_and_a_source_of_its_key() {
        let lines =
            "api = \"anthropic\"\nurl = \"https://api.example.com/v1\"\nmodel = \"m\"\nkey = \"env:KEY\"";
        let model = read(lines).expect("a model");
        assert_eq!((model.api, model.timeout_seconds), (ModelApi::Anthropic, limits::SAMPLE_SECONDS));
        assert_eq!(model.key, Some(SecretSource::Env("KEY".to_owned())));
        let own =
            "api = \"openai-chat\"\nurl = \"http://[::1]:8080/v1\"\nmodel = \"m\"\nheaders = { x-a = \"b\" }";
        assert_eq!(read(own).expect("a model").headers["x-a"], "b");
        let priced = format!("{own}\ninput_price = 0.15\noutput_price = 3");
        let priced = read(&priced).expect("a model");
        assert_eq!((priced.input_price_millis, priced.output_price_millis), (150, 3_000));
        let near = format!("{}\nkey = \"file:keys/one\"", own);
        let model = read(&near).expect("a model").with_whole_path(|path| Path::new("/etc").join(path));
        assert_eq!(model.key, Some(SecretSource::File("/etc/keys/one".into())));
    }

    #[test]
    fn what_would_send_a_key_in_the_clear_or_holds_one_is_refused_and_not_repeated() {
        for (line, why) in [
            ("url = \"http://api.example.com/v1\"", "neither https"),
            ("url = \"http://127.0.0.1.example.com/v1\"", "neither https"),
            ("url = \"https://me:sk-secret@example.com\"", "name or password"),
            ("url = \"https://example.com/?key=sk-secret\"", "ends with its path"),
            ("url = \"sk-secret\"", "is none"),
            ("url = \"https://e.example\"\nkey = \"sk-secret\"", "env:NAME"),
            ("url = \"https://e.example\"\nkey = \"file:\"", "whole path"),
            ("url = \"https://e.example\"\nheaders = { \"a b\" = \"c\" }", "no header"),
            ("url = \"https://e.example\"\ntimeout_seconds = 0", "not from 1"),
            ("url = \"https://e.example\"\nprice = 1", "unknown field"),
            ("url = \"https://e.example\"\ninput_price = -1", "no price"),
            ("url = \"https://e.example\"\ninput_price = 0.0001", "three digits"),
            ("url = \"https://e.example\"\noutput_price = nan", "no price"),
        ] {
            let error = read(&format!("api = \"openai-chat\"\nmodel = \"m\"\n{line}")).expect_err(line);
            let said = error.lines().last().unwrap_or_default();
            assert!(error.contains(why) && !said.contains("sk-secret"), "{line}: {error}");
        }
    }
}
