//! The small pattern languages of manifests and grants.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{pattern}' is no {what}: {why}")]
pub struct PatternError {
    pub pattern: String,
    pub what: &'static str,
    pub why: &'static str,
}

/// `*` stands for any text, everything else for itself.
pub fn glob_matches(glob: &str, text: &str) -> bool {
    // Greedy matching with one point of return: linear but for the text between two stars.
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut g, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if g < glob.len() && glob[g] == b'*' {
            back = Some((g + 1, t));
            g += 1;
        } else if g < glob.len() && glob[g] == text[t] {
            g += 1;
            t += 1;
        } else if let Some((after_star, from)) = back {
            g = after_star;
            t = from + 1;
            back = Some((after_star, from + 1));
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

/// `scheme://host[:port]`; a host of `*.example.com` stands for every name below `example.com`, not for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HttpPattern {
    pub scheme: String,
    /// Lower case, without the leading `*.`.
    pub host: String,
    pub subdomains: bool,
    pub port: u16,
}

impl HttpPattern {
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let refuse = |why| PatternError {
            pattern: pattern.to_owned(),
            what: "http pattern (scheme://host[:port])",
            why,
        };
        let (scheme, rest) = pattern.split_once("://").ok_or_else(|| refuse("there is no '://'"))?;
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(refuse("the scheme is http or https")),
        };
        if rest.is_empty() || rest.contains(['/', '?', '#', '@', ' ']) {
            return Err(refuse("after the scheme come a host and, if need be, a port, and nothing else"));
        }
        let (host, port) = split_port(rest).ok_or_else(|| refuse("the port is no number from 1 to 65535"))?;
        let (host, subdomains) = match host.strip_prefix("*.") {
            Some(parent) => (parent, true),
            None => (host, false),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if !host.chars().all(|c| plain(c) || c == '*') {
            return Err(refuse("a host is written in ASCII letters, digits, '-', '.' and '_'"));
        }
        if host.is_empty() || host.contains('*') || host.ends_with('.') {
            return Err(refuse(
                "a '*' may only stand first, as in *.example.com, and a host does not end in a dot",
            ));
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            host: host.to_ascii_lowercase(),
            subdomains,
            port: port.unwrap_or(default_port),
        })
    }

    pub fn matches(&self, scheme: &str, host: &str, port: u16) -> bool {
        if self.scheme != scheme || self.port != port {
            return false;
        }
        let host = host.to_ascii_lowercase();
        if !self.subdomains {
            return host == self.host;
        }
        host.strip_suffix(&self.host).is_some_and(|left| left.len() > 1 && left.ends_with('.'))
    }
}

impl HttpPattern {
    /// Whether everything that `other` matches is matched by this one too.
    pub fn covers(&self, other: &Self) -> bool {
        if !self.subdomains {
            return self == other;
        }
        let below = other.host.strip_suffix(&self.host).is_some_and(|left| left.ends_with('.'));
        let same = other.host == self.host && other.subdomains;
        (self.scheme.as_str(), self.port) == (other.scheme.as_str(), other.port) && (below || same)
    }
}

impl std::fmt::Display for HttpPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let star = if self.subdomains { "*." } else { "" };
        write!(f, "{}://{star}{}:{}", self.scheme, self.host, self.port)
    }
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    // An IPv6 literal stands in brackets, and its colons are no port.
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_brackets..].rfind(':') {
        None => Some((authority, None)),
        Some(at) => {
            let at = after_brackets + at;
            let port: u16 = authority[at + 1..].parse().ok().filter(|port| *port != 0)?;
            Some((&authority[..at], Some(port)))
        }
    }
}

/// `NAMESPACE` or `NAMESPACE/KEY-GLOB`, either with `:read`; the namespace may be a glob too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatePattern {
    pub namespace: String,
    pub key: String,
    pub read_only: bool,
}

