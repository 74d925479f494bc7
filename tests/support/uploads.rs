use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::streamed::Gate;

/// A server on loopback that takes bodies of any length and holds none. Its answer is `LENGTH BLAKE3`, and it notes every request
/// when it is over.
///
/// - `/take/…`: reads it all, and answers
/// - `/refuse/…`: answers 413 when it has read a bit, and reads on
/// - `/early/…`: answers when it has read a bit, and reads on
/// - `/cut/KIB/…`: closes the connection when it has read so much
/// - `/gated/…`: reads on from where the gate is open
pub struct Sink {
    port: u16,
    takes: Arc<Mutex<Vec<Taken>>>,
    gate: Arc<Gate>,
}

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub method: String,
    pub path: String,
    pub key: Option<String>,
    /// Of the body, where a `content-length` says it.
    pub length: Option<u64>,
    pub authorization: Option<String>,
    pub bytes: u64,
    pub hash: String,
    /// It had its end.
    pub is_whole: bool,
}

impl Sink {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (takes, gate) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Gate>::default());
        let (notes, gate_there) = (takes.clone(), gate.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (notes, gate) = (notes.clone(), gate_there.clone());
                std::thread::spawn(move || {
                    let _a_client_that_is_killed = serve(stream, &notes, &gate);
                });
            }
        });
        Self { port, takes, gate }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.takes.lock().expect("no panic").clone()
    }

    /// Waits until so many requests are over.
    pub async fn took(&self, count: usize) -> Vec<Taken> {
        let until = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            let taken = self.taken();
            if taken.len() >= count {
                return taken;
            }
            assert!(tokio::time::Instant::now() < until, "{taken:?}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    pub fn forget(&self) {
        self.takes.lock().expect("no panic").clear();
    }

    pub fn release(&self) {
        self.gate.open();
    }

    /// What is answered to a body.
    pub fn answer(body: &[u8]) -> String {
        format!("{} {}", body.len(), blake3::hash(body))
    }
}

fn serve(stream: TcpStream, notes: &Mutex<Vec<Taken>>, gate: &Gate) -> Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let (mut taken, is_chunked) = head(&mut reader)?;
    let path = taken.path.clone();
    let mut parts = path.split('/').skip(1);
    let kind = parts.next().unwrap_or_default().to_owned();
    let most = match kind.as_str() {
        "cut" => parts.next().and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib * 1024),
        _ => None,
    };
    let mut hasher = blake3::Hasher::new();
    let mut is_answered = false;
    let read = body(&mut reader, taken.length, is_chunked, |bytes| {
        if kind == "gated" {
            gate.wait();
        }
        hasher.update(bytes);
        taken.bytes += bytes.len() as u64;
        if !is_answered && matches!(kind.as_str(), "refuse" | "early") {
            is_answered = true;
            let status = if kind == "refuse" { "413 Too Much" } else { "200 OK" };
            answer(&mut writer, status, "early")?;
        }
        if most.is_some_and(|most| taken.bytes >= most) { Err(Error::from(ErrorKind::Other)) } else { Ok(()) }
    });
    taken.is_whole = read.is_ok();
    taken.hash = hasher.finalize().to_string();
    let text = format!("{} {}", taken.bytes, taken.hash);
    notes.lock().expect("no panic").push(taken);
    read?;
    if is_answered { Ok(()) } else { answer(&mut writer, "200 OK", &text) }
}

fn answer(to: &mut impl Write, status: &str, text: &str) -> Result<()> {
    let length = text.len();
    to.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{text}").as_bytes())?;
    to.flush()
}

fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    match reader.read_line(&mut line)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

fn head(reader: &mut impl BufRead) -> Result<(Taken, bool)> {
    let first = line(reader)?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut length, mut key, mut authorization, mut is_chunked) = (None, None, None, false);
    loop {
        let header = line(reader)?;
        let Some((name, value)) = header.split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok(),
            "idempotency-key" => key = Some(value.to_owned()),
            "authorization" => authorization = Some(value.to_owned()),
            "transfer-encoding" => is_chunked = value.eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let (bytes, hash) = (0, String::new());
    let taken = Taken { method, path, key, length, authorization, bytes, hash, is_whole: false };
    Ok((taken, is_chunked))
}

fn body(
    reader: &mut impl BufRead,
    length: Option<u64>,
    is_chunked: bool,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    if !is_chunked {
        return exactly(reader, length.unwrap_or_default(), &mut take);
    }
    loop {
        let length = u64::from_str_radix(&line(reader)?, 16).map_err(Error::other)?;
        exactly(reader, length, &mut take)?;
        line(reader)?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn exactly(reader: &mut impl Read, mut left: u64, take: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = reader.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        take(&buffer[..count])?;
        left -= count as u64;
    }
    Ok(())
}
