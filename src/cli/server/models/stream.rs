//! What an endpoint answers: a status, then events of a stream, or, of an endpoint that does not stream, one document.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;
use sse_stream::SseStream;

use super::fault::{Fault, cause};
use super::masked::{Masked, mask};
use super::message::Answer;
use super::{anthropic, chat, responses};
use crate::authority::Secret;
use crate::cli::config::ModelApi;
use crate::engine::questions::ModelFlow;
use crate::limits;

pub async fn read(
    api: ModelApi,
    model: &str,
    answer: reqwest::Response,
    key: Option<&Secret>,
    flow: &dyn ModelFlow,
) -> Result<Answer, Fault> {
    if !answer.status().is_success() {
        return Err(refused(answer, key).await);
    }
    let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        let whole = document(answer).await?;
        let answer = understand(api, model, &whole, key)?;
        if let Some(text) = answer.message["content"]["text"].as_str() {
            flow.said(text.to_owned()).await;
        }
        return Ok(answer);
    }
    let whole = events(api, answer, key, flow).await?;
    understand(api, model, &whole, key)
}

fn understand(api: ModelApi, model: &str, whole: &Value, key: Option<&Secret>) -> Result<Answer, Fault> {
    if let Some(fault) = failed(whole, key) {
        return Err(fault);
    }
    let mut answer = match api {
        ModelApi::OpenAiChat => chat::answer(model, whole),
        ModelApi::OpenAiResponses => responses::answer(model, whole),
        ModelApi::Anthropic => anthropic::answer(model, whole),
    }?;
    mask(&mut answer.message, key);
    let bytes = answer.message.to_string().len();
    if bytes > limits::MAX_ANSWER_BYTES {
        return Err(too_large(limits::MAX_ANSWER_BYTES));
    }
    Ok(answer)
}

fn too_large(most: usize) -> Fault {
    Fault::answer(format!("its answer is larger than {most} bytes"))
}

/// A status that is no success.
async fn refused(answer: reqwest::Response, key: Option<&Secret>) -> Fault {
    let status = answer.status().as_u16();
    let seconds =
        answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = document(answer).await.unwrap_or_default();
    let why = format!("status {status}");
    let fault = match status {
        // It may have worked on it all the time.
        408 | 504 => Fault::cut(why),
        429 | 500..=599 => Fault { again: Some(seconds.map(Duration::from_secs)), ..Fault::busy(why) },
        _ => Fault::request(why),
    };
    let said = body["error"]["message"].as_str().unwrap_or_default();
    let wants_completion_tokens = status == 400 && said.contains("max_completion_tokens");
    Fault { wants_completion_tokens, ..fault }.saying(said, key)
}

async fn document(mut answer: reqwest::Response) -> Result<Value, Fault> {
    let mut bytes = Vec::new();
    loop {
        let chunk = answer.chunk().await.map_err(|error| Fault::cut(cause(error)))?;
        let Some(chunk) = chunk else { break };
        if bytes.len() + chunk.len() > limits::MAX_ANSWER_BYTES {
            return Err(too_large(limits::MAX_ANSWER_BYTES));
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).map_err(|_| Fault::answer("its answer is no JSON"))
}

/// Why a stream of bytes is not read on.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Cut(String),
    #[error("its answer is larger than {0} bytes")]
    All(usize),
    #[error("a line of its answer is longer than {0} bytes")]
    Line(usize),
}

/// Counts what comes: the parser itself has no bounds.
#[derive(Default)]
struct Counter {
    all: usize,
    line: usize,
}

impl Counter {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.all = self.all.saturating_add(bytes.len());
        if self.all > limits::MAX_MODEL_STREAM_BYTES {
            return Err(Broken::All(limits::MAX_MODEL_STREAM_BYTES));
        }
        for byte in bytes {
            self.line = if matches!(byte, b'\n' | b'\r') { 0 } else { self.line + 1 };
            if self.line > limits::MAX_MODEL_LINE_BYTES {
                return Err(Broken::Line(limits::MAX_MODEL_LINE_BYTES));
            }
        }
        Ok(())
    }
}

