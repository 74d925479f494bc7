use serde_json::Value;
use wasmtime::Result;

use super::bindings::longhaul::tool::elicitation::{self, Answer, By, Error, Form, Question};
use super::question::no_answer;
use super::refusal::not_granted;
use crate::authority::Capability;
use crate::engine::questions::{self as engine, Ask, check_form};
use crate::limits;
use crate::sandbox::world::World;
use crate::task;

const LINE: &str = "elicit = true";
const NO_FORM: &str = "a person is asked by a form or a page";
const MILLIS_PER_SECOND: u64 = 1_000;

impl elicitation::Host for World {
    fn ask(&mut self, question: Question) -> Result<Result<u64, Error>> {
        if !self.grant.allows(Capability::Elicit) {
            return Ok(Err(not_granted(self, LINE)));
        }
        let Question { key, message, form, by, timeout_seconds } = question;
        let ask = match form {
            Form::Schema(schema) => Ask::Form { message, schema },
            Form::Url(url) => Ask::Url { message, url },
        };
        if let Err(why) = check(&key, &ask) {
            return Ok(Err(Error::Invalid(why)));
        }
        let seconds = timeout_seconds.unwrap_or(limits::DEFAULT_QUESTION_SECONDS);
        let deadline = self.due_after(seconds.saturating_mul(MILLIS_PER_SECOND))?;
        let (message, name, body) = match &ask {
            Ask::Form { message, schema } => (message.as_str(), "schema", schema.as_str()),
            Ask::Url { message, url } => (message.as_str(), "url", url.as_str()),
            Ask::Sample { .. } | Ask::Roots | Ask::Model(_) => {
                return Ok(Err(Error::Invalid(NO_FORM.to_owned())));
            }
        };
        let by = match by {
            By::Person => task::By::Person,
            By::Any => task::By::Any,
        };
        let parts = [key.as_str(), message, name, body, &format!("{by:?} {seconds}")].map(str::to_owned);
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        let question = engine::Question { key: Some(key), by, ask, deadline };
        Ok(self.ask("elicitation.ask", &parts, question)?)
    }

    async fn take(&mut self, ticket: u64) -> Result<Result<Answer, Error>> {
        let answer = match self.answered(ticket, "elicitation.take").await? {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        Ok(match answer {
            engine::Answer::Accept(content) => Ok(Answer::Accept(content)),
            engine::Answer::Decline => Ok(Answer::Decline),
            engine::Answer::Cancel => Ok(Answer::Cancel),
            engine::Answer::Expired => Ok(Answer::Timeout),
            other => Err(no_answer(other, "whoever was asked")),
        })
    }
}

/// Whether the question is one that a person can be asked.
pub(in crate::sandbox) fn check(key: &str, ask: &Ask) -> Result<(), String> {
    let limit = limits::MAX_QUESTION_KEY_BYTES;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if key.is_empty() || key.len() > limit || !key.chars().all(fits) {
        return Err(format!("the key of a question is 1 to {limit} letters, digits, '.', '_' and '-'"));
    }
    match ask {
        Ask::Form { message, schema } => {
            check_message(message)?;
            let limit = limits::MAX_DEFINITION_BYTES;
            if schema.len() > limit {
                return Err(format!("the schema of a form is at most {limit} bytes, not {}", schema.len()));
            }
            let schema: Value = serde_json::from_str(schema)
                .map_err(|error| format!("the schema of the form is no JSON: {error}"))?;
            check_form(&schema)
        }
        Ask::Url { message, url } => {
            check_message(message)?;
            let limit = limits::MAX_QUESTION_BYTES;
            let is_page = url.starts_with("https://") || url.starts_with("http://");
            let is_clean = url.len() <= limit && !url.chars().any(|c| c.is_whitespace() || c.is_control());
            if is_page && is_clean {
                Ok(())
            } else {
                Err(format!("a page is an http:// or https:// URL of at most {limit} bytes"))
            }
        }
        Ask::Sample { .. } | Ask::Roots | Ask::Model(_) => Err(NO_FORM.to_owned()),
    }
}

fn check_message(message: &str) -> Result<(), String> {
    let limit = limits::MAX_QUESTION_BYTES;
    if message.is_empty() || message.len() > limit {
        return Err(format!("the message of a question is 1 to {limit} bytes, not {}", message.len()));
    }
    Ok(())
}
