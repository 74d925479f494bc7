//! The head of an answer that takes its time. rmcp sends none under 2026-07-28 until a call has something to tell,
//! and what stands in between gives up on a response without a head, which that protocol takes for a cancellation.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::http::{Body, BodyStream, Bytes, Caller, Next, Request, Response, collect};
use crate::limits;
use crate::mcp::era::is_modern_head;

const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// Answers as what stands behind it does, or begins the answer's stream where that takes long. What the head goes
/// before is still the client's to give up: the request is dropped with its stream.
pub async fn send(request: Request, next: Next) -> Response {
    let may_wait = may_wait(request.method(), request.headers());
    let answer = Caller::keep(next.run(request));
    if !may_wait {
        return answer.await;
    }
    let mut answer: Answer = Box::pin(answer);
    let soon = Duration::from_millis(limits::EARLY_HEAD_MS);
    match tokio::time::timeout(soon, &mut answer).await {
        Ok(response) => response,
        Err(_) => ahead_of(answer, Duration::from_secs(limits::WAIT_COMMENT_SECONDS)),
    }
}

/// Sessions have their streams at once, and so do listeners.
fn may_wait(method: &Method, headers: &HeaderMap) -> bool {
    let listens = headers.get(MCP_METHOD).is_some_and(|method| method == "subscriptions/listen");
    method == Method::POST && is_modern_head(headers) && !listens
}

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A comment goes out after so much `silence`.
fn ahead_of(answer: Answer, silence: Duration) -> Response {
    stream_of(Body::from_stream(answer_stream(answer, silence)))
}

/// A response of these events.
pub fn stream_of(events: Body) -> Response {
    let mut response = Response::new(events);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(NO_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Comments until the answer is there, the first at once; then the answer.
fn answer_stream(answer: Answer, silence: Duration) -> impl Stream<Item = io::Result<Bytes>> + Send {
    enum At {
        Waiting(Answer),
        Telling(BodyStream),
    }
    let rest = stream::try_unfold(At::Waiting(answer), move |at| async move {
        match at {
            At::Waiting(mut answer) => match tokio::time::timeout(silence, &mut answer).await {
                Ok(response) => Ok(Some((Bytes::new(), At::Telling(events(response).await?)))),
                Err(_) => Ok(Some((COMMENT, At::Waiting(answer)))),
            },
            At::Telling(mut events) => {
                let next = events.next().await.transpose().map_err(io::Error::other)?;
                Ok(next.map(|part| (part, At::Telling(events))))
            }
        }
    });
    stream::iter([Ok(COMMENT)]).chain(rest)
}

/// The answer as events: it may be one JSON document, whose status comes too late.
async fn events(response: Response) -> io::Result<BodyStream> {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if content_type == Some(&EVENT_STREAM) {
        return Ok(response.into_body().into_data_stream());
    }
    if content_type.is_none_or(|of| of != "application/json") {
        // Broken off without an end, the stream is not taken for a whole one.
        return Err(io::Error::other(format!("the request was answered with {}", response.status())));
    }
    let document = collect(response.into_body(), limits::MAX_CLIENT_EVENT_BYTES).await;
    let document = document.map_err(io::Error::other)?;
    // JSON as it is written here has no line breaks.
    let event = [b"data: ", document.as_ref(), b"\n\n"].concat();
    Ok(Body::from(event).into_data_stream())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::http::{content, status, text};

    /// What goes out with this answer, for which one waits until so many comments have gone out.
    async fn sent(answer: Response, comments: usize) -> Result<String, String> {
        let (done, waited) = tokio::sync::oneshot::channel::<()>();
        let answer = Box::pin(async move {
            waited.await.expect("the test goes on");
            answer
        });
        let mut body = ahead_of(answer, Duration::from_millis(5)).into_body().into_data_stream();
        let mut sent = String::new();
        while sent.len() < comments * COMMENT.len() {
            sent.push_str(
                std::str::from_utf8(&body.next().await.expect("more").map_err(|error| error.to_string())?)
                    .expect("text"),
            );
        }
        done.send(()).expect("it waits");
        while let Some(part) = body.next().await {
            sent.push_str(std::str::from_utf8(&part.map_err(|error| error.to_string())?).expect("text"));
        }
        Ok(sent)
    }

    #[tokio::test]
    async fn comments_go_out_until_there_is_an_answer_and_it_stands_behind_them() {
        let late = content(StatusCode::NOT_FOUND, "application/json", "{\"error\":{}}");
        let seen = sent(late, 3).await.expect("an answer");
        let (comments, answer) = seen.split_at(seen.rfind(":\n\n").expect("comments") + COMMENT.len());
        assert_eq!(answer, "data: {\"error\":{}}\n\n");
        assert_eq!(comments.replace(":\n\n", ""), "");
        let stream = content(StatusCode::OK, "text/event-stream", "data: 1\n\n:\n\ndata: 2\n\n");
        let seen = sent(stream, 1).await;
        assert!(seen.expect("an answer").ends_with(":\n\ndata: 1\n\n:\n\ndata: 2\n\n"));
        // Neither is an answer to a request.
        for broken in [text(StatusCode::INTERNAL_SERVER_ERROR, "no"), status(StatusCode::OK)] {
            assert!(sent(broken, 1).await.is_err());
        }
    }
}
