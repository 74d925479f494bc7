//! Conversions between the wire's types and the domain's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rmcp::model::{
    CallToolResult, ContentBlock, JsonObject, MetaObject, NotificationMetaObject, Resource, ResourceContents,
    Tool as WireTool, ToolAnnotations,
};
use serde_json::{Value, json};

use super::schema;
use super::uri::ResourceUri;
use crate::api::TaskDocument;
use crate::catalog::{Annotations, ToolDefinition, ToolEntry, show_hidden, show_in_json, show_text};
use crate::task::{Content, EmbeddedBody, TaskId, ToolResult};

/// Names the task in the `_meta` of whatever answers for it.
pub const TASK_META: &str = "longhaul/task";

/// And the resource where it can be read.
pub const RESOURCE_META: &str = "longhaul/resource";

pub const JSON: &str = "application/json";
pub const PLAIN: &str = "text/plain";

pub fn task_meta(id: TaskId) -> MetaObject {
    let mut meta = MetaObject::new();
    meta.insert(TASK_META.to_owned(), Value::String(id.to_string()));
    meta
}

pub fn notification_meta(id: TaskId) -> NotificationMetaObject {
    task_meta(id).into()
}

/// A tool as `tools/list` shows it.
pub fn tool(definition: &ToolDefinition) -> WireTool {
    let mut tool = WireTool::new(
        definition.name.clone(),
        definition.description.clone(),
        std::sync::Arc::new(schema::with_properties(object(definition.input_schema.clone()))),
    );
    tool.title = definition.title.clone();
    tool.output_schema = definition.output_schema.as_ref().map(|own| schema::widen(own).into());
    tool.annotations = annotations(definition.annotations);
    tool
}

pub fn annotations(hints: Annotations) -> Option<ToolAnnotations> {
    let Annotations { read_only, destructive, idempotent, open_world } = hints;
    (hints != Annotations::default())
        .then(|| ToolAnnotations::from_raw(None, read_only, destructive, idempotent, open_world))
}

/// What a completed task hands back, as the answer of its call.
pub fn completed(entry: Option<&ToolEntry>, result: ToolResult) -> CallToolResult {
    let ToolResult { content, structured, is_error } = result;
    let mut blocks: Vec<ContentBlock> = content.into_iter().map(block).collect();
    let structured = structured.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    if let (true, Some(value)) = (blocks.is_empty(), &structured) {
        blocks.push(ContentBlock::text(show_in_json(&value.to_string())));
    }
    let promised = entry.and_then(|entry| entry.tool.definition.output_schema.as_ref());
    let broken = promise_broken(entry, structured.as_ref());
    if let (Some(broken), false) = (&broken, is_error) {
        // Clients reject such a result as a whole; this way what the tool said still arrives.
        blocks.push(ContentBlock::text(broken.clone()));
    }
    let is_error = is_error || broken.is_some();
    let mut answer = if is_error { CallToolResult::error(blocks) } else { CallToolResult::success(blocks) };
    if broken.is_none() {
        answer.structured_content = structured.map(|value| schema::fit(promised, value));
    }
    answer
}

fn promise_broken(entry: Option<&ToolEntry>, structured: Option<&Value>) -> Option<String> {
    let entry = entry.filter(|entry| entry.tool.definition.output_schema.is_some())?;
    let Some(structured) = structured else {
        return Some("The tool promises a structured result by its output schema and gave none.".to_owned());
    };
    let violations = entry.validate_result(structured).err()?;
    let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
    let words = violations.join("; ");
    Some(format!("The structured result does not fit the tool's output schema: {}", show_hidden(&words)))
}

