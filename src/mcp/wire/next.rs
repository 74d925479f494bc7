//! What to do next about a task, in a sentence: the same in the text of an answer and in its structure. It names tools
//! as clients have them, and no command for what only a person may do: agents have shells.

use serde_json::{Value, json};

use super::own_names::OwnNames;
use crate::api::{ErrorDocument, InputRequest, TaskDocument};
use crate::catalog::{show_hidden, show_in_json};
use crate::limits;
use crate::task::{By, QuestionKind};

/// How a person answers where the client that shows the question has no way to.
pub const PERSON_ANSWERS: &str = "A person answers it in a client of their own that is connected to this server, such \
     as Longhaul's command line with --url and a token";

/// The call of an own tool as a text shows it.
pub fn call(names: &OwnNames, tool: &'static str, arguments: &Value) -> String {
    let arguments = arguments.to_string();
    format!("{} {}", names.of(tool), show_in_json(&arguments))
}

fn of_task(names: &OwnNames, tool: &'static str, task: &TaskDocument) -> String {
    call(names, tool, &json!({ "task_id": task.id }))
}

/// For a call that was answered with a link.
pub fn for_result(names: &OwnNames, task: &TaskDocument) -> String {
    format!("Call {} for its result.", of_task(names, "task_wait", task))
}

/// For a task whose document is shown.
pub fn next(names: &OwnNames, task: &TaskDocument) -> String {
    match task.state.as_str() {
        "completed" => format!("Completed: call {} for its result.", of_task(names, "task_result", task)),
        "failed" | "cancelled" => after_failure(names, task),
        _ => still_running(names, task),
    }
}

pub fn after_failure(names: &OwnNames, task: &TaskDocument) -> String {
    let error = task.error.as_ref();
    let retry = format!("Next: {}", of_task(names, "task_retry", task));
    let mut next = match (error.and_then(|error| error.step), error.and_then(|error| error.next.as_deref())) {
        // What became of it is for a person to say: a model is not handed the command.
        (Some(step), _) => format!("{retry}, or a person says what became of step {step}"),
        (None, Some(next)) => format!("{retry}, or on a command line: {next}"),
        (None, None) => retry,
    };
    if error.is_some_and(ErrorDocument::is_trap) {
        next.push_str(&format!("; its log: {}", log_call(names, task)));
    }
    next
}

fn log_call(names: &OwnNames, task: &TaskDocument) -> String {
    call(names, "task_output", &json!({ "task_id": task.id, "name": "log" }))
}

/// Why a task ended, where one text is all that is shown: of a trap the lines of its log that say why, too.
pub fn why(names: &OwnNames, task: &TaskDocument, error: &ErrorDocument) -> String {
    let mut why = error.with_log_lines();
    if why.len() > error.message.len() {
        why.push_str(&format!("\nits whole log: {}, or {}", log_call(names, task), task.log_uri));
    }
    why
}

/// What a task waits for that its client has no way to answer.
pub fn waits_for(names: &OwnNames, task: &TaskDocument) -> Option<String> {
    let asked = asked_lines(names, task);
    (!asked.is_empty()).then(|| format!("Waiting for an answer.{asked}"))
}

fn still_running(names: &OwnNames, task: &TaskDocument) -> String {
    let wait = of_task(names, "task_wait", task);
    if let Some(step) = task.unknown_step {
        return format!(
            "Still running, waiting for a person to say what became of step {step}: call {wait} again after that."
        );
    }
    let mut asks = task.input_requests.iter();
    if let Some((key, question)) = asks.next() {
        let others = match asks.len() {
            0 => String::new(),
            count => format!(" It asks {count} more."),
        };
        return match question.by {
            By::Person => format!(
                "Still running, waiting for a person to answer the question '{}'. {PERSON_ANSWERS}; call {wait} again \
                 after that.{others}",
                show_hidden(key)
            ),
            By::Any => format!(
                "Still running, waiting for an answer: call {}, then call {wait} again.{others}",
                answer_call(names, task, key, question)
            ),
        };
    }
    let why = match (task.state.as_str(), task.reason.as_deref(), task.wake_at.as_deref()) {
        ("queued", Some("retry"), Some(at)) => format!(" (queued for another try at {at})"),
        ("queued", Some("retry"), None) => " (queued for another try)".to_owned(),
        ("queued", ..) => " (queued)".to_owned(),
        ("waiting", Some("timer"), Some(at)) => format!(" (waiting until {at})"),
        ("waiting", Some("message"), _) => {
            format!(" (waiting for a message, which {} brings)", names.of("task_send"))
        }
        ("waiting", Some("child"), _) => " (waiting for the tasks that it called)".to_owned(),
        ("waiting", Some("state"), _) => " (waiting for a change of shared state)".to_owned(),
        ("waiting", Some("input"), _) => " (waiting for an answer)".to_owned(),
        ("waiting", Some("blocked"), _) => " (its component is blocked by this server's operator)".to_owned(),
        ("waiting", ..) => " (waiting)".to_owned(),
        _ => String::new(),
    };
    format!("Still running{why}: call {wait} again.")
}

fn answer_call(names: &OwnNames, task: &TaskDocument, key: &str, question: &InputRequest) -> String {
    let content = example(question);
    call(
        names,
        "task_answer",
        &json!({ "task_id": task.id, "key": key, "action": "accept", "content": content }),
    )
}

