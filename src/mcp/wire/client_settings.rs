//! What one client sets for itself by the address that it is given, `…/mcp?wait=4&links=text`: how long it is kept
//! waiting for an answer, and how it is shown links. Many hosts and frameworks let a user set nothing but an address;
//! over pipes there is none, and `serve --stdio` has flags.

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::MetaObject;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error;
use crate::limits;
use crate::task::integer;

/// The same in a request's `_meta`, for that request: a bridge writes its host's there.
pub const WAIT_META: &str = "longhaul/wait-bound-seconds";
pub const LINKS_META: &str = "longhaul/links";

/// How a link to a task is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Links {
    /// As the protocol has it: a `resource_link` behind the text.
    #[default]
    Block,
    /// As texts alone: some clients fail at a block that is no text and no image.
    Text,
}

impl Links {
    fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Text => "text",
        }
    }
}

impl std::str::FromStr for Links {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "block" => Ok(Self::Block),
            "text" => Ok(Self::Text),
            _ => Err("is neither block nor text"),
        }
    }
}

/// What a client says; `None` leaves it to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// No answer is waited for any longer.
    pub wait: Option<Duration>,
    pub links: Option<Links>,
}

impl ClientSettings {
    /// Of an address. Parameters that are not known here are passed over: proxies add some. The error names the
    /// parameter, and says what may stand there.
    pub fn of_query(query: &str) -> Result<Self, String> {
        let (mut wait, mut links) = (None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let is_again = match name {
                "wait" => wait.replace(wait_in(&decode(value))?).is_some(),
                "links" => links.replace(links_in(&decode(value))?).is_some(),
                _ => false,
            };
            if is_again {
                return Err(format!("the address has the parameter '{name}' twice; it may stand there once"));
            }
        }
        Ok(Self { wait: wait.flatten(), links })
    }

    /// Of a request's `_meta`.
    pub fn of_meta(meta: &MetaObject) -> Result<Self, ErrorData> {
        let wrong = |name: &str, value: &Value, may: &str| {
            let shown: String = value.to_string().chars().take(SHOWN_CHARS).collect();
            error::bad_params(format!("_meta[\"{name}\"] is {shown}; it may be {may}"))
        };
        let wait = meta.get(WAIT_META).map(|value| {
            let seconds = integer(value).and_then(|seconds| wait_bound_of(u64::try_from(seconds).ok()?).ok());
            seconds.ok_or_else(|| wrong(WAIT_META, value, &seconds_words()))
        });
        let links = meta.get(LINKS_META).map(|value| {
            let links = value.as_str().and_then(|text| text.parse().ok());
            links.ok_or_else(|| wrong(LINKS_META, value, "\"block\" or \"text\""))
        });
        Ok(Self { wait: wait.transpose()?.flatten(), links: links.transpose()? })
    }

    /// What says the same in a request's `_meta`.
    pub fn in_meta(&self) -> Vec<(&'static str, Value)> {
        let wait = self.wait.map(|wait| (WAIT_META, wait.as_secs().into()));
        let links = self.links.map(|links| (LINKS_META, Value::String(links.as_str().to_owned())));
        wait.into_iter().chain(links).collect()
    }
}

/// Seconds; 0 is no bound.
pub fn wait_bound_of(seconds: u64) -> Result<Option<Duration>, String> {
    let most = limits::MAX_INLINE_WAIT_SECONDS;
    if seconds > most {
        return Err(format!("is not from 1 to {most}, nor 0, which is no bound"));
    }
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

fn wait_in(value: &str) -> Result<Option<Duration>, String> {
    let seconds = value.parse().ok().and_then(|seconds| wait_bound_of(seconds).ok());
    seconds.ok_or_else(|| bad("wait", value, &seconds_words()))
}

fn seconds_words() -> String {
    format!("a whole number of seconds up to {}, 0 for no bound", limits::MAX_INLINE_WAIT_SECONDS)
}

fn links_in(value: &str) -> Result<Links, String> {
    value.parse().map_err(|_| bad("links", value, "block or text"))
}

/// As much of a bad value as its refusal repeats.
const SHOWN_CHARS: usize = 80;

fn bad(name: &str, value: &str, may: &str) -> String {
    let value: String = value.chars().take(SHOWN_CHARS).collect();
    format!("the parameter '{name}' of the address is '{value}'; it may be {may}")
}

fn decode(value: &str) -> String {
    percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// The lower of two bounds; `None` is no bound.
pub fn lower(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(wait: Option<u64>, links: Option<Links>) -> ClientSettings {
        ClientSettings { wait: wait.map(Duration::from_secs), links }
    }

    #[test]
    fn an_address_sets_what_it_names_and_passes_over_the_rest() {
        for (query, settings) in [
            ("", set(None, None)),
            ("wait=4", set(Some(4), None)),
            ("wait=0", set(None, None)),
            ("links=text", set(None, Some(Links::Text))),
            ("links=block&wait=86400", set(Some(86_400), Some(Links::Block))),
            ("key=a&wait=%37&&utm_source=wait", set(Some(7), None)),
            ("waits=x&Wait=y", set(None, None)),
        ] {
            assert_eq!(ClientSettings::of_query(query), Ok(settings), "{query}");
        }
    }

    #[test]
    fn a_bad_parameter_is_named_with_what_may_stand_there() {
        for (query, parts) in [
            ("wait=abc", ["'wait'", "whole number"]),
            ("wait=", ["'wait'", "whole number"]),
            ("wait", ["'wait'", "whole number"]),
            ("wait=-1", ["'-1'", "whole number"]),
            ("wait=1.5", ["'1.5'", "whole number"]),
            ("wait=86401", ["'86401'", "up to 86400"]),
            ("wait=99999999999999999999999", ["'wait'", "up to 86400"]),
            ("links=maybe", ["'links'", "block or text"]),
            ("links=TEXT", ["'TEXT'", "block or text"]),
            ("wait=4&wait=4", ["'wait'", "twice"]),
            ("wait=0&wait=4", ["'wait'", "twice"]),
            ("links=text&wait=1&links=block", ["'links'", "twice"]),
        ] {
            let why = ClientSettings::of_query(query).expect_err(query);
            assert!(parts.iter().all(|part| why.contains(part)), "{query}: {why}");
        }
    }

    #[test]
    fn what_a_bridge_writes_into_a_request_reads_back_and_other_values_are_refused() {
        for settings in [
            set(None, None),
            set(Some(4), None),
            set(Some(86_400), Some(Links::Block)),
            set(None, Some(Links::Text)),
        ] {
            let mut meta = MetaObject::new();
            for (name, value) in settings.in_meta() {
                meta.insert(name.to_owned(), value);
            }
            assert_eq!(ClientSettings::of_meta(&meta), Ok(settings));
        }
        for (name, value) in [
            (WAIT_META, Value::from("4")),
            (WAIT_META, Value::from(-1)),
            (WAIT_META, Value::from(86_401)),
            (LINKS_META, Value::from("none")),
            (LINKS_META, Value::Null),
        ] {
            let mut meta = MetaObject::new();
            meta.insert(name.to_owned(), value);
            let error = ClientSettings::of_meta(&meta).expect_err(name);
            assert!(error.message.contains(name), "{}", error.message);
        }
    }

    #[test]
    fn of_two_bounds_the_lower_holds() {
        let seconds = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        for (one, other, least) in [(0, 0, 0), (4, 0, 4), (0, 7, 7), (4, 7, 4), (9, 7, 7)] {
            assert_eq!(lower(seconds(one), seconds(other)), seconds(least));
        }
    }
}
