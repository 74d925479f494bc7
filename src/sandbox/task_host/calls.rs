//! Questions, other tasks, and shared state.

use super::port::{Recorded, TaskHost};
use crate::catalog::ToolDefinition;
use crate::engine::messages::Message;
use crate::engine::questions::{Answer, Asked, Question};
use crate::engine::{
    Addressee, CallRefusal, ChildCall, ChildEnd, Op, OpHandle, RecorderError, StateEntry, StateError,
    StatePage, StateQuery, StateWrite,
};
use crate::sandbox::wire::Request;
use crate::task::TaskId;

impl TaskHost {
    pub fn ask(&self, op: OpHandle, hash: u64, question: Question) -> Recorded<Asked> {
        match self {
            Self::Here(recorder) => recorder.ask(op, hash, question),
            Self::There(remote) => remote.ask(Request::Ask { op, hash, question: Box::new(question.into()) }),
        }
    }

    pub fn asked(&self, op: OpHandle, known: &Op) -> Recorded<Asked> {
        match self {
            Self::Here(recorder) => recorder.asked(op, known),
            Self::There(remote) => remote.ask(Request::Asked { op, known: known.into() }),
        }
    }

    pub async fn take_answer(&self, op: OpHandle, hash: u64, number: u64) -> Recorded<Answer> {
        match self {
            Self::Here(recorder) => recorder.take_answer(op, hash, number).await,
            Self::There(remote) => remote.call(Request::TakeAnswer { op, hash, number }).await,
        }
    }

    pub fn withdraw(&self, op: OpHandle, hash: u64, number: u64) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.withdraw(op, hash, number),
            Self::There(remote) => remote.ask(Request::Withdraw { op, hash, number }),
        }
    }

    pub fn granted_models(&self) -> Recorded<Vec<String>> {
        match self {
            Self::Here(recorder) => recorder.granted_models(),
            Self::There(remote) => remote.ask(Request::GrantedModels),
        }
    }

    pub async fn granted_tools(&self) -> Recorded<Vec<ToolDefinition>> {
        match self {
            Self::Here(recorder) => recorder.granted_tools().await,
            Self::There(remote) => granted(remote.call(Request::GrantedTools).await?),
        }
    }

    pub async fn start_children(
        &self,
        ops: &[OpHandle],
        calls: &[ChildCall],
    ) -> Recorded<Result<Vec<TaskId>, CallRefusal>> {
        match self {
            Self::Here(recorder) => recorder.start_children(ops, calls).await,
            Self::There(remote) => {
                remote.call(Request::StartChildren { ops: ops.to_vec(), calls: calls.to_vec() }).await
            }
        }
    }

    pub async fn take_child(&self, op: OpHandle, call: u64) -> Recorded<Option<ChildEnd>> {
        match self {
            Self::Here(recorder) => recorder.take_child(op, call).await,
            Self::There(remote) => remote.call(Request::TakeChild { op, call }).await,
        }
    }

    pub fn give_up_child(&self, op: OpHandle, call: u64) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.give_up_child(op, call),
            Self::There(remote) => remote.ask(Request::GiveUpChild { op, call }),
        }
    }

    pub async fn take_message(&self, op: OpHandle, hash: u64, names: &[String]) -> Recorded<Option<Message>> {
        match self {
            Self::Here(recorder) => recorder.take_message(op, hash, names).await,
            Self::There(remote) => {
                remote.call(Request::TakeMessage { op, hash, names: names.to_vec() }).await
            }
        }
    }

    pub async fn send_message(
        &self,
        to: Addressee,
        name: &str,
        payload: &str,
    ) -> Recorded<Result<u64, CallRefusal>> {
        match self {
            Self::Here(recorder) => recorder.send_message(to, name, payload).await,
            Self::There(remote) => remote.call(Request::SendMessage { to, name, payload }).await,
        }
    }

    pub async fn state_get(
        &self,
        namespace: &str,
        key: &str,
    ) -> Recorded<Result<Option<StateEntry>, StateError>> {
        match self {
            Self::Here(recorder) => recorder.state_get(namespace, key).await,
            Self::There(remote) => remote.call(Request::StateGet { namespace, key }).await,
        }
    }

    pub async fn state_list(
        &self,
        namespace: &str,
        query: &StateQuery,
    ) -> Recorded<Result<StatePage, StateError>> {
        match self {
            Self::Here(recorder) => recorder.state_list(namespace, query).await,
            Self::There(remote) => remote.call(Request::StateList { namespace, query: query.clone() }).await,
        }
    }

    pub async fn state_write(
        &self,
        namespace: &str,
        writes: &[StateWrite],
    ) -> Recorded<Result<Vec<u64>, StateError>> {
        match self {
            Self::Here(recorder) => recorder.state_write(namespace, writes).await,
            Self::There(remote) => {
                remote.call(Request::StateWrite { namespace, writes: writes.to_vec() }).await
            }
        }
    }

    pub fn may_watch_state(&self, namespace: &str, key: &str) -> Result<(), StateError> {
        match self {
            Self::Here(recorder) => recorder.may_watch_state(namespace, key),
            Self::There(remote) => remote
                .ask(Request::MayWatchState { namespace, key })
                .unwrap_or_else(|error| Err(StateError::Lost(error.to_string()))),
        }
    }
}

/// The definitions go as JSON: a schema is any.
fn granted(json: String) -> Recorded<Vec<ToolDefinition>> {
    serde_json::from_str(&json).map_err(|error| RecorderError::Fault(error.to_string()))
}
