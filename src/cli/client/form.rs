//! A task's question, asked at the prompt field by field.

use serde_json::{Map, Value};

use super::arguments;
use crate::api::{AnswerAction, InputRequest};
use crate::catalog::Schema;
use crate::cli::exit::{CliError, Result};
use crate::cli::show::render::{escape, escape_text};
use crate::task::{QuestionKind, TaskId};

/// Typed instead of a value.
const DECLINE: &str = ":decline";
const CANCEL: &str = ":cancel";
const LATER: &str = ":later";

/// A question that is being answered.
pub struct Form {
    /// The entry of the task.
    pub of: String,
    pub id: TaskId,
    pub key: String,
    question: InputRequest,
    fields: Vec<(String, Value)>,
    given: Map<String, Value>,
    at: usize,
}

/// What becomes of a form with a line.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Another line is wanted.
    More,
    Done(Reply),
    /// It stays open.
    Later,
}

/// The answer of a person, in the words of MCP.
#[derive(Debug, PartialEq)]
pub struct Reply {
    pub action: AnswerAction,
    pub content: Option<Value>,
}

impl Form {
    /// `None` where the question is not for a person's hand.
    pub fn new(of: String, id: TaskId, key: String, question: InputRequest) -> Option<Self> {
        if question.kind != QuestionKind::Elicit {
            return None;
        }
        let properties = question.schema.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        let fields = properties.into_iter().flatten().map(|(name, field)| (name.clone(), field.clone()));
        let fields = fields.collect();
        Some(Self { of, id, key, question, fields, given: Map::new(), at: 0 })
    }

    /// Who asks what, and how to refuse.
    pub fn opening(&self) -> String {
        let message = self.question.message.as_deref().unwrap_or_default();
        let mut text = format!("{} asks: {}", escape(&self.question.tool), escape_text(message));
        if let Some(url) = &self.question.url {
            text.push_str(&format!("\n  at {}", escape(url)));
        }
        text.push_str(&format!(
            "\n  ({DECLINE} says no, {CANCEL} gives the question up, {LATER} leaves it open)"
        ));
        text
    }

    /// What the next line is for.
    pub fn prompt(&self) -> String {
        let Some((name, field)) = self.fields.get(self.at) else { return "  Enter to agree: ".to_owned() };
        let text = |key: &str| field.get(key).and_then(Value::as_str).map(escape);
        let mut prompt = format!("  {}", text("title").unwrap_or_else(|| escape(name)));
        if let Some(description) = text("description") {
            prompt.push_str(&format!(", {description}"));
        }
        let mut hints = Vec::new();
        let choices = field.get("enum").and_then(Value::as_array);
        match choices {
            Some(choices) => hints.push(choices.iter().map(shown).collect::<Vec<_>>().join(" | ")),
            None if field.get("type").is_some_and(|kind| kind == "boolean") => {
                hints.push("yes or no".to_owned())
            }
            None => hints.extend(text("type")),
        }
        match field.get("default") {
            Some(default) => hints.push(format!("Enter for {}", shown(default))),
            None if !self.is_required(name) => hints.push("Enter to leave out".to_owned()),
            None => {}
        }
        format!("{prompt} ({}): ", hints.join(", "))
    }

    /// Takes a line for the field that is asked.
    pub fn take(&mut self, line: &str) -> Result<Step> {
        match line.trim() {
            DECLINE => return Ok(Step::Done(Reply { action: AnswerAction::Decline, content: None })),
            CANCEL => return Ok(Step::Done(Reply { action: AnswerAction::Cancel, content: None })),
            LATER => return Ok(Step::Later),
            _ => {}
        }
        if let Some((name, field)) = self.fields.get(self.at) {
            if let Some(value) = self.value(name, field, line)? {
                self.given.insert(name.clone(), value);
            }
            self.at += 1;
        }
        if self.at < self.fields.len() {
            return Ok(Step::More);
        }
        let content = self.question.schema.is_some().then(|| Value::Object(std::mem::take(&mut self.given)));
        Ok(Step::Done(Reply { action: AnswerAction::Accept, content }))
    }

