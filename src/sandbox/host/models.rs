use serde_json::Value;
use wasmtime::Result;

use super::bindings::longhaul::tool::models::{self, Answer as ModelAnswer, Error, Request, Usage};
use super::outputs::perform;
use super::question::no_answer;
use super::refusal::not_granted;
use super::sampling::{AT_HAND_MS, params, response};
use crate::authority::Capability;
use crate::engine::OutputOp;
use crate::engine::questions::{Answer, Ask, ModelAsk, Question, USAGE_META};
use crate::sandbox::world::World;
use crate::task::By;

const STREAMED_AS: &str = "text/plain";

impl models::Host for World {
    fn granted(&mut self) -> Result<Vec<String>> {
        Ok(self.journal.task("models.granted")?.granted_models()?)
    }

    async fn ask(
        &mut self,
        model: String,
        request: Request,
        output: Option<String>,
    ) -> Result<Result<u64, Error>> {
        if !self.grant.allows(Capability::Model { name: &model }) {
            let is_name = crate::catalog::is_tool_name(&model);
            let line = if is_name { format!("models = [\"{model}\"]") } else { "models = [NAME]".to_owned() };
            return Ok(Err(not_granted(self, &line)));
        }
        let max_tokens = u64::from(request.max_tokens);
        let request = match params(request) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(name) = &output {
            let open = OutputOp::Open { name, mime_type: STREAMED_AS };
            if let Err(error) = perform(&self.journal, open).await? {
                return Ok(Err(error));
            }
        }
        let deadline = self.due_after(AT_HAND_MS)?;
        let parts = [model.clone(), request.clone(), output.clone().unwrap_or_default()];
        let ask = Ask::Model(ModelAsk::new(model, request, max_tokens, output.clone()));
        let question = Question { key: None, by: By::Any, ask, deadline };
        let [model, request, into] = &parts;
        let parts = [model.as_bytes(), request.as_bytes(), into.as_bytes()];
        let asked = self.ask("models.ask", &parts, question)?;
        match (&asked, output) {
            (Ok(ticket), Some(name)) => drop(self.model_outputs.insert(*ticket, name)),
            (Err(_), Some(name)) => drop(perform(&self.journal, OutputOp::Close { name: &name }).await?),
            (_, None) => {}
        }
        Ok(asked)
    }

    async fn take(&mut self, ticket: u64) -> Result<Result<ModelAnswer, Error>> {
        let answer = match self.answered(ticket, "models.take").await? {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(name) = self.model_outputs.remove(&ticket) {
            // The guest may have closed it itself.
            drop(perform(&self.journal, OutputOp::Close { name: &name }).await?);
        }
        let message = match answer {
            Answer::Accept(message) => message,
            other => return Ok(Err(no_answer(other, "the model"))),
        };
        let usage = usage(&message);
        Ok(Ok(ModelAnswer { response: response(message)?, usage }))
    }
}

fn usage(message: &str) -> Usage {
    let message: Value = serde_json::from_str(message).unwrap_or_default();
    let tokens = |name: &str| message["_meta"][USAGE_META][name].as_u64().unwrap_or(0);
    Usage { input_tokens: tokens("inputTokens"), output_tokens: tokens("outputTokens") }
}
