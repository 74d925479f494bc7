//! What one client sets for itself by the address that it is given, `…/mcp?wait=4&links=text`: how long it is kept
//! waiting for an answer, and how it is shown links. Many hosts and frameworks let a user set nothing but an address.

use std::time::Duration;

use rmcp::RoleServer;
use rmcp::service::RequestContext;
use serde::{Deserialize, Serialize};

use super::server::Handler;
use crate::limits;

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
                "wait" => wait.replace(wait_in(&decoded(value))?).is_some(),
                "links" => links.replace(links_in(&decoded(value))?).is_some(),
                _ => false,
            };
            if is_again {
                return Err(format!("the address has the parameter '{name}' twice; it may stand there once"));
            }
        }
        Ok(Self { wait: wait.flatten(), links })
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
    seconds.ok_or_else(|| {
        let most = limits::MAX_INLINE_WAIT_SECONDS;
        bad("wait", value, &format!("a whole number of seconds up to {most}, 0 for no bound"))
    })
}

fn links_in(value: &str) -> Result<Links, String> {
    value.parse().map_err(|_| bad("links", value, "block or text"))
}

fn bad(name: &str, value: &str, may: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    let value: String = value.chars().take(SHOWN_CHARS).collect();
    format!("the parameter '{name}' of the address is '{value}'; it may be {may}")
}

fn decoded(value: &str) -> String {
    percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// The lower of two bounds; `None` is no bound.
pub fn lower(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Handler {
    /// What the client of this request set for itself. Each request of a session bears the address too.
    fn set_by_client(&self, context: &RequestContext<RoleServer>) -> ClientSettings {
        let of_address = context.extensions.get::<http::request::Parts>();
        let of_address = of_address.and_then(|parts| parts.extensions.get::<ClientSettings>());
        of_address.copied().unwrap_or_default()
    }

    /// How long an answer is waited for at most.
    pub(super) fn wait_bound(&self, context: &RequestContext<RoleServer>) -> Option<Duration> {
        lower(self.server.options().wait, self.set_by_client(context).wait)
    }

    pub(super) fn links(&self, context: &RequestContext<RoleServer>) -> Links {
        self.set_by_client(context).links.unwrap_or(self.server.options().links)
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
    fn of_two_bounds_the_lower_holds() {
        let seconds = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        for (one, other, least) in [(0, 0, 0), (4, 0, 4), (0, 7, 7), (4, 7, 4), (9, 7, 7)] {
            assert_eq!(lower(seconds(one), seconds(other)), seconds(least));
        }
    }
}
