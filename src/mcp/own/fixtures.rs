//! What the official conformance suite asks for besides tools: prompts, static resources, lists that change. Served
//! by a build with the feature `conformance` that is started with `LONGHAUL_CONFORMANCE_FIXTURES` set. Any other build
//! compiles this file, so that it stays correct, and links none of it.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::*;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::engine::{Feed, ResourceKey};
use crate::mcp::wire::convert::{self, JSON, PLAIN};
use crate::mcp::wire::error;

pub struct Fixtures {
    /// Counts changes of the list of prompts.
    prompts_changed: watch::Sender<u64>,
}

const SWITCH: &str = "LONGHAUL_CONFORMANCE_FIXTURES";
const TOOL_CHANGE: &str = "test_trigger_tool_change";
const PROMPT_CHANGE: &str = "test_trigger_prompt_change";
const STATIC_TEXT: &str = "test://static-text";
const STATIC_BINARY: &str = "test://static-binary";
const WATCHED: &str = "test://watched-resource";
const TEMPLATE: &str = "test://template/{id}/data";
/// A picture of one pixel.
const PNG: &[u8] = include_bytes!("fixtures/pixel.png");

impl Fixtures {
    pub fn of_environment() -> Option<Self> {
        let is_wanted = cfg!(feature = "conformance") && std::env::var_os(SWITCH).is_some();
        is_wanted.then(|| Self { prompts_changed: watch::Sender::new(0) })
    }

    pub fn tools(&self) -> impl Iterator<Item = Tool> {
        let tool = |name, description| {
            let schema = json!({ "type": "object", "properties": {} }).as_object().cloned();
            Tool::new(name, description, Arc::new(schema.unwrap_or_default()))
        };
        [
            tool(TOOL_CHANGE, "Tells listeners that the list of tools has changed."),
            tool(PROMPT_CHANGE, "Tells listeners that the list of prompts has changed."),
        ]
        .into_iter()
    }

    pub fn has_tool(&self, name: &str) -> bool {
        [TOOL_CHANGE, PROMPT_CHANGE].contains(&name)
    }

    pub fn call(&self, name: &str, feed: &Feed) -> Option<CallToolResult> {
        match name {
            TOOL_CHANGE => feed.changed(&[ResourceKey::Tools]),
            PROMPT_CHANGE => self.prompts_changed.send_modify(|changes| *changes += 1),
            _ => return None,
        }
        Some(CallToolResult::success(vec![ContentBlock::text("the listeners are told")]))
    }

    pub fn prompts_changed(&self) -> watch::Receiver<u64> {
        self.prompts_changed.subscribe()
    }

    pub fn prompts(&self) -> Vec<Prompt> {
        let argument = |name: &str| PromptArgument::new(name).with_required(true);
        let prompt = |name: &str, description: &str, arguments: Vec<PromptArgument>| {
            Prompt::new(name, Some(description), (!arguments.is_empty()).then_some(arguments))
        };
        vec![
            prompt("test_input_required_result_prompt", "Asks for a context first.", vec![]),
            prompt(
                "test_prompt_with_arguments",
                "Repeats its arguments.",
                vec![argument("arg1"), argument("arg2")],
            ),
            prompt("test_prompt_with_embedded_resource", "Holds a resource.", vec![argument("resourceUri")]),
            prompt("test_prompt_with_image", "Holds a picture.", vec![]),
            prompt("test_simple_prompt", "Is one sentence.", vec![]),
        ]
    }