/// Texts and names are for eyes, so that what they hide is shown; bytes and what is no text are data.
pub fn block(content: Content) -> ContentBlock {
    let shown = |text: String| show_hidden(&text).into_owned();
    match content {
        Content::Text(text) => ContentBlock::text(show_text(&text)),
        Content::Image { data, mime_type } => ContentBlock::image(BASE64.encode(data), mime_type),
        Content::Audio { data, mime_type } => ContentBlock::audio(BASE64.encode(data), mime_type),
        Content::Link { uri, name, title, description, mime_type } => {
            let mut link = Resource::new(shown(uri), shown(name));
            link.title = title.map(shown);
            link.description = description.map(shown);
            link.mime_type = mime_type;
            ContentBlock::resource_link(link)
        }
        Content::Embedded { uri, mime_type, body } => {
            let contents = match body {
                EmbeddedBody::Text(text) => {
                    let text = embedded(mime_type.as_deref(), text);
                    text_contents(shown(uri), mime_type, text)
                }
                EmbeddedBody::Data(data) => blob_contents(shown(uri), mime_type, &data),
            };
            ContentBlock::resource(contents)
        }
    }
}

/// A document within a result: text by its type, or by none, is for eyes; JSON keeps its value; all else is data.
fn embedded(mime_type: Option<&str>, text: String) -> String {
    let essence =
        mime_type.unwrap_or(PLAIN).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        JSON => show_text(&text).into_owned(),
        essence if essence.starts_with("text/") => show_text(&text).into_owned(),
        essence if essence.ends_with("+json") => show_text(&text).into_owned(),
        _ => text,
    }
}

