//! A page as text, over plain `wasi:http`: what Wassette publishes as its first example does the same.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

wit_bindgen::generate!({ world: "fetch", path: "wit" });

struct Fetch;

impl Guest for Fetch {
    fn fetch(url: String) -> Result<String, String> {
        let (scheme, rest) = match url.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            _ => return Err(format!("'{url}' is no URL of a page")),
        };
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let unusable = |()| format!("'{url}' is no URL of a page");
        let request = OutgoingRequest::new(Fields::new());
        request.set_scheme(Some(&scheme)).map_err(unusable)?;
        request.set_authority(Some(authority)).map_err(unusable)?;
        request.set_path_with_query(Some(path)).map_err(unusable)?;
        let answer = outgoing_handler::handle(request, None).map_err(|code| code.to_string())?;
        answer.subscribe().block();
        let response = match answer.get() {
            Some(Ok(Ok(response))) => response,
            Some(Ok(Err(code))) => return Err(code.to_string()),
            Some(Err(())) | None => return Err("there is no answer".to_owned()),
        };
        if !(200..300).contains(&response.status()) {
            return Err(format!("the answer has the status {}", response.status()));
        }
        let gone = |()| "the answer has no body".to_owned();
        let body = response.consume().map_err(gone)?;
        let stream = body.stream().map_err(gone)?;
        let mut bytes = Vec::new();
        loop {
            match stream.blocking_read(64 * 1024) {
                Ok(piece) => bytes.extend(piece),
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(format!("the answer broke off: {}", error.to_debug_string()));
                }
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

export!(Fetch);
