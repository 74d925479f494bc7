//! Questions, other tasks, and shared state.

use std::sync::Arc;

use serde::de::IgnoredAny;

use super::answer::{Served, known, later, not_allowed, now};
use crate::authority::Capability;
use crate::engine::questions::{Ask, ModelAsk, Question};
use crate::engine::{Op, RecorderError};
use crate::limits;
use crate::sandbox::host::elicitation::check as check_question;
use crate::sandbox::wire::protocol::Request;
use crate::sandbox::worker::guest::Guest;

pub fn serve(guest: &Arc<Guest>, request: Request<'_>) -> Served {
    let recorder = guest.recorder.clone();
    match request {
        Request::Ask { op, hash, question } => {
            let question = Question::from(*question);
            match may_ask(guest, &question) {
                Ok(()) => now(recorder.ask(op, hash, question)),
                Err(why) => not_allowed(&why),
            }
        }
        // It reads the disk, and blocks.
        Request::Asked { op, known } => later(async move {
            let known = Op::from(known);
            let asked = tokio::task::spawn_blocking(move || recorder.asked(op, &known)).await;
            asked.unwrap_or_else(|error| Err(RecorderError::Fault(error.to_string())))
        }),
        Request::TakeAnswer { op, hash, number } => {
            later(async move { recorder.take_answer(op, hash, number).await })
        }
        Request::Withdraw { op, hash, number } => now(recorder.withdraw(op, hash, number)),
        Request::GrantedModels => now(recorder.granted_models()),
        Request::GrantedTools => later(async move {
            let tools = recorder.granted_tools().await?;
            serde_json::to_string(&tools).map_err(|error| RecorderError::Fault(error.to_string()))
        }),
        Request::StartChildren { calls, .. } if calls.len() > limits::MAX_OPEN_CHILDREN => {
            not_allowed("more calls than one start takes")
        }
        Request::StartChildren { ops, calls } if ops.len() != calls.len() => {
            not_allowed("calls without their operations")
        }
        Request::StartChildren { ops, calls } => {
            later(async move { recorder.start_children(&ops, &calls).await })
        }
        Request::TakeChild { op, call } => later(async move { recorder.take_child(op, call).await }),
        Request::GiveUpChild { op, call } => now(recorder.give_up_child(op, call)),
        Request::TakeMessage { names, .. } if names.len() > limits::MAX_RECEIVED_NAMES => {
            not_allowed("more names than a receive takes")
        }
        Request::TakeMessage { op, hash, names } => {
            later(async move { recorder.take_message(op, hash, &names).await })
        }
        Request::SendMessage { to, name, payload } => {
            let (name, payload) = (name.to_owned(), payload.to_owned());
            later(async move { recorder.send_message(to, &name, &payload).await })
        }
        request => state(guest, request),
    }
}

/// What a question's host checks before it asks it.
fn may_ask(guest: &Guest, question: &Question) -> Result<(), String> {
    let grant = &guest.task.grant;
    let has_powers = match &question.ask {
        Ask::Form { .. } | Ask::Url { .. } => grant.allows(Capability::Elicit),
        Ask::Sample { .. } => grant.allows(Capability::Sample),
        Ask::Roots => grant.allows(Capability::Elicit) || grant.allows(Capability::Sample),
        Ask::Model(ask) => grant.allows(Capability::Model { name: &ask.model }),
    };
    if !has_powers {
        return Err("a question that is not granted".to_owned());
    }
    match (&question.ask, &question.key) {
        (Ask::Form { .. } | Ask::Url { .. }, Some(key)) => check_question(key, &question.ask),
        (Ask::Sample { request, .. } | Ask::Model(ModelAsk { request, .. }), None)
            if request.len() <= limits::MAX_SAMPLE_REQUEST_BYTES
                && serde_json::from_str::<IgnoredAny>(request).is_ok() =>
        {
            Ok(())
        }
        (Ask::Roots, None) => Ok(()),
        _ => Err("a question that is none".to_owned()),
    }
}

fn state(guest: &Arc<Guest>, request: Request<'_>) -> Served {
    const REFUSED: &str = "shared state that is not granted";
    let (recorder, grant) = (guest.recorder.clone(), &guest.task.grant);
    match request {
        Request::StateGet { namespace, key } | Request::MayWatchState { namespace, key }
            if !grant.allows(Capability::StateRead { namespace, key }) =>
        {
            not_allowed(REFUSED)
        }
        Request::StateGet { namespace, key } => {
            let (namespace, key) = (namespace.to_owned(), key.to_owned());
            later(async move { recorder.state_get(&namespace, &key).await })
        }
        Request::MayWatchState { namespace, key } => known(recorder.may_watch_state(namespace, key)),
        Request::StateList { namespace, query } => {
            let all = format!("{}*", query.prefix);
            if !grant.allows(Capability::StateRead { namespace, key: &all }) {
                return not_allowed(REFUSED);
            }
            let namespace = namespace.to_owned();
            later(async move { recorder.state_list(&namespace, &query).await })
        }
        Request::StateWrite { namespace, writes } => {
            let may = |key| grant.allows(Capability::StateWrite { namespace, key });
            if !writes.iter().all(|write| may(&write.key)) {
                return not_allowed(REFUSED);
            }
            let namespace = namespace.to_owned();
            later(async move { recorder.state_write(&namespace, &writes).await })
        }
        _ => not_allowed("what no guest asks for"),
    }
}
