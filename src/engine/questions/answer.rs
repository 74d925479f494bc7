//! Answering: the first valid answer wins; the same one again is no error.

use std::sync::Arc;

use serde_json::{Value, json};

use super::asked::{Answer, Answered, Ask, QuestionRow, answer_of, put_answered, read_all, read_ask};
use super::form::restore;
use crate::authority::Principal;
use crate::catalog::Schema;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::change::commit::commit_event;
use crate::engine::change::lease;
use crate::engine::change::plan::Event;
use crate::engine::commit::Commit;
use crate::engine::error::{EngineError, QuestionEnd};
use crate::engine::memory::entry::{Entry, EntryState};
use crate::engine::memory::spending::Booking;
use crate::engine::rows;
use crate::engine::shared::Shared;
use crate::limits;
use crate::store::{Ack, Snapshot};
use crate::task::{AnsweredBy, By, QuestionKind, Spend, TaskId, canonical};

/// An answer as it is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// The form's content (`{}` for a page), the model's message, or the roots.
    Accept(Value),
    Decline,
    Cancel,
    /// The one that was to do it cannot, and this is why.
    Unavailable(String),
    /// A bound does not let it be asked.
    Refused(String),
}

/// Whose hand it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnsweredVia {
    /// How it came, in a word that the task tells.
    pub channel: &'static str,
    pub is_person: bool,
}

/// Through which answers of the operator's models come.
pub(in crate::engine) const MODEL_CHANNEL: &str = "model";

/// An answer on its way.
pub(in crate::engine) struct Giving<'a> {
    pub principal: &'a Principal,
    pub given: Given,
    pub via: AnsweredVia,
    /// What a sample cost, where that is known.
    pub tokens: Option<u64>,
    /// Of a model, what the last time that it was asked came to.
    pub paid: Paid,
}

/// What the last time that a model was asked came to.
#[derive(Clone, Copy, Default)]
pub(in crate::engine) struct Paid {
    /// Where it is not known, it counts as all that it may have cost.
    pub spend: Option<Spend>,
    /// What was taken for it of its principal's day.
    pub booking: Option<Booking>,
}

impl Paid {
    /// What stands in its principal's day in place of what was taken.
    fn settled(&self) -> Option<(Booking, Spend)> {
        let booking = self.booking?;
        Some((booking, self.spend.unwrap_or(booking.spend)))
    }
}

/// Which question is meant.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Which<'a> {
    Key(&'a str),
    Number(u64),
    /// The one that is open.
    Only,
}

/// A question as it is on disk.
struct Found {
    number: u64,
    row: QuestionRow,
    ask: Ask,
    /// What it was answered with.
    answer: Option<Answer>,
}

pub(in crate::engine) async fn give(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    which: Which<'_>,
    giving: Giving<'_>,
) -> Result<(), EngineError> {
    let mut looked_again = false;
    loop {
        let found = find(shared, entry, which).await?;
        let key = found.row.key.clone();
        check_via(entry.id, &found, giving.via)?;
        let answer = check(&found, &giving.given).map_err(|why| EngineError::BadAnswer {
            task: entry.id,
            key: found.row.key.clone(),
            why,
        })?;
        if let (Some(there), Some(answered)) = (&found.answer, &found.row.answered) {
            if is_same(there, &answer) {
                let subject = Subject::of_task(AuditAction::Answer, entry.id);
                shared.audit.record_repeated(giving.principal, subject, "same_answer");
                return Ok(());
            }
            let how = QuestionEnd::Answered { by: answered.by.clone(), at: answered.at };
            return Err(EngineError::QuestionOver { task: entry.id, key, how });
        }
        crate::crash_point!("answering");
        if let Some(ack) = commit(shared, entry, found, answer, &giving)? {
            if !lease::has_arrived(shared, entry, ack).await? {
                if let Some((booking, last)) = giving.paid.settled() {
                    shared.spending.unsettled(&entry.principal, booking, last);
                }
                continue;
            }
            crate::crash_point!("answered");
            return Ok(());
        }
        if std::mem::replace(&mut looked_again, true) {
            let how = QuestionEnd::Gone;
            return Err(EngineError::QuestionOver { task: entry.id, key, how });
        }
        // Another client may have been faster: what it said is then about to be on disk.
        shared.commit(Commit::new())?.await?;
    }
}

