//! A web digest: an ordinary component over plain `wasi:http`, which knows nothing of Longhaul. Its requests are under
//! way together, and one poll waits for whichever is answered next.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, FutureIncomingResponse, IncomingResponse, OutgoingRequest, Scheme};
use wasip2::io::poll;
use wasip2::io::streams::StreamError;

wit_bindgen::generate!({ world: "web-digest", path: "wit" });

use exports::example::web_digest::web::{Digest, Guest, Page};

/// Requests that are under way at once.
const MAX_OPEN: usize = 32;

struct WebDigest;

impl Guest for WebDigest {
    fn web_digest(urls: Vec<String>) -> Vec<Page> {
        let mut pages: Vec<Page> =
            urls.into_iter().map(|url| Page { url, digest: None, error: None }).collect();
        let mut next = 0;
        let mut open: Vec<(usize, FutureIncomingResponse)> = Vec::new();
        loop {
            while next < pages.len() && open.len() < MAX_OPEN {
                match send(&pages[next].url) {
                    Ok(future) => open.push((next, future)),
                    Err(error) => pages[next].error = Some(error),
                }
                next += 1;
            }
            if open.is_empty() {
                return pages;
            }
            let pollables: Vec<_> = open.iter().map(|(_, future)| future.subscribe()).collect();
            let mut ready = poll::poll(&pollables.iter().collect::<Vec<_>>());
            drop(pollables);
            ready.sort_unstable();
            for index in ready.into_iter().rev() {
                let (page, future) = open.swap_remove(index as usize);
                match answer(&future) {
                    Ok(digest) => pages[page].digest = Some(digest),
                    Err(error) => pages[page].error = Some(error),
                }
            }
        }
    }
}

export!(WebDigest);

fn send(url: &str) -> Result<FutureIncomingResponse, String> {
    let unusable = || format!("'{url}' is no URL of a page: http://host/path or https://host/path");
    let (scheme, rest) = url.split_once("://").ok_or_else(unusable)?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(unusable()),
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).map_err(|()| unusable())?;
    request.set_authority(Some(authority)).map_err(|()| unusable())?;
    request.set_path_with_query(Some(path)).map_err(|()| unusable())?;
    outgoing_handler::handle(request, None).map_err(|code| code.to_string())
}

fn answer(future: &FutureIncomingResponse) -> Result<Digest, String> {
    let response = match future.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(code))) => return Err(code.to_string()),
        Some(Err(())) | None => return Err("the answer was not there".to_owned()),
    };
    let bytes = read(&response)?;
    Ok(digest(response.status(), &bytes))
}

fn read(response: &IncomingResponse) -> Result<Vec<u8>, String> {
    let gone = |()| "the answer has no body".to_owned();
    let body = response.consume().map_err(gone)?;
    let stream = body.stream().map_err(gone)?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(format!("the answer broke off: {}", error.to_debug_string()));
            }
        }
    }
}

fn digest(status: u16, bytes: &[u8]) -> Digest {
    let page = String::from_utf8_lossy(bytes);
    let text = text_of(&page);
    let words = || text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut longest: Option<&str> = None;
    for word in words() {
        if longest.is_none_or(|longest| word.chars().count() > longest.chars().count()) {
            longest = Some(word);
        }
    }
    let fingerprint = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    Digest {
        status,
        bytes: bytes.len() as u64,
        words: words().count() as u32,
        lines: page.lines().count() as u32,
        title: title_of(&page),
        longest_word: longest.map(str::to_owned),
        fingerprint: format!("{fingerprint:016x}"),
    }
}

/// What stands between tags.
fn text_of(page: &str) -> String {
    let (mut text, mut in_tag) = (String::with_capacity(page.len()), false);
    for c in page.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                text.push(' ');
            }
            _ if in_tag => {}
            c => text.push(c),
        }
    }
    text
}

fn title_of(page: &str) -> Option<String> {
    // ASCII alone changes case here, so that places stay the same.
    let lower = page.to_ascii_lowercase();
    let from = lower.find("<title>")? + "<title>".len();
    let to = from + lower[from..].find("</title>")?;
    Some(page[from..to].trim().to_owned()).filter(|title| !title.is_empty())
}
