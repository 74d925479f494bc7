//! Tools that ask for nothing: content of every kind, errors, progress, log messages, schemas that must arrive as
//! they are.

use std::time::Duration;

use longhaul_guest::bindings::longhaul::tool::types::{Blob, Content, Embedded, EmbeddedBody};
use longhaul_guest::{Failure, Output, Tool, ToolResult, Value, json, log, progress, timers};
use serde::Deserialize;

use crate::plain;

/// One red pixel.
const PNG: &[u8] = include_bytes!("../../../src/mcp/own/fixtures/pixel.png");
const PAUSE: Duration = Duration::from_millis(50);

pub fn tools() -> Vec<Tool> {
    vec![
        plain("test_simple_text", "Says one sentence.", || {
            Ok(Output::text("This is a simple text response for testing."))
        }),
        plain("test_image_content", "Shows a picture.", || Ok(Output::default().and(image()))),
        plain("test_audio_content", "Plays a sound.", || Ok(Output::default().and(audio()))),
        plain("test_embedded_resource", "Embeds a resource.", || {
            let body = "This is an embedded resource content.";
            Ok(Output::default().and(embedded("test://embedded-resource", "text/plain", body)))
        }),
        plain("test_multiple_content_types", "Mixes text, a picture and a resource.", || {
            let resource = embedded(
                "test://mixed-content-resource",
                "application/json",
                &json!({ "test": "data", "value": 123 }).to_string(),
            );
            Ok(Output::text("Multiple content types test:").and(image()).and(resource))
        }),
        plain("test_error_handling", "Always reports an error.", || {
            Err(Failure::tool("This tool intentionally returns an error for testing"))
        }),
        plain("test_tool_with_progress", "Reports its progress.", with_progress),
        plain("test_tool_with_logging", "Logs while it runs.", with_logging),
        plain("test_logging_tool", "Logs while it runs.", with_logging),
        plain("test_reconnection", "Takes a moment, during which a client may come back.", || {
            timers::sleep(PAUSE * 2);
            Ok(Output::text("Reconnection test completed"))
        }),
        Tool::new(
            "json_schema_2020_12_tool",
            "Has a schema of many keywords.",
            json_schema(),
            |args: Value| Ok(Output::text(format!("JSON Schema 2020-12 tool called with: {args}"))),
        )
        .inline(0),
        Tool::new(
            "test_x_mcp_header",
            "Repeats a header of the request.",
            header_schema(),
            |args: Region| Ok(Output::text(format!("The region is {}", args.region))),
        )
        .inline(0),
    ]
}

fn with_progress() -> ToolResult {
    progress::advance(0, 100);
    timers::sleep(PAUSE);
    progress::advance(50, 100);
    timers::sleep(PAUSE);
    progress::advance(100, 100);
    Ok(Output::text("Progress was reported"))
}

fn with_logging() -> ToolResult {
    log::info("Tool execution started");
    timers::sleep(PAUSE);
    log::info("Tool processing data");
    timers::sleep(PAUSE);
    log::info("Tool execution completed");
    Ok(Output::text("Log messages were sent"))
}

#[derive(Deserialize)]
struct Region {
    region: String,
}

fn header_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "region": { "type": "string", "description": "Where to run", "x-mcp-header": "Region" },
        },
        "required": ["region"],
    })
}

/// As the suite prints it.
fn json_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}

fn image() -> Content {
    Content::Image(Blob { data: PNG.to_vec(), mime_type: "image/png".to_owned() })
}

/// A sound without a sample: nothing but the header of a WAV file.
fn audio() -> Content {
    let mut wav = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    wav.extend(b"\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\0\0\0");
    Content::Audio(Blob { data: wav, mime_type: "audio/wav".to_owned() })
}

fn embedded(uri: &str, mime_type: &str, text: &str) -> Content {
    Content::Embedded(Embedded {
        uri: uri.to_owned(),
        mime_type: Some(mime_type.to_owned()),
        body: EmbeddedBody::Text(text.to_owned()),
    })
}
