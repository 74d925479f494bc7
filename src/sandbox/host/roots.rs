use serde_json::Value;
use wasmtime::Result;

use super::bindings::longhaul::tool::roots::{self, Error, Root};
use super::question::no_answer;
use super::refusal::not_granted;
use crate::authority::Capability;
use crate::engine::questions::{Answer, Ask, Question};
use crate::limits;
use crate::sandbox::stop::Stop;
use crate::sandbox::world::World;
use crate::task::By;

const AT_HAND_MS: u64 = limits::AT_HAND_SECONDS * 1_000;

impl roots::Host for World {
    /// Granted with either of its neighbours: a guest that may ask the client's person or model may ask it for names.
    fn ask(&mut self) -> Result<Result<u64, Error>> {
        if !self.grant.allows(Capability::Elicit) && !self.grant.allows(Capability::Sample) {
            return Ok(Err(not_granted(self, "elicit = true")));
        }
        let deadline = self.due_after(AT_HAND_MS)?;
        let question = Question { key: None, by: By::Any, ask: Ask::Roots, deadline };
        Ok(self.ask("roots.ask", &[], question)?)
    }

    async fn take(&mut self, ticket: u64) -> Result<Result<Vec<Root>, Error>> {
        let answer = match self.answered(ticket, "roots.take").await? {
            Ok(Answer::Accept(roots)) => roots,
            Ok(other) => return Ok(Err(no_answer(other, "the client"))),
            Err(error) => return Ok(Err(error)),
        };
        let answer: Value = serde_json::from_str(&answer)
            .map_err(|error| Stop::HostFault(format!("stored roots are no JSON: {error}")))?;
        let text = |root: &Value, name: &str| root[name].as_str().map(str::to_owned);
        let roots = answer["roots"].as_array().into_iter().flatten();
        Ok(Ok(roots
            .filter_map(|root| Some(Root { uri: text(root, "uri")?, name: text(root, "name") }))
            .collect()))
    }
}