async fn find(shared: &Shared, entry: &Entry, which: Which<'_>) -> Result<Found, EngineError> {
    let open: Vec<(u64, String)> = {
        let state = entry.lock();
        let open = state.status.questions.answerable();
        open.map(|open| (open.number, open.key.clone())).collect()
    };
    let keys = || open.iter().map(|(_, key)| key.clone()).collect();
    if let (Which::Only, false) = (which, open.len() == 1) {
        return Err(EngineError::WhichQuestion { task: entry.id, open: keys() });
    }
    let (id, wanted_key, numbers): (_, Option<String>, Vec<u64>) = match which {
        Which::Key(key) => (entry.id, Some(key.to_owned()), Vec::new()),
        Which::Number(wanted) => (entry.id, None, vec![wanted]),
        Which::Only => (entry.id, None, open.iter().map(|(number, _)| *number).collect()),
    };
    let is_it = move |number: u64, row: &QuestionRow| {
        wanted_key.as_ref().map_or_else(|| numbers.contains(&number), |key| row.key == *key)
    };
    let read = move |snapshot: &Snapshot<'_>| {
        let rows = read_all(snapshot, id)?;
        let Some((number, row)) = rows.into_iter().rev().find(|(number, row)| is_it(*number, row)) else {
            return Ok(None);
        };
        let ask = read_ask(snapshot, &row)?;
        let answer = row.answered.as_ref().map(|answered| answer_of(snapshot, answered)).transpose()?;
        Ok(Some(Found { number, row, ask, answer }))
    };
    let found = shared.store.read(read).await?;
    found.ok_or_else(|| {
        let key = match which {
            Which::Key(key) => key.chars().take(limits::MAX_QUESTION_KEY_BYTES).collect(),
            _ => String::new(),
        };
        EngineError::NoSuchQuestion { task: entry.id, key, open: keys() }
    })
}

fn check_via(task: TaskId, found: &Found, via: AnsweredVia) -> Result<(), EngineError> {
    if found.row.kind == QuestionKind::Model && via.channel != MODEL_CHANNEL {
        // No one else speaks for the operator's model.
        let key = found.row.key.clone();
        return Err(EngineError::NoSuchQuestion { task, key, open: Vec::new() });
    }
    if found.row.by == By::Person && !via.is_person {
        return Err(EngineError::PersonAsked { task, key: found.row.key.clone() });
    }
    Ok(())
}

/// The time of a person's question is over, though its guest has not looked yet.
fn is_late(shared: &Shared, entry: &Entry, state: &EntryState, row: &QuestionRow) -> bool {
    let now = match state.anchor {
        Some(anchor) => entry.created_at.saturating_add(anchor.now(&*shared.clock)),
        None => shared.clock.wall(),
    };
    row.kind == QuestionKind::Elicit && now >= row.expires_at
}

