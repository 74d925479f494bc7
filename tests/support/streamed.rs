use std::io::{Error, ErrorKind, Result, Write};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::web::Seen;

/// After the first bit the moment is over within which a short answer would be one record.
const MOMENT: Duration = Duration::from_millis(80);

/// What some answers wait for.
#[derive(Default)]
pub struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub fn open(&self) {
        *self.is_open.lock().expect("no panic") = true;
        self.opened.notify_all();
    }

    pub fn wait(&self) {
        let is_open = self.is_open.lock().expect("no panic");
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).expect("no panic"));
    }
}

/// The body at `/long/KIB/…`.
pub fn long(kib: usize) -> Vec<u8> {
    text(kib, 0)
}

fn text(kib: usize, first: usize) -> Vec<u8> {
    (0..kib * 1024).map(|at| b'a' + ((at * 7 + at / 1000 + first) % 26) as u8).collect()
}

/// Answers that come bit by bit; `None` is for any other path. `before` is how often the path was asked for before.
///
/// - `/long/KIB/MS/…`: so much, with a pause of MS milliseconds after each 64 KiB
/// - `/turning/KIB/MS/…`: the same, and another text each time
/// - `/cut/KIB/…`: as much again is announced, and the connection ends
/// - `/events/N/…`: server-sent events, one by one
/// - `/gated/…`: an event, and a second one when the gate opens
/// - `/drip/…`: an event with the `Authorization` that it got, in two bits
pub fn answer(seen: &Seen, before: usize, gate: &Gate, to: &mut impl Write) -> Option<Result<()>> {
    let mut parts = seen.path.split('/').skip(1);
    let kind = parts.next()?;
    let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok()).unwrap_or_default();
    Some(match kind {
        "long" => announced(to, &long(number()), number(), false),
        "turning" => announced(to, &text(number(), before), number(), false),
        "cut" => announced(to, &long(number()), 0, true),
        "events" => {
            let events: Vec<String> = (0..number()).map(|event| format!("data: {event}\n\n")).collect();
            chunked(to, &events, |_| {})
        }
        "gated" => {
            let hold = |sent| {
                if sent == 1 {
                    gate.wait();
                }
            };
            chunked(to, &["data: 0\n\n".to_owned(), "data: 1\n\n".to_owned()], hold)
        }
        "drip" => {
            let event = format!("data: {}\n\n", seen.authorization.as_deref().unwrap_or_default());
            let (first, second) = event.split_at(event.len() / 2);
            chunked(to, &[first.to_owned(), second.to_owned()], |_| {})
        }
        _ => return None,
    })
}

fn announced(to: &mut impl Write, body: &[u8], pause_ms: usize, is_cut: bool) -> Result<()> {
    let length = if is_cut { body.len() * 2 } else { body.len() };
    to.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes())?;
    for (index, piece) in body.chunks(64 * 1024).enumerate() {
        if index > 0 {
            std::thread::sleep(Duration::from_millis(pause_ms as u64));
        }
        to.write_all(piece)?;
        to.flush()?;
    }
    if is_cut { Err(Error::from(ErrorKind::Other)) } else { Ok(()) }
}

fn chunked(to: &mut impl Write, bits: &[String], mut sent: impl FnMut(usize)) -> Result<()> {
    to.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    for (index, bit) in bits.iter().enumerate() {
        to.write_all(format!("{:x}\r\n{bit}\r\n", bit.len()).as_bytes())?;
        to.flush()?;
        let pause = if index == 0 { MOMENT } else { Duration::from_millis(5) };
        std::thread::sleep(pause);
        sent(index + 1);
    }
    to.write_all(b"0\r\n\r\n")?;
    to.flush()
}
