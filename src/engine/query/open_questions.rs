//! What a task and those below it ask, in the view of the task.

use super::view::TaskView;
use crate::engine::questions::asked::read_all;
use crate::engine::questions::view::{AnsweredView, QuestionView};
use crate::engine::rows;
use crate::limits;
use crate::store::{Snapshot, StoreError};
use crate::task::{Status, Task, TaskId};

impl TaskView {
    /// Adds what the task asks and what it was answered.
    pub(in crate::engine) fn with_questions(
        mut self,
        snapshot: &Snapshot<'_>,
        task: &Task,
        status: &Status,
    ) -> Result<Self, StoreError> {
        // A task that stands still asks nothing.
        if status.questions.asked == 0 || status.state.blocked().is_some() {
            return Ok(self);
        }
        for open in &status.questions.open {
            self.questions.extend(QuestionView::read(snapshot, task, open.number, open.key.clone())?);
        }
        for (_, row) in read_all(snapshot, task.id)?.into_iter().rev() {
            let Some(answered) = row.answered else { continue };
            self.answered.push(AnsweredView {
                key: row.key,
                by: answered.by,
                at: answered.at,
                model: answered.model,
                tokens: answered.tokens,
            });
            if self.answered.len() == limits::MAX_SHOWN_ANSWERS {
                break;
            }
        }
        self.answered.reverse();
        Ok(self)
    }

    /// Adds what the tasks below ask, as far as there is room.
    pub(in crate::engine) fn with_questions_below(
        mut self,
        snapshot: &Snapshot<'_>,
        asking: &[TaskId],
    ) -> Result<Self, StoreError> {
        for id in asking {
            let asking = rows::read_status(snapshot, *id)?.filter(|status| status.state.blocked().is_none());
            let open = asking.map(|status| status.questions.open);
            let Some(open) = open.filter(|open| !open.is_empty()) else { continue };
            let Some(task) = rows::read_task(snapshot, *id)? else { continue };
            for question in open {
                if self.questions.len() >= limits::MAX_SHOWN_QUESTIONS {
                    return Ok(self);
                }
                let key = format!("{}:{}", task.id, question.key);
                self.questions.extend(QuestionView::read(snapshot, &task, question.number, key)?);
            }
        }
        Ok(self)
    }
}