/// `None` where it is not open any more.
fn commit(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    found: Found,
    answer: Answer,
    giving: &Giving<'_>,
) -> Result<Option<Ack>, EngineError> {
    let id = entry.id;
    let mut state = entry.lock();
    if state.status.state.is_terminal() || is_late(shared, entry, &state, &found.row) {
        return Ok(None);
    }
    let number = found.number;
    let Some(open) = state.status.questions.find(number).cloned() else { return Ok(None) };
    let mut more = Commit::new();
    let mut spent = Spend::NOTHING;
    let (model, tokens) = match (&answer, open.kind) {
        (answer, QuestionKind::Model) => {
            let Ask::Model(ask) = &found.ask else { return Ok(None) };
            // Each earlier time that it was asked counts with all that it may have cost.
            let before = open.reserved().minus(ask.spend());
            let last = giving.paid.spend.unwrap_or(ask.spend());
            spent = last.plus(before);
            if let Some((booking, last)) = giving.paid.settled() {
                shared.spending.settle(&entry.principal, booking, last, &mut more);
            }
            let said = matches!(answer, Answer::Accept(_)).then(|| ask.model.clone());
            (said, Some(spent.tokens))
        }
        (Answer::Accept(message), QuestionKind::Sample) => {
            let model = serde_json::from_str::<Value>(message)
                .ok()
                .and_then(|m| Some(m["model"].as_str()?.to_owned()));
            let estimate = (message.len() as u64).div_ceil(limits::BYTES_PER_TOKEN).min(open.reserved_tokens);
            (model, Some(giving.tokens.unwrap_or(estimate)))
        }
        _ => (None, giving.tokens),
    };
    let at = shared.clock.wall();
    let said = match &answer {
        Answer::Accept(content) => content.clone(),
        other => format!("{other:?}"),
    };
    let subject = Subject { note: Some(giving.via.channel), ..Subject::of_task(AuditAction::Answer, id) };
    let subject = subject.owned_by(&entry.principal).hash(*blake3::hash(said.as_bytes()).as_bytes());
    shared.audit.record_admitted(&mut more, giving.principal, subject)?;
    let by =
        AnsweredBy { principal: giving.principal.name().to_owned(), channel: giving.via.channel.to_owned() };
    let answer = rows::put_payload(&mut more, id, &rows::encode(&answer)?);
    put_answered(&mut more, id, number, found.row, Answered { answer, by, at, model, tokens })?;
    spent.tokens = tokens.unwrap_or(0);
    let ack = commit_event(shared, entry, &mut state, Event::Answered { number, spent }, more)?;
    if let Some((booking, last)) = giving.paid.settled() {
        shared.spending.settled(&entry.principal, booking, last);
    }
    Ok(Some(ack))
}

fn is_same(there: &Answer, given: &Answer) -> bool {
    match (there, given) {
        (Answer::Accept(there), Answer::Accept(given)) => {
            let same = |text: &str| serde_json::from_str(text).ok().map(|value| canonical(&value));
            same(there) == same(given)
        }
        (there, given) => there == given,
    }
}

/// What the guest would get; the error says what is wrong with the answer.
fn check(found: &Found, given: &Given) -> Result<Answer, String> {
    let content = match given {
        Given::Decline => return Ok(Answer::Decline),
        Given::Cancel => return Ok(Answer::Cancel),
        Given::Unavailable(why) => return Ok(Answer::Unavailable(why.clone())),
        Given::Refused(why) => return Ok(Answer::Refused(why.clone())),
        Given::Accept(content) => content,
    };
    let content = match &found.ask {
        Ask::Form { schema, .. } => {
            let schema: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
            accept(&schema, &restore(&schema, content.clone()))?
        }
        Ask::Url { .. } => "{}".to_owned(),
        Ask::Sample { .. } | Ask::Model(_) => message(content)?.to_string(),
        Ask::Roots => roots(content)?.to_string(),
    };
    let limit = match &found.ask {
        // What it cost was added to it here.
        Ask::Model(_) => limits::MAX_ANSWER_BYTES + limits::MODEL_USAGE_BYTES,
        _ => limits::MAX_ANSWER_BYTES,
    };
    if content.len() > limit {
        return Err(format!("it is {} bytes of JSON; at most {limit} are taken", content.len()));
    }
    Ok(Answer::Accept(content))
}

/// The content as the form takes it, as JSON.
fn accept(schema: &Value, content: &Value) -> Result<String, String> {
    let schema = Schema::compile(schema).map_err(|error| error.to_string())?;
    schema.accept(content).map(|content| content.to_string()).map_err(|violations| {
        let words: Vec<String> = violations.iter().map(ToString::to_string).collect();
        words.join("; ")
    })
}

