use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

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

    fn write(&self, mut to: &TcpStream) -> std::io::Result<()> {
        let Self { status, headers, body, has_length, is_cut } = self;
        let length = if *has_length { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
        let head = format!("HTTP/1.1 {status} Said\r\n{headers}{length}Connection: close\r\n\r\n");
        let end = if *is_cut { body.len() / 2 } else { body.len() };
        to.write_all(head.as_bytes())?;
        to.write_all(&body[..end])
    }
}

impl Liar {
    pub fn start(manifest: Answer, blob: Answer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let head: Vec<String> = BufReader::new(&stream)
                    .lines()
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let is_manifest = head.first().is_some_and(|line| line.contains("/manifests/"));
                // Who has heard enough hangs up.
                let _ = if is_manifest { manifest.write(&stream) } else { blob.write(&stream) };
            }
        });
        Self { address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
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
