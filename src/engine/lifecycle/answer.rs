//! An owner answers what a task, or one below it, asks.

use super::find::Standing;
use crate::authority::Principal;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::link::Link;
use crate::engine::query::view::TaskView;
use crate::engine::questions::answer::{AnsweredVia, Given, Giving, Paid, Which, give};
use crate::engine::questions::below::split;
use crate::engine::rows;
use crate::store::Snapshot;
use crate::task::TaskId;

impl TaskEngine {
    /// Answers a question of a task, or of one below it; without a key the one that is open. On disk when it returns.
    pub async fn answer(
        &self,
        principal: &Principal,
        id: TaskId,
        key: Option<&str>,
        given: Given,
        via: AnsweredVia,
    ) -> Result<TaskView, EngineError> {
        // What is wrong with the task is reported, and recorded, below.
        let found = self.asker(principal, id, key).await;
        let (asker, key) = found.unwrap_or_else(|_| (id, key.map(str::to_owned)));
        let which = key.as_deref().map_or(Which::Only, Which::Key);
        let view = self.answer_audited(principal, asker, which, given, via).await?;
        if asker == id { Ok(view) } else { self.task(principal, id).await }
    }

    /// Answers the question of this number, which the task itself asked. On disk when it returns.
    pub async fn answer_numbered(
        &self,
        principal: &Principal,
        id: TaskId,
        number: u64,
        given: Given,
        via: AnsweredVia,
    ) -> Result<(), EngineError> {
        self.answer_audited(principal, id, Which::Number(number), given, via).await.map(drop)
    }

    async fn answer_audited(
        &self,
        principal: &Principal,
        id: TaskId,
        which: Which<'_>,
        given: Given,
        via: AnsweredVia,
    ) -> Result<TaskView, EngineError> {
        let answered = self.answer_question(principal, id, which, given, via).await;
        let subject = Subject { note: Some(via.channel), ..Subject::of_task(AuditAction::Answer, id) };
        self.shared.audit.record_error(principal, subject, answered)
    }

    async fn answer_question(
        &self,
        principal: &Principal,
        id: TaskId,
        which: Which<'_>,
        given: Given,
        via: AnsweredVia,
    ) -> Result<TaskView, EngineError> {
        let entry = match self.find(principal, id).await? {
            Standing::Open(entry) => entry,
            Standing::Ended(view) if matches!(which, Which::Only) => {
                let hint = "it asks nothing any more";
                return Err(EngineError::WrongState { task: id, state: view.state.name().to_owned(), hint });
            }
            // The same answer again is no error.
            Standing::Ended(_) => self.entry_on_disk(id).await?,
        };
        let giving = Giving { principal, given, via, tokens: None, paid: Paid::default() };
        give(&self.shared, &entry, which, giving).await?;
        self.task(principal, id).await
    }
}

impl TaskEngine {
    /// Whose question is meant, and its own key: that of the task itself, or of one below it.
    pub(in crate::engine) async fn asker(
        &self,
        principal: &Principal,
        id: TaskId,
        key: Option<&str>,
    ) -> Result<(TaskId, Option<String>), EngineError> {
        let key = match key {
            Some(key) => key.to_owned(),
            None => {
                let mut open = self.task(principal, id).await?.questions;
                match open.pop() {
                    Some(question) if open.is_empty() => question.key,
                    _ => return Ok((id, None)),
                }
            }
        };
        let Some((child, own)) = split(&key) else { return Ok((id, Some(key))) };
        // Another's task looks like none, also where it has such a child.
        self.task(principal, id).await?;
        Ok(if self.is_below(child, id).await? { (child, Some(own.to_owned())) } else { (id, Some(key)) })
    }

    async fn is_below(&self, child: TaskId, id: TaskId) -> Result<bool, EngineError> {
        let read = move |snapshot: &Snapshot<'_>| {
            let mut at = child;
            while let Some(link) = rows::read_task(snapshot, at)?.as_ref().and_then(Link::of) {
                if link.detached {
                    return Ok(false);
                }
                if link.parent == id {
                    return Ok(true);
                }
                at = link.parent;
            }
            Ok(false)
        };
        Ok(self.shared.store.read(read).await?)
    }
}
