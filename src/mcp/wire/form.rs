//! What is answered for a task: a link, its result, why it has none, or its document. A text comes first, and what the
//! structure says is as much as the texts: a client shows a model the one or the other.

use rmcp::model::*;
use serde_json::{Value, json};

use super::client_settings::Links;
use super::convert::{self, document};
use super::error::{self, Refusal};
use super::next::{self, after_failure};
use super::own_names::OwnNames;
use crate::api::TaskDocument;
use crate::catalog::{ToolEntry, show_in_json};
use crate::engine::TaskEnd;
use crate::task::{TaskError, TaskId, ToolResult};

/// How answers are made for one client.
#[derive(Clone, Copy)]
pub struct Form<'a> {
    pub names: &'a OwnNames,
    pub links: Links,
}

impl Form<'_> {
    /// The answer that says where the task is.
    pub fn link(self, task: &TaskDocument, id: TaskId) -> CallToolResult {
        let next = next::for_result(self.names, task);
        let asks = next::asked_lines(self.names, task);
        let text = format!("Started {} as task {id}. {next}{asks}", task.tool);
        let mut value = link_value(task, &next);
        if !task.input_requests.is_empty() {
            value["asks"] = next::asks(self.names, task).into();
        }
        let second = match self.links {
            Links::Block => ContentBlock::resource_link(convert::task_resource(task)),
            Links::Text => json_text(&value),
        };
        let mut answer = CallToolResult::success(vec![ContentBlock::text(text), second]);
        answer.structured_content = Some(value);
        answer.meta = Some(convert::task_meta(id));
        answer
    }

    /// The answer for a task that has ended; `None` while it has not.
    pub fn ended(
        self,
        end: TaskEnd,
        entry: Option<&ToolEntry>,
        id: TaskId,
    ) -> Option<Result<CallToolResult, Refusal>> {
        let mut answer = match end {
            TaskEnd::NotYet(_) => return None,
            TaskEnd::Completed(result) => self.completed(entry, result),
            TaskEnd::Failed(_, TaskError { protocol: Some(protocol), .. }) => {
                return Some(Err(Refusal::Error(error::of_tool(&protocol, id))));
            }
            TaskEnd::Failed(task, _) | TaskEnd::Cancelled(task) => self.not_completed(&task.into()),
        };
        answer.meta = Some(convert::task_meta(id));
        Some(Ok(answer))
    }

    /// A task that failed or was cancelled.
    pub fn not_completed(self, task: &TaskDocument) -> CallToolResult {
        let mut value = link_value(task, &after_failure(self.names, task));
        if let Some(error) = &task.error {
            value["error"] = document(error);
        }
        self.failed(task, value)
    }

    /// The same, with a structure of the caller's, in words that name reason, message and what to do next.
    pub fn failed(self, task: &TaskDocument, value: Value) -> CallToolResult {
        let error = task.error.as_ref();
        let message = error.map_or("", |error| error.message.as_str());
        let mut text = match task.state.as_str() {
            "cancelled" => format!("The task {} of {} was cancelled", task.id, task.tool),
            _ => {
                let reason = task.reason.as_deref().unwrap_or("host_fault");
                format!("The task {} of {} failed ({reason})", task.id, task.tool)
            }
        };
        if !message.is_empty() {
            text.push_str(&format!(": {message}"));
        }
        text.push('.');
        if let Some(detail) = error.and_then(|error| error.detail.as_deref()) {
            text.push_str(&format!("\n{detail}"));
        }
        text.push_str(&format!("\n{}", after_failure(self.names, task)));
        let mut answer = error::tool_error(text);
        if self.links == Links::Text {
            answer.content.push(json_text(&value));
        }
        answer.structured_content = Some(value);
        answer
    }

    /// A task's document, with what to do next.
    pub fn document(self, task: &TaskDocument) -> Value {
        let mut value = document(task);
        value["next"] = json!(next::next(self.names, task));
        value
    }

    /// The same for a task that goes on: the sentence first, which is what a model must not miss.
    pub fn going_on(self, value: Value) -> CallToolResult {
        let next = value["next"].as_str().unwrap_or_default().to_owned();
        let blocks = vec![ContentBlock::text(next), json_text(&value)];
        let mut answer = CallToolResult::success(blocks);
        answer.structured_content = Some(value);
        answer
    }

    /// A tool's own result. For a client that takes texts alone its links are texts, and its structure is one too.
    pub fn completed(self, entry: Option<&ToolEntry>, result: ToolResult) -> CallToolResult {
        let mut answer = convert::completed(entry, result);
        if self.links == Links::Text {
            answer.content = answer.content.into_iter().map(as_text).collect();
            let unsaid = answer.structured_content.as_ref().filter(|value| !is_said(&answer.content, value));
            let unsaid = unsaid.map(json_text);
            answer.content.extend(unsaid);
        }
        answer
    }
}