impl StatePattern {
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let refuse = |why| PatternError {
            pattern: pattern.to_owned(),
            what: "state pattern (NAMESPACE[/KEY-GLOB][:read])",
            why,
        };
        let (scope, read_only) = match pattern.strip_suffix(":read") {
            Some(scope) => (scope, true),
            None => (pattern, false),
        };
        let (namespace, key) = scope.split_once('/').unwrap_or((scope, "*"));
        if namespace.is_empty() || key.is_empty() {
            return Err(refuse("neither the namespace nor the key may be empty"));
        }
        let fits =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '*');
        if namespace.len() > 64 || !namespace.chars().all(fits) {
            return Err(refuse("a namespace is at most 64 of a-z, 0-9, '.', '_' and '-' ('*' in a pattern)"));
        }
        Ok(Self { namespace: namespace.to_owned(), key: key.to_owned(), read_only })
    }

    pub fn matches(&self, namespace: &str, key: &str, write: bool) -> bool {
        !(write && self.read_only) && glob_matches(&self.namespace, namespace) && glob_matches(&self.key, key)
    }
}

impl StatePattern {
    /// Whether everything that `other` matches is matched by this one too.
    pub fn covers(&self, other: &Self) -> bool {
        // A star in the other pattern is text that only a star of this one takes in.
        (other.read_only || !self.read_only)
            && glob_matches(&self.namespace, &other.namespace)
            && glob_matches(&self.key, &other.key)
    }
}

impl std::fmt::Display for StatePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.namespace)?;
        if self.key != "*" {
            write!(f, "/{}", self.key)?;
        }
        f.write_str(if self.read_only { ":read" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, text, fits) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "ab", false),
            ("", "a", false),
            ("task_*", "task_list", true),
        ] {
            assert_eq!(glob_matches(glob, text), fits, "{glob} {text}");
        }
    }

    #[test]
    fn http_patterns_fit_exactly_or_by_subdomain() {
        let api = HttpPattern::parse("https://api.example.com").expect("a pattern");
        assert!(api.matches("https", "API.example.com", 443));
        assert!(!api.matches("http", "api.example.com", 443));
        assert!(!api.matches("https", "api.example.com", 8443));
        assert!(!api.matches("https", "xapi.example.com", 443));
        let below = HttpPattern::parse("https://*.example.com:8443").expect("a pattern");
        assert!(below.matches("https", "a.b.example.com", 8443));
        assert!(!below.matches("https", "example.com", 8443));
        assert!(!below.matches("https", "evilexample.com", 8443));
        assert!(HttpPattern::parse("http://[::1]:8080").expect("a pattern").matches("http", "[::1]", 8080));
        for wrong in [
            "example.com",
            "ftp://x",
            "https://",
            "https://a/b",
            "https://*",
            "https://a.*.b",
            "http://a:0",
            "http://u@a",
            "https://a\u{1b}]0;x\u{7}b.com",
            "https://a\u{202e}b.com",
            "https://bücher.example",
        ] {
            assert!(HttpPattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn state_patterns_tell_reading_from_writing() {
        let trips = StatePattern::parse("trips/eu-*:read").expect("a pattern");
        assert!(trips.matches("trips", "eu-1", false));
        assert!(!trips.matches("trips", "eu-1", true));
        assert!(!trips.matches("trips", "us-1", false));
        assert!(StatePattern::parse("Trips").is_err());
        assert!(StatePattern::parse("/x").is_err());
    }

    #[test]
    fn a_pattern_covers_what_it_matches_and_no_more() {
        let http = |text: &str| HttpPattern::parse(text).expect("a pattern");
        for (wide, narrow, covers) in [
            ("https://a.example", "https://a.example:443", true),
            ("https://*.example", "https://a.example", true),
            ("https://*.example", "https://*.example", true),
            ("https://*.example", "https://*.a.example", true),
            ("https://*.example", "https://example", false),
            ("https://*.a.example", "https://*.example", false),
            ("https://a.example", "https://*.a.example", false),
            ("https://*.example", "http://a.example", false),
            ("https://*.example", "https://a.example:8443", false),
            ("https://*.example", "https://aexample", false),
        ] {
            assert_eq!(http(wide).covers(&http(narrow)), covers, "{wide} {narrow}");
        }
        let state = |text: &str| StatePattern::parse(text).expect("a pattern");
        for (wide, narrow, covers) in [
            ("trips", "trips/a", true),
            ("trips", "trips:read", true),
            ("trips:read", "trips", false),
            ("trips/a*", "trips/ab*", true),
            ("trips/ab*", "trips/a*", false),
            ("*", "trips", true),
            ("trips", "*", false),
        ] {
            assert_eq!(state(wide).covers(&state(narrow)), covers, "{wide} {narrow}");
            assert_eq!(state(&state(wide).to_string()), state(wide));
        }
    }
}
