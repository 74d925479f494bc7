//! Requests to one registry: where they may go, how long they may take and how much they may bring.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, Url};

use super::authorization::{self, Challenge, Credentials};
use super::error::{RegistryError, shown, words};
use super::reference::{Reference, is_loopback};
use crate::limits;

/// What is to be done in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Pull,
    Push,
}

/// One repository of one registry.
pub struct Registry {
    client: Client,
    /// Up to and with the repository and a slash.
    base: Url,
    repository: String,
    /// Without TLS, on this machine.
    is_plain: bool,
    credentials: Option<Credentials>,
    /// As the registry wanted it last.
    authorization: Option<HeaderValue>,
}

/// How a registry is asked.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub credentials: Option<Credentials>,
    /// Over TLS, be it on this machine.
    pub tls: bool,
    /// Authorities that are trusted besides those of the system.
    pub certificates: Vec<Certificate>,
    pub patience: Patience,
}

/// How long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    connect: Duration,
    silence: Duration,
    request: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(limits::REGISTRY_CONNECT_MS),
            silence: Duration::from_millis(limits::REGISTRY_SILENCE_MS),
            request: Duration::from_millis(limits::REGISTRY_REQUEST_MS),
        }
    }
}

impl Registry {
    pub fn open(reference: &Reference, access: Access) -> Result<Self, RegistryError> {
        let Access { credentials, tls, certificates, patience } = access;
        let is_loopback = reference.is_loopback();
        let scheme = if is_loopback && !tls { "http" } else { "https" };
        let text = format!("{scheme}://{}/v2/{}/", reference.served_at(), reference.repository());
        let failed = |why: String| RegistryError::Unreachable { url: text.clone(), why };
        let base = Url::parse(&text).map_err(|error| failed(error.to_string()))?;
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .tls_certs_merge(certificates)
            .connect_timeout(patience.connect)
            .read_timeout(patience.silence)
            .timeout(patience.request)
            .user_agent(concat!("longhaul/", env!("CARGO_PKG_VERSION")));
        if is_loopback {
            // What goes without TLS leaves the machine neither by a proxy nor by a name that is looked up.
            builder = builder.no_proxy().resolve("localhost", SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        }
        let client = builder.build().map_err(|error| failed(why(&error)))?;
        let repository = reference.repository().to_owned();
        Ok(Self { client, base, repository, is_plain: is_loopback && !tls, credentials, authorization: None })
    }

    /// Below the repository.
    pub(super) fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.base.join(path).map_err(|error| RegistryError::Form {
            url: shown(&self.base),
            why: format!("{path} is no path: {error}"),
        })
    }

    /// Where the registry sends a push on to: to itself and nowhere else, since that goes with its credentials.
    pub(super) fn own_location(&self, url: &Url, headers: &HeaderMap) -> Result<Url, RegistryError> {
        let target = location(url, headers)?;
        if target.origin() == self.base.origin() {
            return Ok(target);
        }
        Err(redirect(url, &target, "what is pushed goes to the registry that was named and to no other host"))
    }

    /// Asks the registry, and once more with what it wants to know of the caller.
    pub(super) async fn send(
        &mut self,
        purpose: Purpose,
        method: Method,
        url: &Url,
        with: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let answer = self.once(&method, url, &with).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let challenge = Challenge::of(url, answer.headers())?;
        self.authorization = Some(self.authorize(challenge, purpose, url).await?);
        self.once(&method, url, &with).await
    }

    async fn once(
        &self,
        method: &Method,
        url: &Url,
        with: &impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let mut request = with(self.client.request(method.clone(), url.clone()));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        request.send().await.map_err(|error| failed(url, &error))
    }

