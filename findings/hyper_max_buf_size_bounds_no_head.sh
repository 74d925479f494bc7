#!/usr/bin/env bash
# hyper 1.12.0 (crates.io), HTTP/1 server, over a pair of sockets.
#
# `http1::Builder::max_buf_size(64 KiB)` does not bound a request's head at 64 KiB: a head of 96 KiB is answered with 200,
# one of 112 KiB with 431. The read buffer grows in steps, and only a step that begins beyond the bound is refused. What
# bounds a head is `max_header_size`: with 64 KiB there, 60 KiB is answered with 200 and 80 KiB with 431.
#
# Seen, KiB of one header and the status, with the buffer bounded and then the head as well:
#   60: 200 200   80: 200 431   96: 200 431   112: 431 431
#
# Needs cargo and a network to crates.io. Ends with 0 while this holds, with 1 once it does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2024"
[dependencies]
hyper = { version = "=1.12.0", features = ["http1", "server"] }
hyper-util = { version = "0.1", features = ["tokio"] }
http-body-util = "0.1"
tokio = { version = "1", features = ["rt", "macros", "net", "io-util"] }
TOML
cat > src/main.rs <<'RUST'
use std::convert::Infallible;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BOUND: usize = 64 * 1024;

/// The status that a request with a header of so many bytes gets.
async fn status(header_bytes: usize, bounds_head: bool) -> String {
    let (client, server) = tokio::net::UnixStream::pair().expect("a pair of sockets");
    tokio::spawn(async move {
        let empty = async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()));
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BOUND);
        if bounds_head {
            builder.max_header_size(BOUND);
        }
        builder.serve_connection(TokioIo::new(server), service_fn(empty)).await
    });
    let (mut reads, mut writes) = client.into_split();
    let filler = "x".repeat(header_bytes);
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-filler: {filler}\r\n\r\n");
    let sending = tokio::spawn(async move {
        // A server that refuses need not read all of it.
        let _ = writes.write_all(request.as_bytes()).await;
        writes
    });
    let mut answer = Vec::new();
    let _ = reads.read_to_end(&mut answer).await;
    drop(sending.await);
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or("none").to_owned()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for kib in [60, 80, 96, 112] {
        println!("{kib}: {} {}", status(kib * 1024, false).await, status(kib * 1024, true).await);
    }
}
RUST
cargo build --quiet
seen=$(cargo run --quiet)
printf '%s\n' "$seen"
[ "$seen" = "60: 200 200
80: 200 431
96: 200 431
112: 431 431" ] || { echo "not as described any more"; exit 1; }
echo "as described: max_buf_size lets larger heads pass"
