//! Calls of 2026-07-28 that come in several rounds: one that ends because its task asks says so with sealed state,
//! and the same call with that state and the answers goes on with the same task.

use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::RequestContext;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reply::Choice;
use crate::api::TaskDocument;
use crate::engine::questions::{Given, wants_tools};
use crate::engine::{EngineError, Submitted};
use crate::limits;
use crate::mcp::connection::Handler;
use crate::mcp::questions::asks::{self, AskCapabilities, BY_PROTOCOL};
use crate::mcp::shared::McpServer;
use crate::mcp::wire::convert;
use crate::mcp::wire::error::{self, Refusal};
use crate::task::{QuestionKind, TaskId, canonical};

/// Names the key of the seal among the store's settings.
const KEY_SETTING: &str = "mcp-request-state";

/// What the client carries from round to round. It is sealed, not secret.
#[derive(Serialize, Deserialize)]
struct State {
    task: String,
    keys: Vec<String>,
}

impl McpServer {
    async fn codec(&self) -> Result<&RequestStateCodec, EngineError> {
        let codec = self.request_state().get_or_try_init(|| async {
            let key = match self.engine().setting(KEY_SETTING).await? {
                Some(key) => key,
                None => {
                    let mut key = vec![0; RequestStateCodec::MIN_KEY_LENGTH];
                    getrandom::fill(&mut key).map_err(|error| EngineError::Random(error.to_string()))?;
                    self.engine().put_setting(KEY_SETTING, key.clone()).await?;
                    key
                }
            };
            RequestStateCodec::try_new(key).map_err(|error| EngineError::Internal(error.to_string()))
        });
        codec.await
    }
}

impl Handler {
    /// Ends this round: the client is asked what it can be asked. `None` where that is nothing.
    pub(in crate::mcp) async fn input_required(
        &self,
        id: TaskId,
        task: &TaskDocument,
        call: &[u8],
        takes: AskCapabilities,
    ) -> Result<Option<InputRequiredResult>, Refusal> {
        let requests = takes.requests(id, task);
        if requests.is_empty() {
            return Ok(None);
        }
        let state = State { task: id.to_string(), keys: requests.keys().cloned().collect() };
        for key in &state.keys {
            self.server.engine().extend_deadline(id, key, Duration::from_secs(limits::AT_HAND_SECONDS));
        }
        let ttl = Duration::from_secs(limits::REQUEST_STATE_SECONDS);
        let options = SealOptions::new().associated_data(call).ttl(ttl);
        let codec = self.server.codec().await.map_err(error::refusal)?;
        let sealed = codec.seal_json_with(&state, &options).map_err(|_| error::bad_request_state())?;
        let result = InputRequiredResult::new(Some(requests), Some(sealed));
        Ok(Some(result.with_meta(convert::task_meta(id))))
    }

    /// What a round's state is bound to: who calls what with which arguments.
    pub(in crate::mcp) fn bound_to(&self, tool: &str, arguments: &Value) -> Vec<u8> {
        let mut bound = blake3::Hasher::new();
        for part in [self.connection.principal.name(), "tools/call", tool, &canonical(arguments)] {
            bound.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        bound.finalize().as_bytes().to_vec()
    }

    /// The next round of a call.
    pub(in crate::mcp) async fn next_round(
        &self,
        request: CallToolRequestParams,
        sealed: &str,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, Refusal> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let call = self.bound_to(&request.name, &arguments);
        let codec = self.server.codec().await.map_err(error::refusal)?;
        // Altered, expired, another caller's, or of another call: all alike.
        let state: State = codec.open_json_with(sealed, &call).map_err(|_| error::bad_request_state())?;
        let id: TaskId = state.task.parse().map_err(|_| error::bad_request_state())?;
        let (engine, principal) = (self.server.engine(), self.connection.actor(context));
        let follower = engine.feed().follow_call(id);
        let task = engine.task(principal, id).await.map_err(|_| error::bad_request_state())?;
        let responses = request.input_responses.unwrap_or_default();
        for (key, result) in responses.iter().filter(|(key, _)| state.keys.contains(key)) {
            self.take_response(id, key, result, context).await.map_err(|error| error::rpc(&error))?;
        }
        let catalog = engine.catalog();
        let entry = catalog.tool(&request.name).cloned();
        let choice = match &entry {
            Some(entry) => self.choice(entry, context)?,
            None => Choice::default(),
        };
        let submitted = Submitted { id, task, existing: true };
        self.inline(entry.as_ref(), submitted, follower, choice.waits(call, InputResponses::new()), context)
            .await
    }

    /// One answer of the protocol's; what the task does not ask is ignored.
    pub(in crate::mcp) async fn take_response(
        &self,
        id: TaskId,
        key: &str,
        result: &Value,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), EngineError> {
        let (engine, principal) = (self.server.engine(), self.connection.actor(context));
        // Which kind it is shows in the shape, also where the question is answered by now.
        let kind = match engine.task(principal, id).await?.questions.iter().find(|asked| asked.key == key) {
            Some(question) => question.kind,
            None if result.get("action").is_some() => QuestionKind::Elicit,
            None => QuestionKind::Sample,
        };
        let bad = |why| EngineError::BadAnswer { task: id, key: key.to_owned(), why };
        let given = asks::given(kind, result).map_err(bad)?;
        match engine.answer(principal, id, Some(key), given, BY_PROTOCOL).await {
            Ok(_) | Err(EngineError::NoSuchQuestion { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Only this client could be asked, and it did not declare that it can do it: the tool hears so at once, in
    /// every era. Takes such questions out of the document.
    pub(in crate::mcp) async fn cannot(
        &self,
        id: TaskId,
        task: &mut TaskDocument,
        takes: AskCapabilities,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), EngineError> {
        let (engine, principal) = (self.server.engine(), self.connection.actor(context));
        let mut over = Vec::new();
        for (key, question) in task.input_requests.iter().filter(|(_, question)| !takes.fits(question)) {
            let tools = question.request.as_ref().is_some_and(wants_tools);
            let asker = question.asker().unwrap_or(id);
            let what = match question.kind {
                QuestionKind::Elicit => continue,
                QuestionKind::Sample if engine.can_sample(asker, tools) => continue,
                QuestionKind::Sample if takes.sampling => "sample with tools",
                kind => kind.as_str(),
            };
            let why = format!("the client did not declare that it can do this ({what})");
            match engine.answer(principal, id, Some(key), Given::Unavailable(why), BY_PROTOCOL).await {
                Ok(_) | Err(EngineError::QuestionOver { .. }) => over.push(key.clone()),
                Err(error) => return Err(error),
            }
        }
        task.input_requests.retain(|key, _| !over.contains(key));
        Ok(())
    }
}
