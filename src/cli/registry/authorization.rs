//! How a registry wants to know its caller: with a name and password, or with a token that another address gives.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::error::{RegistryError, shown};
use crate::authority::Secret;

/// Name and password for one registry.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub user: String,
    pub password: Secret,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

/// What is given for credentials; some registries name it so, some otherwise.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Challenge {
    pub(super) fn of(url: &Url, headers: &HeaderMap) -> Result<Self, RegistryError> {
        let wrong = |why: &str| RegistryError::Challenge { url: shown(url), why: why.to_owned() };
        // Some offer more than one way.
        let offered = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut first = Err(wrong("it does not say which"));
        for (number, text) in offered.enumerate() {
            match Self::read(url, text) {
                Ok(challenge) => return Ok(challenge),
                Err(error) if number == 0 => first = Err(error),
                Err(_) => {}
            }
        }
        first
    }

    fn read(url: &Url, text: &str) -> Result<Self, RegistryError> {
        let wrong = |why: &str| RegistryError::Challenge { url: shown(url), why: why.to_owned() };
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(wrong("it is neither Basic nor Bearer"));
        }
        let (mut realm, mut service) = (None, None);
        for (name, value) in parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
        }
        let realm = realm.ok_or_else(|| wrong("it does not say where tokens are given"))?;
        let realm = Url::parse(&realm).map_err(|_| wrong("where tokens are given is no address"))?;
        Ok(Self::Bearer { realm, service })
    }
}

/// `name="value"` pairs with commas between them; a comma within quotes divides nothing.
fn parameters(mut rest: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']);
        let mut value = String::new();
        let end = match after.strip_prefix('"') {
            Some(quoted) => 1 + unquote(quoted, &mut value),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                value.push_str(after[..end].trim());
                end
            }
        };
        found.push((name, value));
        rest = after.get(end..).unwrap_or_default();
    }
    found
}

/// Takes what stands before the closing quote; gives how far it and the quote go.
fn unquote(text: &str, value: &mut String) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !is_escaped => is_escaped = true,
            '"' if !is_escaped => return at + 1,
            _ => {
                value.push(c);
                is_escaped = false;
            }
        }
    }
    text.len()
}

pub(super) fn basic(url: &Url, credentials: &Credentials) -> Result<HeaderValue, RegistryError> {
    let pair = STANDARD.encode(format!("{}:{}", credentials.user, credentials.password.expose()));
    secret(url, format!("Basic {pair}"))
}

/// Of the answer of an address that gives tokens.
pub(super) fn bearer(url: &Url, answer: &[u8]) -> Result<HeaderValue, RegistryError> {
    let wrong = |why: &str| RegistryError::Challenge { url: shown(url), why: why.to_owned() };
    let Token { token, access_token } =
        serde_json::from_slice(answer).map_err(|_| wrong("what it gives is no token in JSON"))?;
    let named = [token, access_token].into_iter().flatten().find(|token| !token.is_empty());
    let token = named.ok_or_else(|| wrong("it gives no token"))?;
    secret(url, format!("Bearer {token}"))
}

fn secret(url: &Url, text: String) -> Result<HeaderValue, RegistryError> {
    let mut value = HeaderValue::try_from(text).map_err(|_| RegistryError::Challenge {
        url: shown(url),
        why: "the credentials hold characters that no header can".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(text: &str) -> Result<Challenge, String> {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, HeaderValue::try_from(text).expect("a header"));
        let url = Url::parse("https://registry.example/v2/").expect("an address");
        Challenge::of(&url, &headers).map_err(|error| error.to_string())
    }

    #[test]
    fn a_challenge_is_read_as_registries_write_it() {
        let realm = Url::parse("https://auth.example/token?a=b,c").expect("an address");
        let service = Some("a \"b\", c".to_owned());
        let text = r#"Bearer realm="https://auth.example/token?a=b,c",service="a \"b\", c",scope="x""#;
        assert_eq!(challenge(text), Ok(Challenge::Bearer { realm, service }));
        let realm = Url::parse("https://auth.example/t").expect("an address");
        assert_eq!(
            challenge("bearer realm=https://auth.example/t, x=y"),
            Ok(Challenge::Bearer { realm, service: None })
        );
        assert_eq!(challenge(r#"Basic realm="r""#), Ok(Challenge::Basic));
        let mut two = HeaderMap::new();
        for text in ["Negotiate", r#"Basic realm="r""#] {
            two.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
        }
        let url = Url::parse("https://registry.example/v2/").expect("an address");
        assert_eq!(Challenge::of(&url, &two).expect("the second is known"), Challenge::Basic);
        assert!(
            bearer(&url, br#"{"token": "", "access_token": "t"}"#).is_ok_and(|value| value == "Bearer t")
        );
        assert!(bearer(&url, br#"{"token": ""}"#).is_err());
        assert!(challenge("Digest realm=x").is_err_and(|error| error.contains("neither Basic nor Bearer")));
        assert!(challenge("Bearer service=x").is_err_and(|error| error.contains("where tokens are given")));
        assert!(challenge(r#"Bearer realm="nowhere"#).is_err_and(|error| error.contains("is no address")));
    }
}