/// A model's message as MCP has it; a text alone stands for one.
fn message(given: &Value) -> Result<Value, String> {
    const SHAPE: &str = "a model's message is {\"model\": …, \"role\": \"assistant\", \"content\": {\"type\": \"text\", \"text\": …}}";
    let text = |text: &str| json!({"type": "text", "text": text});
    let mut message = match given {
        Value::String(said) => json!({"content": text(said)}),
        Value::Object(_) => given.clone(),
        _ => return Err(SHAPE.to_owned()),
    };
    if let Some(said) = message["content"].as_str().map(text) {
        message["content"] = said;
    }
    let is_block = |block: &Value| block["type"].is_string();
    let has_content = match &message["content"] {
        Value::Array(blocks) => !blocks.is_empty() && blocks.iter().all(is_block),
        block => is_block(block),
    };
    if !has_content {
        return Err(SHAPE.to_owned());
    }
    for (field, default) in [("role", "assistant"), ("model", "unknown")] {
        if message[field].is_null() {
            message[field] = json!(default);
        }
        if !message[field].is_string() {
            return Err(SHAPE.to_owned());
        }
    }
    Ok(message)
}

fn roots(given: &Value) -> Result<Value, String> {
    let roots = if given.is_array() { given } else { &given["roots"] };
    let all = roots.as_array().filter(|roots| roots.iter().all(|root| root["uri"].is_string()));
    match all {
        Some(_) => Ok(json!({"roots": roots})),
        None => Err("roots are {\"roots\": [{\"uri\": \"file:///…\", \"name\": …}]}".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_message_is_taken_in_its_short_forms_too() {
        let full = json!({"model": "m", "role": "assistant", "content": {"type": "text", "text": "hi"}});
        assert_eq!(message(&full), Ok(full.clone()));
        let unknown =
            json!({"content": {"type": "text", "text": "hi"}, "role": "assistant", "model": "unknown"});
        assert_eq!(message(&json!("hi")), Ok(unknown.clone()));
        assert_eq!(message(&json!({"content": "hi"})), Ok(unknown));
        let blocks = json!({"model": "m", "role": "assistant", "content": [{"type": "tool_use", "id": "1"}]});
        assert_eq!(message(&blocks), Ok(blocks.clone()));
        for wrong in [json!(1), json!({}), json!({"content": []}), json!({"content": "hi", "model": 1})] {
            assert!(message(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_with_a_zero_fraction_answers_with_an_integer_where_one_is_asked_for() {
        let schema =
            json!({"type": "object", "properties": {"n": {"type": "integer"}, "price": {"type": "number"}}});
        let taken = |content: Value| accept(&schema, &content);
        assert_eq!(taken(json!({"n": 3.0})), Ok(r#"{"n":3}"#.to_owned()));
        assert_eq!(taken(json!({"n": -2e0, "price": 3.0})), Ok(r#"{"n":-2,"price":3.0}"#.to_owned()));
        assert_eq!(taken(json!({"n": 3, "price": 1})), Ok(r#"{"n":3,"price":1}"#.to_owned()));
        // As a form is sent that was not filled in.
        assert_eq!(taken(json!({"n": null, "price": 2})), Ok(r#"{"price":2}"#.to_owned()));
        assert!(taken(json!({"n": 3.5})).is_err());
        assert!(taken(json!({"n": 1e16})).is_err_and(|why| why.contains("/n") && why.contains("2^53")));
    }

    #[test]
    fn roots_are_a_list_of_uris() {
        let all = json!({"roots": [{"uri": "file:///a", "name": "a"}]});
        assert_eq!(roots(&all), Ok(all.clone()));
        assert_eq!(roots(&all["roots"]), Ok(all));
        assert!(roots(&json!({"roots": [{"name": "a"}]})).is_err());
        assert!(roots(&json!({})).is_err());
    }

    #[test]
    fn the_order_of_fields_makes_no_other_answer() {
        let accept = |text: &str| Answer::Accept(text.to_owned());
        assert!(is_same(&accept("{\"a\":1,\"b\":2}"), &accept("{\"b\":2,\"a\":1}")));
        assert!(is_same(&accept("{\"a\":1}"), &accept("{\"a\":1.0}")));
        assert!(!is_same(&accept("{\"a\":1}"), &accept("{\"a\":2}")));
        assert!(!is_same(&accept("{}"), &Answer::Decline));
    }
}