    async fn authorize(
        &self,
        challenge: Challenge,
        purpose: Purpose,
        url: &Url,
    ) -> Result<HeaderValue, RegistryError> {
        let (realm, service) = match challenge {
            Challenge::Basic => {
                let credentials = self.credentials.as_ref();
                let credentials = credentials.ok_or_else(|| RegistryError::Unauthorized {
                    url: shown(url),
                    words: ", and none are set for it".to_owned(),
                })?;
                return authorization::basic(url, credentials);
            }
            Challenge::Bearer { realm, service } => (realm, service),
        };
        if !self.may_go_to(&realm) {
            let why = "a token is asked for over https alone, or on this machine where the registry is";
            return Err(redirect(url, &realm, why));
        }
        let actions = match purpose {
            Purpose::Pull => "pull",
            Purpose::Push => "pull,push",
        };
        let mut asked = realm;
        asked.query_pairs_mut().append_pair("scope", &format!("repository:{}:{actions}", self.repository));
        if let Some(service) = service {
            asked.query_pairs_mut().append_pair("service", &service);
        }
        let mut request = self.client.get(asked.clone());
        if let Some(credentials) = &self.credentials {
            request = request.header(AUTHORIZATION, authorization::basic(&asked, credentials)?);
        }
        let answer = request.send().await.map_err(|error| failed(&asked, &error))?;
        let answer = successful(&asked, answer).await?;
        let body = body(&asked, answer, limits::MAX_REGISTRY_ANSWER_BYTES).await?;
        authorization::bearer(&asked, &body)
    }

    /// Gets a blob, wherever the registry has it: other hosts are asked without credentials and over https, and what they
    /// give has to have the digest.
    pub(super) async fn blob(&mut self, url: &Url) -> Result<(Url, Response), RegistryError> {
        let mut at = url.clone();
        let mut answer = self.send(Purpose::Pull, Method::GET, url, |request| request).await?;
        for _ in 0..limits::MAX_REGISTRY_REDIRECTS {
            if !answer.status().is_redirection() {
                return Ok((at.clone(), successful(&at, answer).await?));
            }
            let target = location(&at, answer.headers())?;
            if !self.may_go_to(&target) {
                let why =
                    "a registry may send on over https alone, or on this machine where it is there itself";
                return Err(redirect(&at, &target, why));
            }
            answer = self.client.get(target.clone()).send().await.map_err(|error| failed(&target, &error))?;
            at = target;
        }
        if answer.status().is_redirection() {
            let target = location(&at, answer.headers())?;
            return Err(redirect(&at, &target, "it was sent on too often"));
        }
        Ok((at.clone(), successful(&at, answer).await?))
    }

    fn may_go_to(&self, target: &Url) -> bool {
        let host = target.host_str().unwrap_or_default();
        match target.scheme() {
            "https" => true,
            "http" => self.is_plain && is_loopback(host),
            _ => false,
        }
    }
}

/// An answer with a status of success, or what the registry says in its place.
pub(super) async fn successful(url: &Url, answer: Response) -> Result<Response, RegistryError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let url_text = shown(url);
    if status.is_redirection() {
        let target = location(url, answer.headers())?;
        return Err(redirect(url, &target, "only the download of a component may be sent on"));
    }
    if status == StatusCode::NOT_FOUND {
        return Err(RegistryError::Missing { url: url_text });
    }
    let words = said(url, answer).await;
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            RegistryError::Unauthorized { url: url_text, words }
        }
        _ => RegistryError::Status { url: url_text, status: status.as_u16(), words },
    })
}

/// The same of what is pushed: where there is nothing to push to, no artifact is missing.
pub(super) async fn taken(url: &Url, answer: Response) -> Result<Response, RegistryError> {
    match answer.status() {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            Err(RegistryError::NotPushable { url: shown(url), words: said(url, answer).await })
        }
        _ => successful(url, answer).await,
    }
}

/// What it says in the place of an answer, which is a help and no more: where it cannot be read, the status says enough.
async fn said(url: &Url, answer: Response) -> String {
    let said = body(url, answer, limits::MAX_REGISTRY_ANSWER_BYTES).await.unwrap_or_default();
    words(&plain(&said).unwrap_or_else(|| String::from_utf8_lossy(&said).into_owned()))
}

/// The words of an error as registries have it.
fn plain(said: &[u8]) -> Option<String> {
    let said: serde_json::Value = serde_json::from_slice(said).ok()?;
    let error = &said["errors"][0];
    Some(format!("{} ({})", error["message"].as_str()?, error["code"].as_str()?))
}

