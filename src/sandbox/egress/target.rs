//! Where a request is to go, rebuilt from what the guest said, so that the one who judges it and the one who
//! connects cannot read it differently.

use std::net::IpAddr;

use reqwest::Url;

use crate::authority::{Capability, Grant, HttpPattern};

/// The URL of a request, and what of it matters to who may go there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: Url,
    host: String,
    port: u16,
    literal: Option<IpAddr>,
}

/// The request names no place that anything could go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unusable;

impl Target {
    /// Numeric hosts in whatever notation (`127.1`, `0x7f000001`) become the address that they are. Users,
    /// passwords and names with a dot at their end are refused: two readers could take them differently.
    pub fn of(scheme: &str, authority: &str, path_and_query: &str) -> Result<Self, Unusable> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        if !matches!(scheme, "http" | "https") || authority.is_empty() || !authority.chars().all(is_plain) {
            return Err(Unusable);
        }
        if !(path_and_query.is_empty() || path_and_query.starts_with(['/', '?'])) {
            return Err(Unusable);
        }
        let url = Url::parse(&format!("{scheme}://{authority}{path_and_query}")).map_err(|_| Unusable)?;
        let host = url.host_str().ok_or(Unusable)?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(Unusable)?;
        if host.ends_with('.') {
            return Err(Unusable);
        }
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        Ok(Self { url, host, port, literal })
    }

    /// Whether `grant` names this scheme, host and port. An address, or `localhost`, must be named as it is.
    pub fn is_granted(&self, grant: &Grant) -> bool {
        let scheme = self.url.scheme();
        if !grant.allows(Capability::Http { scheme, host: &self.host, port: self.port }) {
            return false;
        }
        let named =
            |pattern: &HttpPattern| !pattern.subdomains && pattern.matches(scheme, &self.host, self.port);
        self.literal.is_none() || grant.http.iter().any(named)
    }

    /// What a grant would have to name.
    pub fn pattern(&self) -> HttpPattern {
        HttpPattern {
            scheme: self.url.scheme().to_owned(),
            host: self.host.clone(),
            subdomains: false,
            port: self.port,
        }
    }

    /// A grant for this host with another scheme or port, if there is one.
    pub fn granted_otherwise<'a>(&self, grant: &'a Grant) -> Option<&'a HttpPattern> {
        let named = |granted: &&HttpPattern| granted.matches(&granted.scheme, &self.host, granted.port);
        grant.http.iter().find(named)
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Lower case; an address of IPv6 stands in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address that the host is, if it is no name.
    pub fn literal(&self) -> Option<IpAddr> {
        self.literal
    }

    /// For people: without the query, where secrets may stand.
    pub fn describe(&self) -> String {
        format!("{}{}", self.origin(), self.url.path())
    }

    /// For what is kept: without the path, which may be made of arguments, or be a secret.
    pub fn origin(&self) -> String {
        format!("{}://{}:{}", self.url.scheme(), self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(patterns: &[&str]) -> Grant {
        let http = patterns.iter().map(|pattern| HttpPattern::parse(pattern).unwrap()).collect();
        Grant { http, ..Grant::default() }
    }

    #[test]
    fn hosts_come_in_one_notation_or_not_at_all() {
        for (authority, host) in [
            ("Example.COM", "example.com"),
            ("127.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        ] {
            let target = Target::of("http", authority, "/").unwrap();
            assert_eq!(target.host(), host, "{authority}");
            assert_eq!(target.literal().is_some(), host != "example.com", "{authority}");
        }
        for authority in [
            "",
            "example.com.",
            "u@example.com",
            "u:p@example.com",
            "a b",
            "a\\b",
            "a%2eb",
            "a:99999",
            "a:0",
            "256.1.1.1",
        ] {
            assert_eq!(Target::of("http", authority, "/"), Err(Unusable), "{authority}");
        }
        assert_eq!(Target::of("ftp", "example.com", "/"), Err(Unusable));
        assert_eq!(Target::of("http", "a.example", "http://b.example/"), Err(Unusable));
        let target = Target::of("https", "a.example:8443", "/x/../y\\z?q=1").unwrap();
        assert_eq!(target.url().as_str(), "https://a.example:8443/y/z?q=1");
        assert_eq!(target.describe(), "https://a.example:8443/y/z");
    }

    #[test]
    fn a_target_needs_a_grant_for_its_scheme_host_and_port() {
        let target = |scheme, authority| Target::of(scheme, authority, "/").unwrap();
        let grant =
            granted(&["https://*.example", "http://127.0.0.1:8080", "http://localhost", "http://*.0.0.1"]);
        for (scheme, authority, fits) in [
            ("https", "a.example", true),
            ("http", "a.example", false),
            ("https", "a.example:8443", false),
            ("https", "example", false),
            ("http", "127.0.0.1:8080", true),
            ("http", "127.1:8080", true),
            ("http", "127.0.0.1", false),
            ("http", "10.0.0.1", false),
            ("http", "localhost", true),
            ("http", "a.localhost", false),
            ("http", "[::1]", false),
        ] {
            let target = target(scheme, authority);
            assert_eq!(target.is_granted(&grant), fits, "{scheme} {authority}");
            let granted = Grant { http: vec![target.pattern()], ..Grant::default() };
            assert!(target.is_granted(&granted), "{scheme} {authority}");
        }
        let otherwise =
            |scheme, authority| target(scheme, authority).granted_otherwise(&grant).map(ToString::to_string);
        assert_eq!(otherwise("http", "a.example").as_deref(), Some("https://*.example:443"));
        assert_eq!(otherwise("http", "127.0.0.1").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(otherwise("https", "b.test"), None);
    }
}
