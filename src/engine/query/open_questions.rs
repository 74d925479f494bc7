//! What a task and those below it ask, in the document of the task.

use std::collections::BTreeMap;

use super::view::TaskDocument;
use crate::engine::questions::asked::read_all;
use crate::engine::questions::view::{AnsweredByDocument, AnsweredDocument, InputRequest};
use crate::engine::rows;
use crate::engine::text::rfc3339;
use crate::limits;
use crate::store::{Snapshot, StoreError};
use crate::task::{AnsweredBy, Status, Task, TaskId};

impl TaskDocument {
    /// Adds what the task asks and what it was answered.
    pub(in crate::engine) fn with_questions(
        mut self,
        snapshot: &Snapshot<'_>,
        task: &Task,
        status: &Status,
    ) -> Result<Self, StoreError> {
        if status.questions.asked == 0 {
            return Ok(self);
        }
        let mut requests = BTreeMap::new();
        for open in &status.questions.open {
            if let Some(request) = InputRequest::read(snapshot, task, open.number)? {
                requests.insert(open.key.clone(), request);
            }
        }
        self.input_requests = requests;
        let mut answered = Vec::new();
        for (_, row) in read_all(snapshot, task.id)?.into_iter().rev() {
            let Some(by) = row.answered else { continue };
            let AnsweredBy { principal, channel } = by.by;
            answered.push(AnsweredDocument {
                key: row.key,
                answered_by: AnsweredByDocument { principal, channel },
                at: rfc3339(by.at),
                model: by.model,
                tokens: by.tokens,
            });
            if answered.len() == limits::MAX_SHOWN_ANSWERS {
                break;
            }
        }
        answered.reverse();
        self.questions_answered = answered;
        Ok(self)
    }
}

impl TaskDocument {
    /// Adds what the tasks below ask, as far as there is room.
    pub(in crate::engine) fn with_questions_below(
        mut self,
        snapshot: &Snapshot<'_>,
        asking: &[TaskId],
    ) -> Result<Self, StoreError> {
        for id in asking {
            let open = rows::read_status(snapshot, *id)?.map(|status| status.questions.open);
            let Some(open) = open.filter(|open| !open.is_empty()) else { continue };
            let Some(task) = rows::read_task(snapshot, *id)? else { continue };
            for question in open {
                if self.input_requests.len() >= limits::MAX_SHOWN_QUESTIONS {
                    return Ok(self);
                }
                let Some(mut request) = InputRequest::read(snapshot, &task, question.number)? else {
                    continue;
                };
                request.task = Some(task.id.to_string());
                self.input_requests.insert(format!("{}:{}", task.id, question.key), request);
            }
        }
        Ok(self)
    }
}
