//! What the benches send requests to.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

const MEGABYTE: usize = 1024 * 1024;

/// A server that answers `/long` with a megabyte and any other path with two bytes, until the bench ends; its port.
pub fn listening() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || drop(answer(connection)));
        }
    });
    port
}

fn answer(connection: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let length = if line.contains("/long") { MEGABYTE } else { 2 };
    line.clear();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    reader.get_mut().write_all(&[head.as_bytes(), &vec![b'x'; length]].concat())
}