/// The whole of an answer, up to `limit` bytes.
pub(super) async fn body(url: &Url, answer: Response, limit: usize) -> Result<Vec<u8>, RegistryError> {
    let mut taken = Vec::new();
    each_piece(url, answer, limit, |piece| taken.extend_from_slice(piece)).await?;
    Ok(taken)
}

/// Hands on an answer piece by piece, up to `limit` bytes in all.
pub(super) async fn each_piece(
    url: &Url,
    mut answer: Response,
    limit: usize,
    mut take: impl FnMut(&[u8]),
) -> Result<(), RegistryError> {
    let too_large = || RegistryError::TooLarge { url: shown(url), limit };
    if answer.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut left = limit;
    loop {
        let Some(piece) = answer.chunk().await.map_err(|error| broken(url, &error))? else { return Ok(()) };
        left = left.checked_sub(piece.len()).ok_or_else(too_large)?;
        take(&piece);
    }
}

fn location(url: &Url, headers: &HeaderMap) -> Result<Url, RegistryError> {
    let form = |why: &str| RegistryError::Form { url: shown(url), why: why.to_owned() };
    let text = headers.get(LOCATION).ok_or_else(|| form("it sends on, and does not say where to"))?;
    let text = text.to_str().map_err(|_| form("where it sends on to is no text"))?;
    url.join(text).map_err(|_| form("where it sends on to is no address"))
}

fn redirect(url: &Url, target: &Url, why: &'static str) -> RegistryError {
    // The rest of it may hold a signature that lets others in.
    let port = target.port().map_or_else(String::new, |port| format!(":{port}"));
    let target = format!("{}://{}{port}", target.scheme(), target.host_str().unwrap_or_default());
    RegistryError::Redirect { url: shown(url), target, why }
}

fn failed(url: &Url, error: &reqwest::Error) -> RegistryError {
    if error.is_timeout() && !error.is_connect() {
        return too_slow(url);
    }
    RegistryError::Unreachable { url: shown(url), why: why(error) }
}

fn broken(url: &Url, error: &reqwest::Error) -> RegistryError {
    if error.is_timeout() {
        return too_slow(url);
    }
    RegistryError::Cut { url: shown(url), why: why(error) }
}

fn too_slow(url: &Url) -> RegistryError {
    RegistryError::TooSlow { url: shown(url) }
}

/// The cause, which says more than the error of the request does.
fn why(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string().chars().take(limits::MAX_REGISTRY_WORDS_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::cli::registry::Version;

    /// Sends what it has, and then nothing more, but does not hang up.
    async fn silent_after(sent: &'static str) -> Result<(), RegistryError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let place = format!("oci://{}/a/b:1", listener.local_addr().expect("an address"));
        let patience = Patience { silence: Duration::from_millis(50), ..Patience::default() };
        let access = Access { patience, ..Access::default() };
        let mut registry = Registry::open(&place.parse().expect("a reference"), access)?;
        let serves = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut asked).await.expect("a request");
            }
            stream.write_all(sent.as_bytes()).await.expect("sent");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            resolved = registry.resolve(Version::Tag("1")) => resolved.map(drop),
            () = serves => unreachable!(),
        }
    }

    #[test]
    fn each_registry_is_asked_where_it_serves() {
        for (place, url) in [
            ("oci://docker.io/a/b:1", "https://registry-1.docker.io/v2/a/b/tags"),
            ("oci://docker.io:5000/a/b:1", "https://docker.io:5000/v2/a/b/tags"),
            ("oci://localhost:5000/a/b:1", "http://localhost:5000/v2/a/b/tags"),
        ] {
            let reference = place.parse().expect("a reference");
            let registry = Registry::open(&reference, Access::default()).expect("a client");
            assert_eq!(registry.url("tags").expect("an address").as_str(), url);
        }
    }

    #[tokio::test]
    async fn a_registry_that_falls_silent_is_not_waited_for() {
        for sent in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"] {
            let ended = silent_after(sent).await;
            assert!(matches!(ended, Err(RegistryError::TooSlow { .. })), "{sent:?}: {ended:?}");
        }
    }
}