fn link_value(task: &TaskDocument, next: &str) -> Value {
    json!({ "task_id": task.id, "uri": task.uri, "state": task.state, "next": next })
}

/// A value as text, which stands for it where a client takes no structure.
fn json_text(value: &Value) -> ContentBlock {
    ContentBlock::text(show_in_json(&value.to_string()))
}

fn as_text(block: ContentBlock) -> ContentBlock {
    let ContentBlock::ResourceLink(link) = block else { return block };
    let Resource { uri, name, title, description, .. } = link;
    let title = title.filter(|title| *title != name).map(|title| format!(" ({title})")).unwrap_or_default();
    let description = description.map(|text| format!(": {text}")).unwrap_or_default();
    ContentBlock::text(format!("{name}{title} at {uri}{description}"))
}

/// The result of a tool with the document of its task as its structure.
pub fn with_document(mut answer: CallToolResult, mut value: Value) -> CallToolResult {
    value["next"] = json!("Completed: this is its result.");
    if let Some(text) = text_besides(&answer) {
        value["text"] = text.into();
    }
    value["result"] = answer.structured_content.take().unwrap_or(Value::Null);
    answer.structured_content = Some(value);
    answer
}

/// What a result says in words and not in its structure.
fn text_besides(answer: &CallToolResult) -> Option<String> {
    let is_other =
        |text: &&str| !answer.structured_content.as_ref().is_some_and(|value| is_json_of(text, value));
    let texts: Vec<&str> = texts(&answer.content).filter(is_other).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

fn texts(content: &[ContentBlock]) -> impl Iterator<Item = &str> {
    content.iter().filter_map(|block| Some(block.as_text()?.text.as_str()))
}

/// Whether one of the texts is the JSON of the structure.
fn is_said(content: &[ContentBlock], structured: &Value) -> bool {
    texts(content).any(|text| is_json_of(text, structured))
}

/// Also as it was before it was wrapped.
fn is_json_of(text: &str, structured: &Value) -> bool {
    let value: Option<Value> = serde_json::from_str(text).ok();
    value.is_some_and(|value| value == *structured || json!({ "result": value }) == *structured)
}

/// A document of Longhaul's own, as text and as structure.
pub fn structured(value: Value) -> CallToolResult {
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    let mut answer = CallToolResult::success(vec![ContentBlock::text(show_in_json(&text))]);
    answer.structured_content = Some(value);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Content;

    fn form(links: Links, hint: &str) -> (OwnNames, Links) {
        (OwnNames::of_hint(hint).expect("a name"), links)
    }

    /// A task of this state; `more` is of its document.
    fn task(state: &str, more: Value) -> TaskDocument {
        let id = TaskId::from_bytes([1; 16]);
        let mut document = json!({
            "id": id, "uri": id.uri(), "tool": "travel", "component": "travel@1", "state": state, "attempt": 1,
            "steps": 0, "created_at": "", "updated_at": "", "log_uri": "",
        });
        let fields = document.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        serde_json::from_value(document).expect("a document")
    }

    fn question(by: &str, message: &str) -> Value {
        json!({
            "kind": "elicit", "by": by, "tool": "travel", "component": "travel@1", "message": message,
            "schema": {"type": "object", "properties": {"ok": {"type": "boolean"}}}, "asked_at": "", "expires_at": "",
        })
    }

    fn texts(answer: &CallToolResult) -> Vec<String> {
        answer.content.iter().filter_map(|block| Some(block.as_text()?.text.clone())).collect()
    }

    #[test]
    fn a_link_says_what_is_asked_and_how_to_answer_in_words_and_in_structure() {
        let asks = json!({ "input_requests": { "sure": question("person", "Book?"), "where": question("any", "Where to?") } });
        let task = task("waiting", asks);
        let id: TaskId = task.id.parse().expect("an id");
        for (links, blocks) in [(Links::Block, 1), (Links::Text, 2)] {
            let (names, links) = form(links, "lh.taskWait");
            let answer = Form { names: &names, links }.link(&task, id);
            let texts = texts(&answer);
            assert_eq!((texts.len(), answer.content.len()), (blocks, 2));
            let value = answer.structured_content.expect("a structure");
            assert!(blocks == 1 || serde_json::from_str::<Value>(&texts[1]).expect("JSON") == value);
            let of_link =
                crate::catalog::Schema::compile(&crate::mcp::wire::schema::link_schema()).expect("a schema");
            of_link.check(&value).expect("fits");
            let said = &value["asks"];
            assert_eq!(
                (&said[0]["key"], &said[0]["by"], &said[1]["by"]),
                (&json!("sure"), &json!("person"), &json!("any"))
            );
            assert_eq!(said[1]["schema"]["properties"]["ok"]["type"], "boolean");
            let person = said[0]["answer"].as_str().expect("text");
            assert!(
                person.contains("--url and a token") && !person.contains("longhaul "),
                "no command: {person}"
            );
            let any = said[1]["answer"].as_str().expect("text");
            assert!(any.contains("lh.taskAnswer {\"task_id\"") && any.contains("\"key\":\"where\""), "{any}");
            for part in [person, any, "Book?", "Where to?", value["next"].as_str().expect("text")] {
                assert!(texts[0].contains(part), "{part} in {}", texts[0]);
            }
        }
    }

    #[test]
    fn a_question_that_any_may_answer_shows_what_an_answer_looks_like() {
        let field = |name: &str, schema: Value| json!({ "type": "object", "properties": { name: schema } });
        for (kind, schema, content) in [
            ("elicit", field("ok", json!({"type": "boolean"})), "{\"ok\":\"<boolean>\"}"),
            ("elicit", field("size", json!({"type": "string", "enum": ["s", "m"]})), "{\"size\":\"<s|m>\"}"),
            ("elicit", field("n", json!({})), "{\"n\":\"<any>\"}"),
            ("elicit", Value::Null, "{}"),
            ("sample", Value::Null, "\"text\":\"<text>\""),
            ("roots", Value::Null, "{\"roots\":["),
        ] {
            let mut question = question("any", "?");
            (question["kind"], question["schema"]) = (json!(kind), schema);
            let task = task("waiting", json!({ "input_requests": { "k": question } }));
            let next = next::next(&OwnNames::default(), &task);
            assert!(next.contains("\"content\":{") && next.contains(content), "{next}");
        }
    }

    #[test]
    fn what_a_task_asks_stays_bounded_in_its_link() {
        let long = "x".repeat(crate::limits::MAX_LINK_ASKS_BYTES / 3 - 1_000);
        let large = |n: usize| {
            let mut question = question("any", "?");
            question["schema"]["description"] = json!(long);
            (format!("q{n}"), question)
        };
        let asks: serde_json::Map<String, Value> = (0..9).map(large).collect();
        let task = task("waiting", json!({ "input_requests": asks }));
        let asks = next::asks(&OwnNames::default(), &task);
        assert_eq!(asks.iter().filter(|ask| ask.get("schema").is_some()).count(), 3);
        assert!(asks.iter().all(|ask| ask["message"] == "?") && asks.len() == 9);
    }

    #[test]
    fn a_document_says_what_to_do_next_whatever_state_its_task_is_in() {
        let (names, links) = form(Links::Block, "lh_task_wait");
        let form = Form { names: &names, links };
        let ask = |by: &str| json!({ "reason": "input", "input_requests": { "k": question(by, "?") } });
        let error = |more: Value| {
            let mut error = json!({ "reason": "trap", "message": "m", "next": "longhaul task retry X" });
            error.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            json!({ "error": error })
        };
        for (state, more, parts) in [
            ("queued", json!({ "reason": "new" }), ["Still running (queued)", "lh_task_wait {"]),
            (
                "queued",
                json!({ "reason": "retry", "wake_at": "noon" }),
                ["another try at noon", "lh_task_wait {"],
            ),
            ("running", json!({ "reason": "live" }), ["Still running: call", "lh_task_wait {"]),
            (
                "waiting",
                json!({ "reason": "timer", "wake_at": "noon" }),
                ["(waiting until noon)", "lh_task_wait {"],
            ),
            ("waiting", json!({ "reason": "message" }), ["which lh_task_send brings", "lh_task_wait {"]),
            ("waiting", json!({ "reason": "child" }), ["the tasks that it called", "lh_task_wait {"]),
            (
                "waiting",
                json!({ "reason": "input", "unknown_step": 7 }),
                ["a person to say what became of step 7", "again after"],
            ),
            ("waiting", ask("person"), ["a person to answer the question 'k'", "--url and a token"]),
            ("waiting", ask("any"), ["call lh_task_answer {", "then call lh_task_wait {"]),
            ("completed", json!({}), ["Completed: call", "lh_task_result {"]),
            ("failed", error(json!({})), ["lh_task_retry {", "longhaul task retry X"]),
            (
                "failed",
                error(json!({ "step": 3 })),
                ["lh_task_retry {", "a person says what became of step 3"],
            ),
            ("cancelled", json!({}), ["Next:", "lh_task_retry {"]),
        ] {
            let task = task(state, more);
            let value = form.document(&task);
            let next = value["next"].as_str().expect("a sentence");
            assert!(parts.iter().all(|part| next.contains(part)), "{state}: {next}");
            if !task.is_terminal() {
                assert!(next.starts_with("Still running") && !next.contains("longhaul "), "{next}");
                assert_eq!(texts(&form.going_on(value.clone()))[0], next);
            }
        }
    }

    #[test]
    fn a_tools_own_links_are_texts_for_a_client_that_takes_none() {
        let link = |title: Option<&str>, description: Option<&str>| Content::Link {
            uri: "https://x.example/a".to_owned(),
            name: "a".to_owned(),
            title: title.map(str::to_owned),
            description: description.map(str::to_owned),
            mime_type: None,
        };
        let id = TaskId::from_bytes([1; 16]);
        for (content, said) in [
            (link(None, None), "a at https://x.example/a"),
            (link(Some("A page"), None), "a (A page) at https://x.example/a"),
            (link(Some("a"), Some("of all")), "a at https://x.example/a: of all"),
        ] {
            let result =
                ToolResult { content: vec![Content::Text("see".into()), content], ..ToolResult::default() };
            let ended = |links| {
                let form = Form { names: &OwnNames::default(), links };
                match form.ended(TaskEnd::Completed(result.clone()), None, id) {
                    Some(Ok(answer)) => answer,
                    _ => panic!("an answer"),
                }
            };
            assert_eq!(texts(&ended(Links::Text)), ["see", said]);
            assert!(matches!(ended(Links::Block).content[1], ContentBlock::ResourceLink(_)));
        }
    }

    /// A client that shows the structure alone shows as much.
    #[test]
    fn a_result_in_words_stands_in_the_structure_of_a_wait_too() {
        for (content, structured, text, result) in [
            (vec!["well", "done"], None, json!("well\ndone"), Value::Null),
            (vec!["{\"n\": 1}"], Some("{\"n\":1}"), Value::Null, json!({"n": 1})),
            (vec!["7"], Some("7"), Value::Null, json!({"result": 7})),
            (vec!["it is", "7"], Some("7"), json!("it is"), json!({"result": 7})),
        ] {
            let content = content.into_iter().map(|text| Content::Text(text.into())).collect();
            let structured = structured.map(str::to_owned);
            let answer =
                convert::completed(None, ToolResult { content, structured, ..ToolResult::default() });
            let value =
                with_document(answer, json!({ "state": "completed" })).structured_content.expect("a value");
            assert_eq!((value.get("text").cloned().unwrap_or_default(), &value["result"]), (text, &result));
        }
    }
}