/// What the events of a stream come to, as one document.
async fn events(
    api: ModelApi,
    answer: reqwest::Response,
    key: Option<&Secret>,
    flow: &dyn ModelFlow,
) -> Result<Value, Fault> {
    let mut counter = Counter::default();
    let bytes = answer.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(|error| Broken::Cut(cause(error)))?;
        counter.take(&chunk).map(|()| chunk)
    });
    let mut stream = Box::pin(SseStream::from_bytes_stream(bytes));
    let mut assembly = Assembly::of(api);
    let (mut text, mut hidden) = (0, Masked::new(key));
    while let Some(event) = stream.next().await {
        let data = match event {
            Ok(event) => event.data.unwrap_or_default(),
            Err(sse_stream::Error::Body(error)) => return Err(broken(&*error)),
            Err(_) => return Err(Fault::answer("its stream is no stream of events")),
        };
        match data.trim() {
            "" => continue,
            "[DONE]" => break,
            _ => {}
        }
        let event: Value =
            serde_json::from_str(&data).map_err(|_| Fault::answer("an event of its stream is no JSON"))?;
        if let Some(fault) = failed(&event, key) {
            return Err(fault);
        }
        let piece = assembly.add(&event)?;
        text += piece.len();
        if text > limits::MAX_ANSWER_BYTES {
            return Err(too_large(limits::MAX_ANSWER_BYTES));
        }
        let piece = hidden.take(&piece);
        if !piece.is_empty() {
            flow.said(piece).await;
        }
    }
    let rest = hidden.rest();
    if !rest.is_empty() {
        flow.said(rest).await;
    }
    assembly.whole().unwrap_or_else(|| Err(Fault::cut("its stream was cut before the end")))
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Fault {
    match error.downcast_ref::<Broken>() {
        Some(bound @ (Broken::All(_) | Broken::Line(_))) => Fault::answer(bound.to_string()),
        Some(Broken::Cut(why)) => Fault::cut(why.clone()),
        None => Fault::cut(error.to_string()),
    }
}

/// An error in the place of an answer, or in the middle of one.
fn failed(event: &Value, key: Option<&Secret>) -> Option<Fault> {
    let error = match event["type"].as_str() {
        Some("response.failed") => &event["response"]["error"],
        // The Responses interface has its fields in the event itself.
        Some("error") if event["error"].is_null() => event,
        _ => &event["error"],
    };
    if error.is_null() {
        return None;
    }
    let kind = error["type"].as_str().filter(|kind| *kind != "error").or(error["code"].as_str());
    let kind = kind.unwrap_or_default();
    let may_pass =
        ["overloaded_error", "rate_limit_error", "rate_limit_exceeded", "api_error", "server_error"];
    let fault = match may_pass.contains(&kind) {
        true => Fault::cut(format!("it failed ({kind})")),
        false => Fault::answer("it answers with an error"),
    };
    Some(fault.saying(error["message"].as_str().unwrap_or_default(), key))
}

enum Assembly {
    Chat(chat::Assembly),
    Responses(responses::Assembly),
    Anthropic(anthropic::Assembly),
}

impl Assembly {
    fn of(api: ModelApi) -> Self {
        match api {
            ModelApi::OpenAiChat => Self::Chat(Default::default()),
            ModelApi::OpenAiResponses => Self::Responses(Default::default()),
            ModelApi::Anthropic => Self::Anthropic(Default::default()),
        }
    }

    fn add(&mut self, event: &Value) -> Result<String, Fault> {
        match self {
            Self::Chat(chat) => chat.add(event),
            Self::Responses(responses) => responses.add(event),
            Self::Anthropic(anthropic) => anthropic.add(event),
        }
    }

    /// `None` where it was cut before its end.
    fn whole(self) -> Option<Result<Value, Fault>> {
        match self {
            Self::Chat(chat) => chat.whole().map(Ok),
            Self::Responses(responses) => responses.whole().map(Ok),
            Self::Anthropic(anthropic) => anthropic.whole(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_a_stream_have_bounds() {
        let line = vec![b'x'; limits::MAX_MODEL_LINE_BYTES];
        let mut counter = Counter::default();
        counter.take(&line).expect("as long as a line may be");
        counter.take(b"\n").expect("its end");
        counter.take(&line).expect("the next");
        assert!(matches!(counter.take(b"x"), Err(Broken::Line(_))));
        let mut counter = Counter::default();
        let lines = vec![b'\n'; limits::MAX_MODEL_STREAM_BYTES];
        counter.take(&lines).expect("all that may be");
        assert!(matches!(counter.take(b"\n"), Err(Broken::All(_))));
    }
}
