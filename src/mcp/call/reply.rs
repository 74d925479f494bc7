//! How a call is answered: at once with a link, or with the result as long as it comes in time.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::*;
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;

use super::follow::{Asking, Followed, Stopped};
use crate::catalog::{Reply, ToolDefinition, ToolEntry};
use crate::engine::{Follower, Submitted, TaskView};
use crate::limits;
use crate::mcp::connection::Handler;
use crate::mcp::questions::asks::AskCapabilities;
use crate::mcp::sessions::CallReply;
use crate::mcp::wire::client_settings::lower;
use crate::mcp::wire::error::{self, Refusal};
use crate::mcp::wire::meta::{KEY_META, REPLY_META, WAIT_META};
use crate::task::{TaskId, integer};

/// What holds for one call: the tool's definition, overridden by the call's `_meta`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// `None` is a link.
    pub inline: Option<Inline>,
    /// The link is given once the first question is answered.
    pub ask_first: bool,
    /// The tool has no use for a task that its client may not know of.
    pub cancel_when_lost: bool,
    pub idempotency_key: Option<String>,
    /// What bounds each wait of this call, whatever the tool and the call say.
    pub bound: Option<Duration>,
}

/// How long a call waits with its answer, and what it brought along for that.
pub struct Waits {
    at_most: Option<Duration>,
    until_answered: bool,
    /// The client can come back to it by a key of its own.
    keyed: bool,
    cancel_when_lost: bool,
    /// What the state of its rounds is bound to.
    call: Vec<u8>,
    /// Answers to questions that it knows will be asked.
    responses: InputResponses,
}

impl Choice {
    /// Whether the answer waits for the task at all.
    pub fn is_waiting(&self) -> bool {
        self.inline.is_some() || self.ask_first
    }

    pub fn waits(&self, call: Vec<u8>, responses: InputResponses) -> Waits {
        let default = Inline { at_most: Some(Duration::from_secs(limits::DEFAULT_INLINE_WAIT_SECONDS)) };
        Waits {
            at_most: lower(self.inline.unwrap_or(default).at_most, self.bound),
            until_answered: self.inline.is_none(),
            keyed: self.idempotency_key.is_some(),
            cancel_when_lost: self.cancel_when_lost,
            call,
            responses,
        }
    }

    /// The same for a call that may outlive its connection.
    pub fn reply(&self) -> CallReply {
        if !self.is_waiting() {
            return CallReply::Link;
        }
        let Waits { at_most, until_answered, .. } = self.waits(Vec::new(), InputResponses::new());
        CallReply::Waits { at_most_seconds: at_most.map(|at_most| at_most.as_secs()), until_answered }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inline {
    /// `None` is without end.
    pub at_most: Option<Duration>,
}

/// `takes_tasks`: the client declared the tasks extension with this request. `bound`: how long it waits at most.
fn choose(
    definition: &ToolDefinition,
    meta: &MetaObject,
    takes_tasks: bool,
    bound: Option<Duration>,
) -> Result<Choice, ErrorData> {
    let wrong = |name: &str, value: &Value, expected: &str| {
        let shown: String = value.to_string().chars().take(80).collect();
        error::bad_params(format!("_meta[\"{name}\"] is {shown}; it may be {expected}"))
    };
    let mode = match meta.get(REPLY_META) {
        None => definition.reply,
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|_| wrong(REPLY_META, value, "\"link\", \"inline\" or \"task\""))?,
    };
    let seconds = match meta.get(WAIT_META) {
        None => definition.inline_wait_seconds,
        Some(value) => {
            let bound = limits::MAX_INLINE_WAIT_SECONDS;
            let expected = format!("a whole number of seconds up to {bound}, 0 for without end");
            let seconds = integer(value).and_then(|seconds| u64::try_from(seconds).ok());
            let seconds = seconds.filter(|seconds| *seconds <= bound);
            Some(seconds.ok_or_else(|| wrong(WAIT_META, value, &expected))?)
        }
    };
    let idempotency_key = match meta.get(KEY_META) {
        None => None,
        Some(Value::String(key)) => Some(key.clone()),
        Some(value) => return Err(wrong(KEY_META, value, "a text")),
    };
    let inline = match mode {
        Reply::Link => None,
        Reply::Task if takes_tasks => None,
        Reply::Inline => {
            let seconds = seconds.unwrap_or(limits::DEFAULT_INLINE_WAIT_SECONDS);
            Some(Inline { at_most: (seconds > 0).then(|| Duration::from_secs(seconds)) })
        }
        Reply::Task => return Err(error::tasks_extension_missing()),
    };
    let ask_first = definition.ask_first && inline.is_none();
    Ok(Choice { inline, ask_first, cancel_when_lost: definition.cancel_when_lost, idempotency_key, bound })
}

impl Handler {
    /// What holds for a call of this tool.
    pub(in crate::mcp) fn choice(
        &self,
        entry: &ToolEntry,
        context: &RequestContext<RoleServer>,
    ) -> Result<Choice, ErrorData> {
        let takes_tasks = self.takes_tasks(context);
        choose(&entry.tool.definition, &context.meta, takes_tasks, self.wait_bound(context))
    }

