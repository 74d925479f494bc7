//! A page as it comes, over plain `wasi:http`, by waits and reads that do not wait.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingResponse, OutgoingRequest, Scheme, http_error_code};
use wasip2::io::streams::StreamError;

wit_bindgen::generate!({ world: "follower", path: "wit" });

struct Follower;

const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;
const HASH_PRIME: u64 = 0x100_0000_01b3;
/// Of a line as it is printed.
const MAX_LINE_BYTES: usize = 1024;

impl Guest for Follower {
    fn follow(url: String) -> Result<String, String> {
        let (mut bytes, mut lines, mut hash, mut line) = (0, 0, HASH_START, Vec::new());
        read(&get(&url)?, |piece| {
            for byte in piece {
                bytes += 1;
                hash = (hash ^ u64::from(*byte)).wrapping_mul(HASH_PRIME);
                if *byte == b'\n' {
                    lines += 1;
                    println!("{}", String::from_utf8_lossy(&line));
                    line.clear();
                } else if line.len() < MAX_LINE_BYTES {
                    line.push(*byte);
                }
            }
        })?;
        Ok(format!("{bytes} {lines} {hash:016x}"))
    }
}

fn get(url: &str) -> Result<IncomingResponse, String> {
    let unusable = || format!("'{url}' is no URL of a page");
    let (scheme, rest) = match url.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ => return Err(unusable()),
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).map_err(|()| unusable())?;
    request.set_authority(Some(authority)).map_err(|()| unusable())?;
    request.set_path_with_query(Some(path)).map_err(|()| unusable())?;
    let answer = outgoing_handler::handle(request, None).map_err(|code| code.to_string())?;
    answer.subscribe().block();
    let response = match answer.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(code))) => return Err(code.to_string()),
        Some(Err(())) | None => return Err("there is no answer".to_owned()),
    };
    if (200..300).contains(&response.status()) {
        Ok(response)
    } else {
        Err(format!("the answer has the status {}", response.status()))
    }
}

fn read(response: &IncomingResponse, mut take: impl FnMut(&[u8])) -> Result<(), String> {
    let gone = |()| "the answer has no body".to_owned();
    let body = response.consume().map_err(gone)?;
    let stream = body.stream().map_err(gone)?;
    let there = stream.subscribe();
    loop {
        there.block();
        match stream.read(64 * 1024) {
            Ok(piece) => take(&piece),
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::LastOperationFailed(error)) => {
                let why =
                    http_error_code(&error).map_or_else(|| error.to_debug_string(), |code| code.to_string());
                return Err(format!("the answer broke off: {why}"));
            }
        }
    }
}

export!(Follower);
