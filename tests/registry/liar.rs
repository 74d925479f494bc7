use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A registry that gives one answer for each manifest and one for each blob, whatever they are worth.
pub struct Liar {
    address: SocketAddr,
}

#[derive(Clone)]
pub struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
    has_length: bool,
    is_cut: bool,
}

impl Answer {
    pub fn of(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: String::new(), body: body.into(), has_length: true, is_cut: false }
    }

    pub fn redirect(to: &str) -> Self {
        Self::of("").status(307).header("Location", to)
    }

    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// It ends with the connection.
    pub fn without_length(self) -> Self {
        Self { has_length: false, ..self }
    }

    /// Half of what it says it has.
    pub fn cut(self) -> Self {
        Self { is_cut: true, ..self }
    }

    fn write(&self, to: &mut impl Write) -> std::io::Result<()> {
        let Self { status, headers, body, has_length, is_cut } = self;
        let length = if *has_length { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
        let head = format!("HTTP/1.1 {status} Said\r\n{headers}{length}Connection: close\r\n\r\n");
        let end = if *is_cut { body.len() / 2 } else { body.len() };
        to.write_all(head.as_bytes())?;
        to.write_all(&body[..end])?;
        to.flush()
    }
}

/// Whom a registry lets in.
#[derive(Clone)]
pub struct Guard {
    /// `Bearer realm="HERE/token"` stands for its own address.
    pub challenge: &'static str,
    /// Of its user, for each request or for a token.
    pub authorization: &'static str,
}

impl Liar {
    pub fn start(manifest: Answer, blob: Answer) -> Self {
        Self::serve(manifest, blob, None, None)
    }

    pub fn with_tls(manifest: Answer, blob: Answer, config: Arc<ServerConfig>) -> Self {
        Self::serve(manifest, blob, Some(config), None)
    }

    /// Lets in those alone who say who they are: with a name and a password, or with a token that is given for them.
    pub fn guarded(manifest: Answer, blob: Answer, guard: Guard) -> Self {
        Self::serve(manifest, blob, None, Some(guard))
    }

    fn serve(manifest: Answer, blob: Answer, tls: Option<Arc<ServerConfig>>, guard: Option<Guard>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let answer = |head: &[String]| {
                    let refused = guard.as_ref().and_then(|guard| guard.answer(head, address));
                    let is_manifest = head.first().is_some_and(|line| line.contains("/manifests/"));
                    refused.unwrap_or_else(|| if is_manifest { manifest.clone() } else { blob.clone() })
                };
                match &tls {
                    None => talk(&mut stream, answer),
                    Some(config) => {
                        let connection = ServerConnection::new(config.clone()).expect("a connection");
                        let mut stream = StreamOwned::new(connection, stream);
                        talk(&mut stream, answer);
                        stream.conn.send_close_notify();
                        // Who does not trust it has gone.
                        let _ = stream.flush();
                    }
                }
            }
        });
        Self { address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// One request and its answer.
fn talk(stream: &mut (impl Read + Write), answer: impl Fn(&[String]) -> Answer) {
    let lines = BufReader::new(&mut *stream).lines();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    // Who has heard enough hangs up.
    let _ = answer(&head).write(stream);
}

impl Guard {
    /// `None` where the request is let in.
    fn answer(&self, head: &[String], address: SocketAddr) -> Option<Answer> {
        let has = |wanted: &str| {
            let mut headers = head.iter().filter_map(|line| line.split_once(": "));
            headers.any(|(name, value)| name.eq_ignore_ascii_case("authorization") && value == wanted)
        };
        let is_bearer = self.challenge.starts_with("Bearer");
        if head.first().is_some_and(|line| line.contains("/token?scope=repository%3Aa%2Fnumber%3Apull")) {
            return Some(match has(self.authorization) {
                true => Answer::of(r#"{"token":"t"}"#),
                false => Answer::of("who are you").status(401),
            });
        }
        let wanted = if is_bearer { "Bearer t" } else { self.authorization };
        let challenge = self.challenge.replace("HERE", &format!("http://{address}"));
        (!has(wanted)).then(|| Answer::of("").status(401).header("WWW-Authenticate", &challenge))
    }
}

pub fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// Of a component as wkg makes it.
pub fn manifest(wasm: &[u8]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.wasm.config.v0+json",
            "digest": digest(b"{}"),
            "size": 2,
        },
        "layers": [{ "mediaType": "application/wasm", "digest": digest(wasm), "size": wasm.len() }],
    })
}
