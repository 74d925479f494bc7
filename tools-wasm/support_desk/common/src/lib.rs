//! What the support desk's tools and agents share: tickets, where they are kept, and how a message is read.

pub mod reading;

use longhaul_guest::{Failure, Output, Tool, ToolResult, Value, json, progress, state};
use serde::{Deserialize, Serialize};

/// The namespace of the tickets.
pub const TICKETS: &str = "tickets";

/// The analysts, each with a namespace of its own.
pub const ANALYSTS: [&str; 4] = ["sentiment", "category", "priority", "history"];

/// The namespace that an analyst writes to.
pub fn namespace(analyst: &str) -> String {
    format!("analysis.{analyst}")
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ticket {
    pub ticket_id: String,
    pub category: String,
    pub priority: String,
    pub status: Status,
    pub escalated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Open,
    Escalated,
    Resolved,
}

/// What an agent is asked to look at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    pub ticket_id: String,
    /// The customer's words.
    pub message: String,
}

pub fn ticket_id() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9._-]+$",
        "description": "The ticket's id",
    })
}

/// The arguments of every agent that looks at a ticket.
pub fn request_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "ticket_id": ticket_id(),
            "message": { "type": "string", "minLength": 1, "description": "What the customer wrote" },
        },
        "required": ["ticket_id", "message"],
        "additionalProperties": false,
    })
}

/// An analyst: it writes what it finds under the ticket's id into its own namespace, and returns it.
pub fn analyst(
    name: &'static str,
    description: &str,
    analyse: fn(&Request) -> Result<Value, Failure>,
) -> Vec<Tool> {
    let run = move |request: Request| -> ToolResult {
        progress::report(0, 2, format!("reading ticket {}", request.ticket_id));
        let found = analyse(&request)?;
        progress::report(1, 2, "writing down what was found");
        state::put(&namespace(name), &request.ticket_id, &found)?;
        progress::report(2, 2, "done");
        Ok(Output::text(format!("{name}: {found}")).structured(found))
    };
    let tool = Tool::new(&format!("{name}_agent"), description, request_schema(), run);
    vec![tool.title(&format!("Analyst: {name}")).output(json!({ "type": "object" })).inline(0)]
}