    /// From the first field again.
    pub fn begin_again(&mut self) {
        (self.at, self.given) = (0, Map::new());
    }

    fn value(&self, name: &str, field: &Value, line: &str) -> Result<Option<Value>> {
        if line.is_empty() {
            return match field.get("default") {
                Some(default) => Ok(Some(default.clone())),
                None if !self.is_required(name) => Ok(None),
                None => Err(CliError::usage("this one has no default")),
            };
        }
        let is_boolean = field.get("type").is_some_and(|kind| kind == "boolean");
        let line = match line.to_ascii_lowercase().as_str() {
            "y" | "yes" if is_boolean => "true",
            "n" | "no" if is_boolean => "false",
            _ => line,
        };
        let schema = self.question.schema.clone().unwrap_or_default();
        let mut typed = arguments::arguments(&schema, &[format!("{name}={line}")], None)?;
        let value = typed.remove(name).unwrap_or_default();
        // The whole is checked by the server; here each field, as long as it can be typed again.
        if let Ok(schema) = Schema::compile(field)
            && let Err(violations) = schema.check(&value)
        {
            let words: Vec<String> = violations.iter().map(|wrong| escape(&wrong.to_string())).collect();
            return Err(CliError::usage(words.join("; ")));
        }
        Ok(Some(value))
    }

    fn is_required(&self, name: &str) -> bool {
        let required = self.question.schema.as_ref().and_then(|schema| schema.get("required")?.as_array());
        required.into_iter().flatten().any(|required| required == name)
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(schema: Option<Value>) -> Form {
        let question = json!({
            "kind": "elicit", "by": "person", "tool": "travel_agent", "component": "blake3:1",
            "message": "Book it\u{1b}[2J?", "schema": schema, "asked_at": "", "expires_at": "",
        });
        let question: InputRequest = serde_json::from_value(question).expect("a question");
        Form::new("k".to_owned(), TaskId::from_bytes([1; 16]), "price".to_owned(), question).expect("a form")
    }

    fn booking() -> Form {
        form(Some(json!({
            "type": "object",
            "properties": {
                "confirm": { "type": "boolean", "title": "Confirm" },
                "class": { "type": "string", "enum": ["economy", "business"], "default": "economy" },
                "seats": { "type": "integer", "minimum": 1 },
                "notes": { "type": "string" },
            },
            "required": ["confirm", "seats"],
        })))
    }

    #[test]
    fn a_form_is_filled_in_field_by_field() {
        let mut form = booking();
        assert!(form.opening().starts_with("travel_agent asks: Book it\\u{1b}[2J?"));
        assert_eq!(form.prompt(), "  Confirm (yes or no): ");
        assert!(form.take("").is_err(), "it is required");
        assert!(form.take("perhaps").is_err());
        assert_eq!(form.take("y"), Ok(Step::More));
        assert_eq!(form.prompt(), "  class (economy | business, Enter for economy): ");
        assert!(form.take("first").is_err());
        assert_eq!(form.take(""), Ok(Step::More));
        assert!(form.take("0").is_err(), "out of bounds");
        assert_eq!(form.take("2"), Ok(Step::More));
        assert_eq!(form.prompt(), "  notes (string, Enter to leave out): ");
        let content = json!({ "confirm": true, "class": "economy", "seats": 2 });
        assert_eq!(
            form.take(""),
            Ok(Step::Done(Reply { action: AnswerAction::Accept, content: Some(content) }))
        );
    }

    #[test]
    fn a_question_is_declined_and_given_up_at_any_field() {
        for (line, action) in [(DECLINE, AnswerAction::Decline), (CANCEL, AnswerAction::Cancel)] {
            let mut form = booking();
            form.take("yes").expect("taken");
            assert_eq!(form.take(line), Ok(Step::Done(Reply { action, content: None })));
        }
        assert_eq!(booking().take(LATER), Ok(Step::Later));
        let mut page = form(None);
        assert_eq!(page.prompt(), "  Enter to agree: ");
        assert_eq!(page.take(""), Ok(Step::Done(Reply { action: AnswerAction::Accept, content: None })));
    }
}
