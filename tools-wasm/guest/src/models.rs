//! Models that the operator has configured and granted by name; the server itself asks them, without any client.

use crate::bindings::longhaul::tool::models as host;
use crate::sample::{Request, Response, ToolUse};
use crate::{Failure, HostError, Ticket};

pub use crate::sample::{Role, ToolResult, prompt};
pub use host::Usage;

/// What a model said, and what that cost.
#[derive(Clone, Debug)]
pub struct Answer {
    pub response: Response,
    pub usage: Usage,
}

/// The names of the models that this component is granted and that are configured.
pub fn granted() -> Vec<String> {
    host::granted()
}

/// Asks a model, without waiting.
pub fn ask(model: &str, request: &Request) -> Result<Ticket, HostError> {
    host::ask(model, request.raw(), None)
}

/// The same; the text is written into a new output as it comes.
pub fn ask_into(model: &str, request: &Request, output: &str) -> Result<Ticket, HostError> {
    host::ask(model, request.raw(), Some(output))
}

/// Takes what a ticket stands for; waits where it is not ready.
pub fn take(ticket: Ticket) -> Result<Answer, HostError> {
    let host::Answer { response, usage } = host::take(ticket)?;
    Ok(Answer { response: Response::from_host(response), usage })
}

/// Asks and waits.
pub fn wait(model: &str, request: &Request) -> Result<Answer, HostError> {
    take(ask(model, request)?)
}

/// Asks the first of the granted models that can answer, else the client's model; `None` where there is neither.
pub fn try_any(request: &Request) -> Result<Option<Response>, Failure> {
    for model in granted() {
        match wait(&model, request) {
            Ok(answer) => return Ok(Some(answer.response)),
            Err(HostError::Unavailable(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    request.try_wait()
}

/// An agent's loop: asks a model, does with `act` what it wants done, and says what came of it, until it has its answer. Each turn is
/// a step of its own, so that a restart goes on where the loop was. After `turns` it ends with what was said last.
pub fn converse(
    model: &str,
    mut request: Request,
    turns: u32,
    mut act: impl FnMut(&ToolUse) -> ToolResult,
) -> Result<Answer, HostError> {
    let mut turn = 1;
    loop {
        let answer = wait(model, &request)?;
        if answer.response.tool_uses.is_empty() || turn >= turns {
            return Ok(answer);
        }
        turn += 1;
        let results = answer.response.tool_uses.iter().map(&mut act).collect();
        request = request.went_on(&answer.response, results);
    }
}
