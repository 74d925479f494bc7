//! `task_answer`: a model's hand, and a person's at the command line of the data folder's owner.

use rmcp::RoleServer;
use rmcp::service::RequestContext;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine::TaskDocument;
use crate::engine::questions::{Given, Hand};
use crate::mcp::connection::Handler;
use crate::mcp::wire::error::{Refusal, refusal};
use crate::task::TaskId;

const BY_MODEL: Hand = Hand { channel: "task_answer", is_person: false };
const BY_COMMAND_LINE: Hand = Hand { channel: "cli", is_person: true };

#[derive(Deserialize)]
struct Arguments {
    task_id: String,
    key: Option<String>,
    action: Action,
    content: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Accept,
    Decline,
    Cancel,
}

impl Handler {
    pub(in crate::mcp) async fn task_answer(
        &self,
        arguments: Value,
        context: &RequestContext<RoleServer>,
    ) -> Result<TaskDocument, Refusal> {
        let told = |error: &dyn std::fmt::Display| Refusal::told(error.to_string());
        let Arguments { task_id, key, action, content } =
            serde_json::from_value(arguments).map_err(|error| told(&error))?;
        let id: TaskId = task_id.parse().map_err(|error| told(&error))?;
        let given = match (action, content) {
            (Action::Accept, content) => Given::Accept(content.unwrap_or_else(|| json!({}))),
            (Action::Decline, None) => Given::Decline,
            (Action::Cancel, None) => Given::Cancel,
            (Action::Decline | Action::Cancel, Some(_)) => {
                return Err(Refusal::told("only 'accept' comes with a content"));
            }
        };
        let hand = if self.is_by_person(context) { BY_COMMAND_LINE } else { BY_MODEL };
        let (engine, principal) = (self.server.engine(), self.connection.actor(context));
        engine.answer(principal, id, key.as_deref(), given, hand).await.map_err(refusal)
    }
}
