use wasmtime::Result;

use super::bindings::longhaul::tool::calls::{self, CallError, Child, Definition, Error, Output, Request};
use super::bindings::longhaul::tool::{tools, types};
use super::refusal::not_granted;
use super::waits::Waited;
use crate::catalog::{Reply, ToolDefinition};
use crate::engine::{CallRefusal, ChildCall, ChildEnd, op_hash};
use crate::limits;
use crate::sandbox::world::World;
use crate::sandbox::world::tickets::{Awaited, Ticket};
use crate::task::{Content, EmbeddedBody, ToolResult, WaitingReason, WakeOn};

const NOT_OFFERED: &str = "longhaul:tool/tools is to be exported, not imported: use longhaul:tool/calls";

/// `calls` shares types with the interface that components export; the functions next to them are the
/// exporter's own, and not to be imported.
impl tools::Host for World {
    fn definitions(&mut self) -> Result<Vec<Definition>> {
        Err(wasmtime::Error::msg(NOT_OFFERED))
    }

    fn call(&mut self, _name: String, _arguments: String) -> Result<Result<Output, tools::Failure>> {
        Err(wasmtime::Error::msg(NOT_OFFERED))
    }
}

impl calls::Host for World {
    async fn granted(&mut self) -> Result<Result<Vec<Definition>, Error>> {
        let granted = self.journal.task("calls.granted")?.granted_tools().await?;
        Ok(Ok(granted.into_iter().map(definition).collect()))
    }

    async fn start(&mut self, requests: Vec<Request>) -> Result<Result<Vec<Child>, Error>> {
        let bound = limits::MAX_OPEN_CHILDREN;
        if requests.len() > bound {
            let asked = requests.len();
            return Ok(Err(Error::Limit(format!("one start takes at most {bound} calls, not {asked}"))));
        }
        let recorder = self.journal.task("calls.start")?.clone();
        let calls: Vec<ChildCall> = requests.into_iter().map(call).collect();
        let ops = calls.iter().map(|_| recorder.begin_op()).collect::<Result<Vec<_>, _>>()?;
        let ids = match recorder.start_children(&ops, &calls).await? {
            Ok(ids) => ids,
            Err(refusal) => return Ok(Err(refused(self, refusal))),
        };
        let epoch = recorder.epoch()?;
        let mut children = Vec::with_capacity(ids.len());
        for (id, (op, call)) in ids.iter().zip(ops.into_iter().zip(&calls)) {
            let ticket = self.tickets.issue(Ticket::Awaited(Awaited {
                op,
                hash: op_hash(call),
                on: WakeOn::Child { epoch, op: op.number },
                reason: WaitingReason::Child,
                deadline: None,
            }))?;
            children.push(Child { ticket, task_id: id.to_string() });
        }
        Ok(Ok(children))
    }

    async fn take(&mut self, ticket: u64) -> Result<Result<Output, CallError>> {
        const WHAT: &str = "calls.take";
        let awaited = match self.arrived(ticket, WHAT, |on| matches!(on, WakeOn::Child { .. })).await? {
            Ok(awaited) => awaited,
            Err(error) => return Ok(Err(CallError::Refused(error))),
        };
        let recorder = self.journal.task(WHAT)?.clone();
        loop {
            if let Some(end) = recorder.take_child(awaited.op, awaited.hash).await? {
                return Ok(outcome(end));
            }
            // Its owner has taken it up again in this moment.
            let alone = Waited(vec![(ticket, Ticket::Awaited(awaited.clone()))]);
            let ready = alone.ready(recorder.clone(), &self.journal, None);
            self.journal.wait(ready, alone.wait_on(None), self.meter.total()).await??;
        }
    }
}

/// Why a call is not made, in the guest's words.
pub(super) fn refused(world: &World, refusal: CallRefusal) -> Error {
    match refusal {
        CallRefusal::NotGranted(tool) => not_granted(world, &format!("tools = [{tool:?}]")),
        CallRefusal::Invalid(text) => Error::Invalid(text),
        CallRefusal::Limit(text) => Error::Limit(text),
        CallRefusal::NotFound(text) => Error::NotFound(text),
        CallRefusal::Lost(text) => Error::NotGranted(text),
    }
}

fn call(request: Request) -> ChildCall {
    let Request { tool, arguments, alternatives, retries, timeout_seconds, detached } = request;
    ChildCall { tool, arguments, alternatives, retries, timeout_seconds, detached }
}

fn outcome(end: ChildEnd) -> Result<Output, CallError> {
    match end {
        ChildEnd::Completed(result) if result.is_error => {
            Err(CallError::Failure(tools::Failure::Tool(output(result))))
        }
        ChildEnd::Completed(result) => Ok(output(result)),
        ChildEnd::Protocol(error) => {
            Err(CallError::Failure(tools::Failure::Protocol(tools::ProtocolError {
                code: error.code,
                message: error.message,
                data: error.data,
            })))
        }
        ChildEnd::Failed(text) => Err(CallError::Failed(text)),
        ChildEnd::TimedOut(text) => Err(CallError::TimedOut(text)),
        ChildEnd::Cancelled(text) => Err(CallError::Cancelled(text)),
    }
}

fn output(result: ToolResult) -> Output {
    Output { content: result.content.into_iter().map(block).collect(), structured: result.structured }
}

fn block(content: Content) -> types::Content {
    match content {
        Content::Text(text) => types::Content::Text(text),
        Content::Image { data, mime_type } => types::Content::Image(types::Blob { data, mime_type }),
        Content::Audio { data, mime_type } => types::Content::Audio(types::Blob { data, mime_type }),
        Content::Link { uri, name, title, description, mime_type } => {
            types::Content::Link(types::Link { uri, name, title, description, mime_type })
        }
        Content::Embedded { uri, mime_type, body } => {
            let body = match body {
                EmbeddedBody::Text(text) => types::EmbeddedBody::Text(text),
                EmbeddedBody::Data(data) => types::EmbeddedBody::Data(data),
            };
            types::Content::Embedded(types::Embedded { uri, mime_type, body })
        }
    }
}

fn definition(tool: ToolDefinition) -> Definition {
    let hints = tool.annotations;
    Definition {
        name: tool.name,
        title: tool.title,
        description: tool.description,
        input_schema: tool.input_schema.to_string(),
        output_schema: tool.output_schema.map(|schema| schema.to_string()),
        annotations: Some(tools::Annotations {
            read_only: hints.read_only,
            destructive: hints.destructive,
            idempotent: hints.idempotent,
            open_world: hints.open_world,
        }),
        reply: Some(match tool.reply {
            Reply::Link => tools::Reply::Link,
            Reply::Inline => tools::Reply::Inline,
            Reply::Task => tools::Reply::Task,
        }),
        inline_wait_seconds: tool.inline_wait_seconds.and_then(|seconds| seconds.try_into().ok()),
    }
}
