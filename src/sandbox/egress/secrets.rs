//! Secrets on their way out: put into a request as a header once the guest's part is over, and masked where the answer
//! repeats them.

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};

use super::answer::Answer;
use super::connector::Outgoing;
use super::failure::Failure;
use super::masking::{MASK, Masker};
use super::target::Target;
use crate::authority::{Secret, SecretGrant};
use crate::secrets::{SecretSource, Secrets};

/// The secrets of one request.
pub struct PutIn(Vec<Secret>);

/// Puts those of `granted` that are for this request's host into it, over what the guest has there. A request to that host
/// which cannot have its secret does not leave: what it would bring is not what its guest wants to know.
/// Where there are no `secrets`, nothing leaves, and none is wanted.
pub async fn put_in(
    secrets: Option<&Secrets>,
    granted: &[SecretGrant],
    outgoing: &mut Outgoing,
) -> Result<PutIn, Failure> {
    let mut put = Vec::new();
    let Some(secrets) = secrets else { return Ok(PutIn(put)) };
    for grant in granted.iter().filter(|grant| grant.host == outgoing.target.host()) {
        if !is_private(&outgoing.target) {
            return Err(Failure::Other(format!(
                "the secret '{}' goes to {} by https alone, and this request is plain http",
                grant.name, grant.host
            )));
        }
        let secret = value(secrets, grant).await?;
        let (name, prefix) = grant.header();
        let line = header(name, &prefix, &secret).ok_or_else(|| unavailable(grant))?;
        outgoing.headers.insert(line.0, line.1);
        put.push(secret);
    }
    if !put.is_empty() {
        // A secret that comes back compressed would not be found.
        outgoing.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    Ok(PutIn(put))
}

/// Nothing between here and there reads along. `localhost` leads to loopback, or is not dialled.
fn is_private(target: &Target) -> bool {
    target.url().scheme() == "https"
        || target.host() == "localhost"
        || target.literal().is_some_and(|address| address.is_loopback())
}

async fn value(secrets: &Secrets, grant: &SecretGrant) -> Result<Secret, Failure> {
    let source = grant.from.as_deref().and_then(|from| from.parse::<SecretSource>().ok());
    let Some(source) = source else { return Err(unavailable(grant)) };
    secrets.read(&source).await.map_err(|error| {
        tracing::warn!(secret = %grant.name.escape_debug(), host = %grant.host, "a secret is not there: {error}");
        unavailable(grant)
    })
}

/// For the guest: where its operator keeps a secret is not said to it.
fn unavailable(grant: &SecretGrant) -> Failure {
    Failure::Other(format!(
        "the host has no value for the secret '{}': the log of the server says why, to its operator",
        grant.name
    ))
}

fn header(name: &str, prefix: &str, secret: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose())).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

impl PutIn {
    /// Masks them where the answer has them as they were sent. That is for accidents: a server that gives back what it gets
    /// in a form of its guest's choice gives its secret away, and should be granted none.
    pub fn masked(&self, mut answer: Answer) -> Answer {
        self.mask_headers(&mut answer.headers);
        for secret in &self.0 {
            if let Some(masked) = masked(&answer.body, secret.expose().as_bytes()) {
                answer.body = masked.into();
            }
        }
        answer
    }

    pub fn mask_headers(&self, headers: &mut HeaderMap) {
        for secret in &self.0 {
            mask_headers(headers, secret.expose().as_bytes());
        }
    }

    /// The same for a body that comes piece by piece.
    pub fn masker(self) -> Masker {
        Masker::new(self.0)
    }
}

fn mask_headers(headers: &mut HeaderMap, secret: &[u8]) {
    for value in headers.values_mut() {
        if let Some(masked) = masked(value.as_bytes(), secret)
            && let Ok(masked) = HeaderValue::from_bytes(&masked)
        {
            *value = masked;
        }
    }
}