/// What an answer looks like, with what is to be filled in within `<>`: the text is all that some clients show.
fn example(question: &InputRequest) -> Value {
    match question.kind {
        QuestionKind::Sample => json!({
            "role": "assistant", "content": { "type": "text", "text": "<text>" }, "model": "<model>",
        }),
        // The server asks it itself.
        QuestionKind::Model => Value::Null,
        QuestionKind::Roots => json!({ "roots": [{ "uri": "file:///<path>" }] }),
        QuestionKind::Elicit => {
            let fields = question.schema.as_ref().and_then(|schema| schema["properties"].as_object());
            let filled = |(name, field): (&String, &Value)| (name.clone(), placeholder(field));
            Value::Object(fields.into_iter().flatten().map(filled).collect())
        }
    }
}

fn placeholder(field: &Value) -> Value {
    let choices = field["enum"].as_array().filter(|choices| choices.len() <= limits::MAX_SHOWN_CHOICES);
    let choices = choices.map(|choices| {
        let choices: Vec<String> = choices
            .iter()
            .map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned))
            .collect();
        choices.join("|")
    });
    let kind = choices.or_else(|| field["type"].as_str().map(str::to_owned));
    json!(format!("<{}>", kind.unwrap_or_else(|| "any".to_owned())))
}

/// Who answers a question, and how.
pub fn how_to_answer(names: &OwnNames, task: &TaskDocument, key: &str, question: &InputRequest) -> String {
    match question.by {
        By::Person => format!("{PERSON_ANSWERS}."),
        By::Any => format!("You or a person: call {}.", answer_call(names, task, key, question)),
    }
}

/// What a task asks, in lines behind the text of its link.
pub fn asked_lines(names: &OwnNames, task: &TaskDocument) -> String {
    let lines = task.input_requests.iter().map(|(key, question)| {
        let message = question.message.as_deref().unwrap_or(match question.kind {
            QuestionKind::Elicit => "a question",
            QuestionKind::Sample => "a sample of a model",
            QuestionKind::Roots => "the list of its client's roots",
            QuestionKind::Model => "a model of the operator's",
        });
        let whom = match question.by {
            By::Person => "a person",
            By::Any => "you or a person",
        };
        let how = how_to_answer(names, task, key, question);
        format!("\nIt asks {whom}: {message} (question {}). {how}", show_hidden(key))
    });
    lines.collect()
}

/// What a task asks, as structure; what does not fit any more is without its schema, which the task's document has.
pub fn asks(names: &OwnNames, task: &TaskDocument) -> Vec<Value> {
    let mut left = limits::MAX_LINK_ASKS_BYTES;
    let asks = task.input_requests.iter().map(|(key, question)| {
        let whole = ask(names, task, key, question);
        let size = whole.to_string().len();
        if size <= left {
            left -= size;
            return whole;
        }
        left = 0;
        ask(names, task, key, &question.clone().shortened())
    });
    asks.collect()
}

fn ask(names: &OwnNames, task: &TaskDocument, key: &str, question: &InputRequest) -> Value {
    let InputRequest { kind, by, tool, task: below, message, schema, url, request, .. } = question;
    let fields = [
        ("key", Some(json!(key))),
        ("by", Some(json!(by))),
        ("kind", Some(json!(kind))),
        ("tool", Some(json!(tool))),
        ("task", below.as_ref().map(|below| json!(below))),
        ("message", message.as_ref().map(|message| json!(message))),
        ("schema", schema.clone()),
        ("url", url.as_ref().map(|url| json!(url))),
        ("request", request.clone()),
        ("answer", Some(json!(how_to_answer(names, task, key, question)))),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_trapped_says_why_with_the_lines_of_its_log() {
        let names = OwnNames::of_hint("lh-task-wait").expect("a name");
        let of = |reason: &str, detail: Option<&str>| {
            let mut task = ended(reason);
            let error = task.error.as_mut().expect("an error");
            error.detail = detail.map(str::to_owned);
            let error = error.clone();
            why(&names, &task, &error)
        };
        let quote = "the last lines of its log:\n  panicked at lib.rs:3\n  no bolts\nbacktrace:\n  0: ship";
        assert_eq!(
            of("trap", Some(quote)),
            "unreachable\nthe last lines of its log:\n  panicked at lib.rs:3\n  no bolts\nits whole log: \
             lh-task-output {\"task_id\":\"7\",\"name\":\"log\"}, or task://7/log"
        );
        for (reason, detail) in
            [("trap", None), ("trap", Some("backtrace:\n  0: ship")), ("limit", Some("bound: X"))]
        {
            assert_eq!(of(reason, detail), "unreachable");
        }
    }

    fn ended(reason: &str) -> TaskDocument {
        serde_json::from_value(json!({
            "id": "7", "uri": "task://7", "tool": "ship", "component": "c", "state": "failed", "reason": reason,
            "attempt": 1, "steps": 0, "created_at": "", "updated_at": "", "log_uri": "task://7/log",
            "error": { "reason": reason, "message": "unreachable", "next": "longhaul task retry 7" },
        }))
        .expect("a document")
    }

    #[test]
    fn what_trapped_says_where_its_log_is() {
        let names = OwnNames::of_hint("lh-task-wait").expect("a name");
        let log = "; its log: lh-task-output {\"task_id\":\"7\",\"name\":\"log\"}";
        assert!(next(&names, &ended("trap")).ends_with(log), "{}", next(&names, &ended("trap")));
        for reason in ["limit", "timeout", "diverged"] {
            assert!(!next(&names, &ended(reason)).contains("its log"), "{reason}");
        }
    }
}
