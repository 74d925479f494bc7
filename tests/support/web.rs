use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Oracle;
use super::streamed::{self, Gate};

/// A web server on loopback that notes every request. Its answer to one follows from the request alone:
/// `METHOD PATH HASH-OF-BODY`. `/slow/N/…` waits N milliseconds before it answers, `/never/…` does not answer, `/…/echo`
/// gives back the `Authorization` that it got. The answers of `streamed.rs` come bit by bit.
pub struct Web {
    pub port: u16,
    address: SocketAddr,
    accepting: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
    seen: Arc<watch::Sender<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    hosts: Arc<Mutex<Vec<Option<String>>>>,
    gate: Arc<Gate>,
}

/// Its address is free again then.
impl Drop for Web {
    fn drop(&mut self) {
        let Some((is_over, accepting)) = self.accepting.take() else { return };
        is_over.store(true, Ordering::SeqCst);
        // So that it looks. Where it cannot be reached it has ended already.
        if TcpStream::connect(self.address).is_ok() {
            drop(accepting.join());
        }
    }
}

/// A server's side of TLS.
#[derive(Clone)]
pub struct Tls {
    pub config: Arc<ServerConfig>,
    /// A connection is taken so late.
    pub late: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub key: Option<String>,
    pub authorization: Option<String>,
    pub body: String,
}

impl Web {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    pub fn with_tls(tls: Tls) -> Self {
        Self::start_with(Some(tls))
    }

    /// At an address that stands in journals already, once no other process of the tests has it: a few of them may wait
    /// for one another.
    pub fn at(address: &str) -> Self {
        let until = Instant::now() + 5 * super::PATIENCE;
        loop {
            match TcpListener::bind(address) {
                Ok(listener) => return Self::listen(listener, None),
                Err(error) => assert!(Instant::now() < until, "{address}: {error}"),
            }
            // That an address is free is no event.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn start_with(tls: Option<Tls>) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").expect("a port"), tls)
    }

    fn listen(listener: TcpListener, tls: Option<Tls>) -> Self {
        let address = listener.local_addr().expect("an address");
        let (seen, connections) = (Arc::new(watch::Sender::default()), Arc::<Mutex<usize>>::default());
        let hosts = Arc::<Mutex<Vec<_>>>::default();
        let (notes, count, asked) = (seen.clone(), connections.clone(), hosts.clone());
        let gate = Arc::<Gate>::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let (is_over_there, gate_there) = (is_over.clone(), gate.clone());
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over_there.load(Ordering::SeqCst) {
                    return;
                }
                *count.lock().expect("no panic") += 1;
                let (notes, tls, asked) = (notes.clone(), tls.clone(), asked.clone());
                let gate = gate_there.clone();
                std::thread::spawn(move || match tls {
                    None => serve(stream, &notes, &gate),
                    Some(tls) => serve_tls(stream, &tls, &asked, &notes),
                });
            }
        });
        let accepting = Some((is_over, accepting));
        Self { port: address.port(), address, accepting, seen, connections, hosts, gate }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All requests so far, in the order of their arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// Waits until this path was asked for.
    pub async fn asked_for(&self, path: &str) {
        let mut seen = self.seen.subscribe();
        let asked = seen.wait_for(|seen| seen.iter().any(|seen| seen.path == path));
        let in_time = tokio::time::timeout(super::PATIENCE, asked).await;
        in_time.unwrap_or_else(|_| panic!("{path} was not asked for")).expect("the server runs");
    }

    /// How often this path was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path == path).count()
    }

    pub fn forget(&self) {
        self.seen.send_modify(Vec::clear);
    }

    /// What each client of TLS took this server for, where it said so.
    pub fn hosts(&self) -> Vec<Option<String>> {
        self.hosts.lock().expect("no panic").clone()
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().expect("no panic")
    }

    /// Lets those answers end that are held back.
    pub fn release(&self) {
        self.gate.open();
    }

    /// What a guest sees of the answer to a request.
    pub fn answer(method: &str, path: &str, body: &str) -> String {
        format!("200 {:016x}", Oracle::hash(text(method, path, body).as_bytes()))
    }
}

fn text(method: &str, path: &str, body: &str) -> String {
    format!("{method} {path} {:016x}", Oracle::hash(body.as_bytes()))
}

fn serve_tls(
    mut stream: TcpStream,
    tls: &Tls,
    hosts: &Mutex<Vec<Option<String>>>,
    notes: &watch::Sender<Vec<Seen>>,
) {
    // How long it takes to connect is under test.
    std::thread::sleep(tls.late);
    let Ok(mut connection) = ServerConnection::new(tls.config.clone()) else { return };
    let mut shaken = Ok((0, 0));
    while connection.is_handshaking() && shaken.is_ok() {
        shaken = connection.complete_io(&mut stream);
    }
    hosts.lock().expect("no panic").push(connection.server_name().map(str::to_owned));
    // A client that did not like the certificate has said so; one that did goes on.
    serve(StreamOwned::new(connection, stream), notes, &Gate::default());
}

fn serve(stream: impl Read + Write, notes: &watch::Sender<Vec<Seen>>, gate: &Gate) {
    let mut reader = BufReader::new(stream);
    while let Some(seen) = request(&mut reader) {
        let before = notes.borrow().iter().filter(|note| note.path == seen.path).count();
        notes.send_modify(|notes| notes.push(seen.clone()));
        match streamed::answer(&seen, before, gate, reader.get_mut()) {
            Some(Ok(())) => continue,
            Some(Err(_)) => return,
            None => {}
        }
        let mut parts = seen.path.split('/').skip(1);
        match parts.next() {
            Some("never") => loop {
                std::thread::park();
            },
            Some("slow") => {
                let ms = parts.next().and_then(|ms| ms.parse().ok()).unwrap_or_default();
                std::thread::sleep(Duration::from_millis(ms));
            }
            _ => {}
        }
        let (text, echo) = match &seen.authorization {
            Some(authorization) if seen.path.ends_with("/echo") => {
                (authorization.clone(), format!("x-echo: {authorization}\r\n"))
            }
            _ => (text(&seen.method, &seen.path, &seen.body), String::new()),
        };
        let head = format!("HTTP/1.1 200 OK\r\n{echo}content-length: {}\r\n\r\n", text.len());
        let answer = format!("{head}{text}");
        let writer = reader.get_mut();
        if writer.write_all(answer.as_bytes()).and_then(|()| writer.flush()).is_err() {
            return;
        }
    }
}

/// `None` where the connection ends first.
fn request(reader: &mut impl BufRead) -> Option<Seen> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let (mut length, mut key, mut authorization) = (0, None, None);
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "idempotency-key" => key = Some(value.trim().to_owned()),
            "authorization" => authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (method, rest) = first.split_once(' ')?;
    let (path, _) = rest.split_once(' ')?;
    let body = String::from_utf8(body).ok()?;
    Some(Seen { method: method.to_owned(), path: path.to_owned(), key, authorization, body })
}