/// Of the same length; `None` where there is nothing to mask. A secret has at least one byte.
fn masked(text: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let mut found = memchr::memmem::find_iter(text, secret).peekable();
    found.peek()?;
    let mut masked = text.to_vec();
    for at in found {
        masked[at..at + secret.len()].fill(MASK);
    }
    Some(masked)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::{Method, StatusCode};

    use super::*;

    const CANARY: &str = "canary-0123456789";

    fn grant(host: &str, header: &str, from: Option<&str>) -> SecretGrant {
        SecretGrant {
            name: "key".into(),
            host: host.into(),
            header: header.into(),
            from: from.map(Into::into),
        }
    }

    async fn sent(granted: &[SecretGrant], url: (&str, &str)) -> Result<(Outgoing, PutIn), Failure> {
        let read = |source: SecretSource| match source {
            SecretSource::File(path) if path.ends_with("there") => Ok(Secret::new(CANARY)),
            source => Err(crate::secrets::SecretError::new(&source, "is not there")),
        };
        let secrets = Secrets::outside(Arc::new(move |source| {
            let read = read(source);
            Box::pin(async move { read })
        }));
        let mut headers = HeaderMap::new();
        headers.append("authorization", HeaderValue::from_static("the guest's"));
        headers.append("authorization", HeaderValue::from_static("the guest's second"));
        headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
        let target = Target::of(url.0, url.1, "/").expect("a target");
        let mut outgoing = Outgoing { method: Method::GET, target, headers, body: None };
        let put = put_in(Some(&secrets), granted, &mut outgoing).await?;
        Ok((outgoing, put))
    }

    #[tokio::test]
    async fn a_secret_goes_to_its_host_alone_and_over_what_the_guest_says() {
        let granted = [grant("a.example", "authorization: Bearer", Some("file:/there"))];
        for (url, gets) in [
            (("https", "a.example"), true),
            (("https", "A.example:8443"), true),
            (("https", "b.example"), false),
            (("https", "x.a.example"), false),
            (("http", "b.example"), false),
        ] {
            let (outgoing, _) = sent(&granted, url).await.expect("it may leave");
            let line: Vec<_> = outgoing.headers.get_all("authorization").iter().collect();
            match gets {
                true => {
                    assert_eq!(line, [&format!("Bearer {CANARY}")], "{url:?}");
                    assert_eq!(outgoing.headers["accept-encoding"], "identity");
                    assert!(!format!("{outgoing:?}").contains(CANARY));
                }
                false => assert_eq!(line, ["the guest's", "the guest's second"], "{url:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_request_that_cannot_have_its_secret_does_not_leave() {
        let there = Some("file:/there");
        for (granted, url, why) in [
            (grant("a.example", "x-key", there), ("http", "a.example"), "by https alone"),
            (grant("10.0.0.1", "x-key", there), ("http", "10.0.0.1"), "by https alone"),
            (grant("a.example", "x-key", Some("file:/gone")), ("https", "a.example"), "no value"),
            (grant("a.example", "x-key", Some("elsewhere")), ("https", "a.example"), "no value"),
            (grant("a.example", "x-key", None), ("https", "a.example"), "no value"),
        ] {
            let refused = sent(&[granted], url).await.err().expect("it does not leave").to_string();
            assert!(refused.contains(why) && refused.contains("'key'"), "{refused}");
            assert!(!refused.contains("file:"), "{refused}");
        }
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            let (outgoing, _) = sent(&[grant(host, "x-key", there)], ("http", host)).await.expect("loopback");
            assert_eq!(outgoing.headers["x-key"], CANARY);
        }
    }

    #[tokio::test]
    async fn what_comes_back_is_masked() {
        let granted = [grant("a.example", "x-key", Some("file:/there"))];
        let (_, put) = sent(&granted, ("https", "a.example")).await.expect("it may leave");
        let mut headers = HeaderMap::new();
        headers.insert("x-echo", format!("<{CANARY}>").parse().expect("a value"));
        headers.insert("x-other", HeaderValue::from_static("canary"));
        let body = Bytes::from(format!("{CANARY} and {CANARY}{CANARY}, not canary-0"));
        let answer = put.masked(Answer { status: StatusCode::OK, headers, body });
        let stars = "*".repeat(CANARY.len());
        assert_eq!(answer.body, format!("{stars} and {stars}{stars}, not canary-0"));
        assert_eq!(answer.headers["x-echo"], format!("<{stars}>"));
        assert_eq!(answer.headers["x-other"], "canary");
    }
}
