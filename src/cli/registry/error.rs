use reqwest::Url;

use super::reference::Digest;
use crate::limits;

/// Why nothing came from a registry, or went to it. Each begins with the address that was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("{url}: cannot be reached: {why}; look at the network and at the name of the registry")]
    Unreachable { url: String, why: String },
    #[error("{url}: its answer takes too long, or pauses for too long in the midst of it; try again later")]
    TooSlow { url: String },
    #[error("{url}: its answer breaks off: {why}; try again")]
    Cut { url: String, why: String },
    #[error("{url}: there is no such artifact; look at the repository and the tag")]
    Missing { url: String },
    #[error(
        "{url}: the registry knows no such repository, or takes no push to it{words}; look at its name, and whether it has to be made there first"
    )]
    NotPushable { url: String, words: String },
    #[error("{url}: the registry wants other credentials{words}")]
    Unauthorized { url: String, words: String },
    #[error("{url}: the registry wants credentials in a way that is not known: {why}")]
    Challenge { url: String, why: String },
    #[error("{url}: the registry answers with status {status}{words}")]
    Status { url: String, status: u16, words: String },
    #[error("{url}: it sends on to {target}, which is not followed: {why}")]
    Redirect { url: String, target: String, why: &'static str },
    #[error("{url}: it gives more than {limit} bytes, and no more are taken")]
    TooLarge { url: String, limit: usize },
    #[error(
        "{url}: the bytes are not those that were asked for: their digest is {found}, not {wanted}; do not use this registry before you know why"
    )]
    Digest { url: String, wanted: Digest, found: Digest },
    #[error("{url}: it is no component as wkg and longhaul push them: {why}")]
    Form { url: String, why: String },
    #[error("{what} is larger than {limit} bytes, which is the most that is pushed")]
    PushTooLarge { what: &'static str, limit: usize },
}

/// An address as errors have it: without a query, in which registries put what lets a caller in.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// What another wrote, fit to be shown: short, and in one line.
pub(super) fn words(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(limits::MAX_REGISTRY_WORDS_CHARS)
        .collect();
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