/// The other way; `None` for what is of no kind that is known here.
pub fn content(block: ContentBlock) -> Option<Content> {
    let bytes = |data: &str| BASE64.decode(data).ok();
    Some(match block {
        ContentBlock::Text(text) => Content::Text(text.text),
        ContentBlock::Image(image) => {
            Content::Image { data: bytes(&image.data)?, mime_type: image.mime_type }
        }
        ContentBlock::Audio(audio) => {
            Content::Audio { data: bytes(&audio.data)?, mime_type: audio.mime_type }
        }
        ContentBlock::ResourceLink(link) => {
            let Resource { uri, name, title, description, mime_type, .. } = link;
            Content::Link { uri, name, title, description, mime_type }
        }
        ContentBlock::Resource(embedded) => match embedded.resource {
            ResourceContents::TextResourceContents { uri, mime_type, text, .. } => {
                Content::Embedded { uri, mime_type, body: EmbeddedBody::Text(text) }
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                Content::Embedded { uri, mime_type, body: EmbeddedBody::Data(bytes(&blob)?) }
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// A task as a resource: in lists and in links.
pub fn task_resource(task: &TaskDocument) -> Resource {
    let mut state = task.state.clone();
    if let Some(message) = &task.message {
        state = format!("{state}: {message}");
    }
    Resource::new(task.uri.clone(), format!("{}-{}", task.tool, task.id))
        .with_title(format!("Task of {}", task.tool))
        .with_description(state)
        .with_mime_type(JSON)
}

pub fn text_contents(uri: impl Into<String>, mime_type: Option<String>, text: String) -> ResourceContents {
    ResourceContents::TextResourceContents { uri: uri.into(), mime_type, text, meta: None }
}

/// A JSON document: the same value, and nothing hidden in its text.
pub fn json_contents(uri: impl Into<String>, json: &str) -> ResourceContents {
    text_contents(uri, Some(JSON.to_owned()), show_in_json(json).into_owned())
}

pub fn blob_contents(uri: impl Into<String>, mime_type: Option<String>, data: &[u8]) -> ResourceContents {
    let blob = BASE64.encode(data);
    ResourceContents::BlobResourceContents { uri: uri.into(), mime_type, blob, meta: None }
}

/// A completed task's result as a resource: text as text, a single JSON value as JSON, all else as one
/// JSON document of the whole result.
pub fn result_contents(uri: &ResourceUri, result: ToolResult) -> ResourceContents {
    let uri = uri.to_string();
    let structured = result.structured.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    match (result.content.as_slice(), structured) {
        ([Content::Text(text)], None) => {
            text_contents(uri, Some(PLAIN.to_owned()), show_text(text).into_owned())
        }
        ([], Some(value)) => json_contents(uri, &value.to_string()),
        // The text that goes along with a structured result for older clients says the same again.
        ([Content::Text(text)], Some(value))
            if serde_json::from_str(text).is_ok_and(|v: Value| v == value) =>
        {
            json_contents(uri, &value.to_string())
        }
        ([Content::Image { data, mime_type } | Content::Audio { data, mime_type }], None) => {
            blob_contents(uri, Some(mime_type.clone()), data)
        }
        (_, structured) => {
            let blocks: Vec<ContentBlock> = result.content.into_iter().map(block).collect();
            let mut whole = json!({ "content": blocks, "isError": result.is_error });
            if let Some(value) = structured {
                whole["structuredContent"] = value;
            }
            json_contents(uri, &whole.to_string())
        }
    }
}

pub fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// A document as a JSON object. Everything that is passed here serialises to one.
pub fn document(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_else(|_| json!({}))
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Tool;
    use crate::task::ComponentId;

    fn entry(output_schema: Value) -> ToolEntry {
        let mut definition = ToolDefinition::new("t", "", json!({"type": "object"}));
        definition.output_schema = Some(output_schema);
        ToolEntry::new(Tool::new(definition, ComponentId::of_closures("t", "1"), "t")).expect("a tool")
    }

    fn structured(text: &str) -> ToolResult {
        ToolResult { structured: Some(text.to_owned()), ..ToolResult::default() }
    }

    #[test]
    fn a_structured_result_also_comes_as_text_and_is_wrapped_where_it_is_no_object() {
        let answer = completed(Some(&entry(json!({"type": "integer"}))), structured("7"));
        assert_eq!(answer.structured_content, Some(json!({"result": 7})));
        assert_eq!(answer.content, [ContentBlock::text("7")]);
        assert_eq!(answer.is_error, Some(false));
    }

    #[test]
    fn a_broken_promise_is_told_and_not_passed_on() {
        let entry = entry(json!({"type": "object", "required": ["n"]}));
        for result in [structured("{}"), ToolResult::text("n is 1")] {
            let answer = completed(Some(&entry), result);
            assert_eq!((answer.is_error, answer.structured_content), (Some(true), None));
            let seen = answer.content.last().and_then(|block| block.as_text()).expect("text");
            assert!(seen.text.contains("structured result"), "{}", seen.text);
        }
        // An error of the tool's own need not keep the promise.
        let answer = completed(Some(&entry), ToolResult::error("no such ticket"));
        assert_eq!(answer.content, [ContentBlock::text("no such ticket")]);
    }

    #[test]
    fn a_result_reads_as_what_it_is() {
        let uri = ResourceUri::Result(TaskId::from_bytes([1; 16]));
        let read = |result| match result_contents(&uri, result) {
            ResourceContents::TextResourceContents { mime_type, text, .. } => {
                (mime_type.unwrap_or_default(), text)
            }
            ResourceContents::BlobResourceContents { mime_type, blob, .. } => {
                (mime_type.unwrap_or_default(), blob)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(read(ToolResult::text("hi")), (PLAIN.to_owned(), "hi".to_owned()));
        assert_eq!(read(structured("{\"b\":1,\"a\":2}")), (JSON.to_owned(), "{\"b\":1,\"a\":2}".to_owned()));
        let both =
            ToolResult { content: vec![Content::Text("{\"a\": 2}".into())], ..structured("{\"a\":2}") };
        assert_eq!(read(both), (JSON.to_owned(), "{\"a\":2}".to_owned()));
        let image = Content::Image { data: vec![1, 2], mime_type: "image/png".into() };
        let one = ToolResult { content: vec![image.clone()], ..ToolResult::default() };
        assert_eq!(read(one), ("image/png".to_owned(), "AQI=".to_owned()));
        let several = ToolResult { content: vec![Content::Text("hi".into()), image], ..structured("7") };
        let (mime_type, text) = read(several);
        let whole: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(mime_type, JSON);
        assert_eq!((&whole["structuredContent"], &whole["content"][0]["text"]), (&json!(7), &json!("hi")));
    }
}
