//! How a component in a registry is named: `oci://HOST[:PORT]/REPOSITORY[:TAG][@sha256:…]`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::limits;

/// What it begins with.
pub const SCHEME: &str = "oci://";

/// The tag that is meant where none is named.
const DEFAULT_TAG: &str = "latest";

/// A place in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    host: String,
    port: Option<u16>,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Which artifact of a repository is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version<'a> {
    Tag(&'a str),
    /// No registry can give anything else for it.
    Digest(Digest),
}

/// The SHA-256 of a manifest or of a layer, by which registries name them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// Text that names no place in a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text} is no reference to a registry: {why}; write oci://HOST[:PORT]/REPOSITORY[:TAG] or …@sha256:DIGEST"
)]
pub struct ReferenceError {
    text: String,
    why: &'static str,
}

impl Reference {
    /// Whether a text is meant as one, be it right or not.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// With the port, as registries and their credentials are named.
    pub fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// Where it is asked. Docker's own is named otherwise than where it serves.
    pub(super) fn served_at(&self) -> String {
        match self.authority().as_str() {
            "docker.io" => "registry-1.docker.io".to_owned(),
            authority => authority.to_owned(),
        }
    }

    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// What is to be asked for: a digest goes before a tag.
    pub fn version(&self) -> Version<'_> {
        match (self.digest, &self.tag) {
            (Some(digest), _) => Version::Digest(digest),
            (None, tag) => Version::Tag(tag.as_deref().unwrap_or(DEFAULT_TAG)),
        }
    }

    /// The last part of the repository, as a component's name.
    pub fn component_name(&self) -> String {
        self.repository.rsplit('/').next().unwrap_or_default().replace(['-', '.'], "_")
    }

    /// The tag that was named, now with the digest that it stands for.
    pub fn pinned(&self, digest: Digest) -> Self {
        let tag = self.tag.clone().or_else(|| self.digest.is_none().then(|| DEFAULT_TAG.to_owned()));
        Self { tag, digest: Some(digest), ..self.clone() }
    }

    /// The tag alone, to be looked at again; none where a digest alone was named, which never changes.
    pub fn unpinned(&self) -> Option<Self> {
        self.tag.is_some().then(|| Self { digest: None, ..self.clone() })
    }

    /// On this machine: the only place where a registry may do without TLS.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

/// Of a host as a URL has it.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let shown: String =
            text.chars().filter(|c| !c.is_control()).take(limits::MAX_REPOSITORY_BYTES).collect();
        let wrong = |why| ReferenceError { text: shown.clone(), why };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("it does not begin with oci://"))?;
        let (authority, path) = rest.split_once('/').ok_or_else(|| wrong("it names no repository"))?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        // Digits alone: `parse` would take a sign.
        let port = port
            .map(|port| port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten())
            .map(|port| port.ok_or_else(|| wrong("its port is no number from 0 to 65535")))
            .transpose()?;
        if !is_host(host) {
            return Err(wrong("its host is no name and no IPv4 address in small letters"));
        }
        let (path, digest) = match path.split_once('@') {
            Some((path, digest)) => {
                let digest = Digest::parse(digest);
                (
                    path,
                    Some(digest.ok_or_else(|| wrong("its digest is not sha256: and 64 hexadecimal digits"))?),
                )
            }
            None => (path, None),
        };
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if !is_repository(repository) {
            return Err(wrong(
                "its repository is not small letters, digits and single . _ - between slashes",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("its tag is not up to 128 letters, digits, . _ and -"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.authority(), self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    host.len() <= limits::MAX_REPOSITORY_BYTES && host.split('.').all(is_label)
}

fn is_repository(repository: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|byte| is_plain(*byte))
            && bytes.last().is_some_and(|byte| is_plain(*byte))
            && bytes.iter().all(|byte| is_plain(*byte) || matches!(byte, b'.' | b'_' | b'-'))
            && !part.contains("..")
    };
    repository.len() <= limits::MAX_REPOSITORY_BYTES && repository.split('/').all(is_part)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= limits::MAX_REGISTRY_TAG_BYTES
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(super) fn finished(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// `sha256:` and its digits, small ones alone: one digest has one text.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?.as_bytes();
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = digits.as_chunks::<2>();
        let bytes: Vec<u8> = pairs
            .iter()
            .map(|[high, low]| Some((value(*high)? << 4) | value(*low)?))
            .collect::<Option<_>>()?;
        rest.is_empty().then(|| bytes.try_into().ok()).flatten().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn reference(text: &str) -> Reference {
        text.parse().expect("a reference")
    }

    #[test]
    fn a_reference_is_read_and_written_as_it_is() {
        let tagged = reference("oci://127.0.0.1:5000/team/web-digest:1.2");
        assert_eq!((tagged.authority().as_str(), tagged.repository()), ("127.0.0.1:5000", "team/web-digest"));
        assert_eq!((tagged.version(), tagged.component_name().as_str()), (Version::Tag("1.2"), "web_digest"));
        assert!(tagged.is_loopback());
        let empty = Digest::of(b"");
        assert_eq!(empty.to_string(), HEX);
        let pinned = tagged.pinned(empty);
        assert_eq!(pinned.to_string(), format!("oci://127.0.0.1:5000/team/web-digest:1.2@{HEX}"));
        assert_eq!(reference(&pinned.to_string()), pinned);
        assert_eq!((pinned.version(), pinned.unpinned()), (Version::Digest(empty), Some(tagged)));
        let untagged = reference("oci://ghcr.io/a/b");
        assert_eq!((untagged.version(), untagged.is_loopback()), (Version::Tag("latest"), false));
        assert_eq!(untagged.pinned(empty).to_string(), format!("oci://ghcr.io/a/b:latest@{HEX}"));
        assert_eq!(reference(&format!("oci://ghcr.io/a/b@{HEX}")).unpinned(), None);
    }

    #[test]
    fn what_names_no_place_is_refused_with_its_reason() {
        for (text, why) in [
            ("ghcr.io/a/b", "oci://"),
            ("oci://ghcr.io", "no repository"),
            ("oci:///a", "its host"),
            ("oci://user:pass@ghcr.io/a", "its port"),
            ("oci://user@ghcr.io/a", "its host"),
            ("oci://GHCR.io/a", "its host"),
            ("oci://ghcr.io:+1/a", "its port"),
            ("oci://ghcr.io:/a", "its port"),
            ("oci://ghcr.io:65536/a", "its port"),
            ("oci://ghcr.io/../a", "its repository"),
            ("oci://ghcr.io/a//b", "its repository"),
            ("oci://ghcr.io/a?b=c", "its repository"),
            ("oci://ghcr.io/a%2e", "its repository"),
            ("oci://ghcr.io/a:", "its tag"),
            ("oci://ghcr.io/a:b/c", "its tag"),
            ("oci://ghcr.io/a@sha256:00", "its digest"),
            ("oci://ghcr.io/a@sha512:00", "its digest"),
        ] {
            let error = text.parse::<Reference>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!(Digest::parse(&HEX.to_uppercase().replace("SHA", "sha")), None);
        assert_eq!(Digest::parse(&format!("{HEX}0")), None);
    }
}