    /// The answer for a task that goes on: a task for a client that takes tasks, a link for any other.
    pub(in crate::mcp) fn started(
        &self,
        task: TaskView,
        id: TaskId,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResponse {
        match self.takes_tasks(context) {
            true => self.created(task, id, AskCapabilities::of(context)).into(),
            false => self.form(context).link(&task.into(), id).into(),
        }
    }

    pub(in crate::mcp) async fn inline(
        &self,
        entry: Option<&Arc<ToolEntry>>,
        submitted: Submitted,
        follower: Option<Follower>,
        waits: Waits,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, Refusal> {
        let (engine, principal, id) = (self.server.engine(), self.connection.actor(context), submitted.id);
        // Without a place in the feed there is nothing to wait with.
        let Some(follower) = follower else {
            return Ok(self.started(submitted.task, id, context));
        };
        let followed =
            Followed { follower: &follower, id, tool: &submitted.task.tool, fresh: !submitted.existing };
        let Waits { at_most, until_answered, keyed, cancel_when_lost, call, responses } = waits;
        let asking = Asking::Client { until_answered, responses };
        let stopped = self.follow(followed, at_most, asking, context).await.map_err(error::refusal)?;
        let cancelled = match stopped {
            // 2026-07-28 takes a closed response for a cancellation. With a key the client can come back.
            Stopped::GivenUp if !keyed => Some("the client closed the call"),
            Stopped::Lost if !keyed && cancel_when_lost => Some("the connection of its call was lost"),
            _ => None,
        };
        if let Some(reason) = cancelled {
            let task = engine.give_up(principal, id, reason).await.map_err(error::refusal)?;
            return Ok(self.started(task, id, context));
        }
        match stopped {
            Stopped::Asks => {
                let task = engine.task(principal, id).await.map_err(error::refusal)?.into();
                let takes = AskCapabilities::of(context);
                if let Some(round) = self.input_required(id, &task, &call, takes).await? {
                    return Ok(round.into());
                }
            }
            Stopped::Completed
            | Stopped::Ended
            | Stopped::TimeOver
            | Stopped::GivenUp
            | Stopped::Lost
            | Stopped::Stopping => {}
        }
        let end = match stopped {
            Stopped::Completed if !submitted.existing => {
                engine.result_of_completed(principal, &submitted.task).await
            }
            _ => engine.result(principal, id).await,
        };
        let end = end.map_err(error::refusal)?;
        match self.form(context).ended(end, entry.map(Arc::as_ref), id) {
            Some(answer) => answer.map(CallToolResponse::Complete),
            None => {
                let task = engine.task(principal, id).await.map_err(error::refusal)?;
                Ok(self.started(task, id, context))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mcp::sessions::CallReply;

    fn meta(name: &str, value: Value) -> MetaObject {
        let mut meta = MetaObject::new();
        meta.insert(name.to_owned(), value);
        meta
    }

    fn definition(reply: Reply, seconds: Option<u64>) -> ToolDefinition {
        let mut definition = ToolDefinition::new("t", "", json!({"type": "object"}));
        definition.reply = reply;
        definition.inline_wait_seconds = seconds;
        definition
    }

    fn inline(seconds: u64) -> Option<Inline> {
        Some(Inline { at_most: (seconds > 0).then(|| Duration::from_secs(seconds)) })
    }

    #[test]
    fn a_call_overrides_the_definition() {
        let none = MetaObject::new();
        let link = definition(Reply::Link, None);
        let endless = definition(Reply::Inline, Some(0));
        let chosen = |definition: &ToolDefinition, meta: &MetaObject| {
            choose(definition, meta, false, None).expect("a choice").inline
        };
        assert_eq!(chosen(&link, &none), None);
        assert_eq!(chosen(&endless, &none), inline(0));
        assert_eq!(chosen(&endless, &meta(REPLY_META, json!("link"))), None);
        assert_eq!(
            chosen(&link, &meta(REPLY_META, json!("inline"))),
            inline(limits::DEFAULT_INLINE_WAIT_SECONDS)
        );
        assert_eq!(chosen(&endless, &meta(WAIT_META, json!(3))), inline(3));
        let key = choose(&link, &meta(KEY_META, json!("k")), false, None).expect("a choice").idempotency_key;
        assert_eq!(key.as_deref(), Some("k"));
    }

    /// Also of a call whose stream is distinguished from the store after a restart.
    #[test]
    fn a_bound_holds_for_every_wait_and_the_lower_of_two_counts() {
        for (definition, bound, at_most) in [
            (definition(Reply::Inline, None), 4, Some(4)),
            (definition(Reply::Inline, Some(0)), 7, Some(7)),
            (definition(Reply::Inline, Some(3)), 9, Some(3)),
            (definition(Reply::Inline, Some(0)), 0, None),
            (ToolDefinition { ask_first: true, ..definition(Reply::Link, None) }, 2, Some(2)),
        ] {
            let bound = (bound > 0).then(|| Duration::from_secs(bound));
            let choice = choose(&definition, &MetaObject::new(), false, bound).expect("a choice");
            let waits = choice.waits(Vec::new(), InputResponses::new());
            assert_eq!(waits.at_most, at_most.map(Duration::from_secs));
            let until_answered = definition.ask_first;
            assert_eq!(choice.reply(), CallReply::Waits { at_most_seconds: at_most, until_answered });
        }
    }

    #[test]
    fn a_bad_choice_is_told_with_its_name_and_what_may_stand_there() {
        for (name, value, part) in [
            (REPLY_META, json!("later"), "\"inline\""),
            (REPLY_META, json!(1), "\"inline\""),
            (WAIT_META, json!(-1), "whole number"),
            (WAIT_META, json!(limits::MAX_INLINE_WAIT_SECONDS + 1), "whole number"),
            (WAIT_META, json!("3"), "whole number"),
            (KEY_META, json!(3), "a text"),
        ] {
            let error =
                choose(&definition(Reply::Link, None), &meta(name, value), true, None).expect_err(name);
            assert_eq!(error.code, ErrorCode::INVALID_PARAMS);
            assert!(error.message.contains(name) && error.message.contains(part), "{}", error.message);
        }
    }

    #[test]
    fn a_tool_that_wants_the_extension_is_refused_without_it() {
        for (definition, meta) in [
            (definition(Reply::Task, None), MetaObject::new()),
            (definition(Reply::Link, None), meta(REPLY_META, json!("task"))),
        ] {
            assert_eq!(choose(&definition, &meta, true, None).expect("a choice").inline, None);
            let error = choose(&definition, &meta, false, None).expect_err("no extension");
            assert_eq!(error.code, ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY);
            let data = error.data.expect("data").to_string();
            assert!(data.contains("io.modelcontextprotocol/tasks"), "{data}");
        }
    }
}