    pub fn prompt(&self, request: &GetPromptRequestParams) -> Result<GetPromptResponse, ErrorData> {
        let argument = |name: &str| {
            let value = request.arguments.as_ref().and_then(|arguments| arguments.get(name)?.as_str());
            value.ok_or_else(|| error::bad_params(format!("the prompt needs the argument '{name}'")))
        };
        let text = |text: String| PromptMessage::new_text(Role::User, text);
        let messages = match request.name.as_str() {
            "test_simple_prompt" => vec![text("This is a simple prompt for testing.".to_owned())],
            "test_prompt_with_arguments" => {
                let (one, two) = (argument("arg1")?, argument("arg2")?);
                vec![text(format!("Prompt with arguments: arg1='{one}', arg2='{two}'"))]
            }
            "test_prompt_with_embedded_resource" => {
                let body = "Embedded resource content for testing.".to_owned();
                let contents = convert::text_contents(argument("resourceUri")?, Some(PLAIN.to_owned()), body);
                vec![
                    PromptMessage::new(Role::User, ContentBlock::resource(contents)),
                    text("Please process the embedded resource above.".to_owned()),
                ]
            }
            "test_prompt_with_image" => vec![
                PromptMessage::new(Role::User, ContentBlock::image(convert::base64(PNG), "image/png")),
                text("Please analyze the image above.".to_owned()),
            ],
            "test_input_required_result_prompt" => {
                let answers = request.input_responses.as_ref();
                let context = answers.and_then(|answers| answers.get("user_context"));
                match context.and_then(|answer| answer["content"]["context"].as_str()) {
                    Some(context) => vec![text(format!("Answer with this in mind: {context}"))],
                    None => return context_wanted(),
                }
            }
            other => return Err(error::bad_params(format!("there is no prompt '{other}'"))),
        };
        Ok(GetPromptResult::new(messages).into())
    }

    pub fn resources(&self) -> Vec<Resource> {
        let resource = |uri: &str, name: &str, mime_type: &str| {
            Resource::new(uri, name).with_description("A fixture.").with_mime_type(mime_type)
        };
        vec![
            resource(STATIC_BINARY, "static-binary", "image/png"),
            resource(STATIC_TEXT, "static-text", PLAIN),
            resource(WATCHED, "watched-resource", PLAIN),
        ]
    }

    pub fn template(&self) -> ResourceTemplate {
        ResourceTemplate::new(TEMPLATE, "template-data").with_description("A fixture.").with_mime_type(JSON)
    }

    pub fn read(&self, uri: &str) -> Option<ResourceContents> {
        let text =
            |mime_type: &str, text: String| convert::text_contents(uri, Some(mime_type.to_owned()), text);
        match uri {
            STATIC_TEXT => Some(text(PLAIN, "This is the content of the static text resource.".to_owned())),
            STATIC_BINARY => Some(convert::blob_contents(uri, Some("image/png".to_owned()), PNG)),
            WATCHED => Some(text(PLAIN, "Nothing ever changes here.".to_owned())),
            _ => {
                let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
                let data = format!("Data for ID: {id}");
                Some(text(JSON, json!({ "id": id, "templateTest": true, "data": data }).to_string()))
            }
        }
    }

    /// It may be subscribed to, and never changes.
    pub fn is_watched(&self, uri: &str) -> bool {
        uri == WATCHED
    }

    pub fn completion(&self, request: &CompleteRequestParams) -> Option<Vec<String>> {
        let Reference::Prompt(prompt) = &request.r#ref else { return None };
        if prompt.name != "test_prompt_with_arguments" {
            return None;
        }
        let candidates = ["paris", "park", "party"].into_iter().map(str::to_owned);
        Some(candidates.filter(|value| value.starts_with(&request.argument.value)).collect())
    }
}

fn context_wanted() -> Result<GetPromptResponse, ErrorData> {
    let wanted = json!({
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": "What context should the prompt use?",
            "requestedSchema": {
                "type": "object",
                "properties": { "context": { "type": "string" } },
                "required": ["context"],
            },
        },
    });
    let wanted: InputRequest = from_json(wanted)?;
    let requests = InputRequests::from([("user_context".to_owned(), wanted)]);
    Ok(InputRequiredResult::from_input_requests(requests).into())
}

fn from_json<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}
