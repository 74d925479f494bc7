//! What open tasks take of their principal's account: places among those that are open, and what is in memory of them.

use std::sync::Arc;

use crate::limits;
use crate::shares::{Account, Held, Pool, Refusal};

/// Given back when the task has ended.
pub struct OpenTask {
    place: Held,
    memory: Held,
}

impl OpenTask {
    /// Takes it for a new task, or refuses it.
    pub fn take(shares: &Arc<Account>, who: &str) -> Result<Self, Refusal> {
        let place = shares.take(Pool::OpenTasks, who, 1)?;
        let memory = shares.take(Pool::TaskMemory, who, limits::OPEN_TASK_BYTES)?;
        Ok(Self { place, memory })
    }

    /// The same, whatever the bounds say, for one that was let in already.
    pub fn hold(shares: &Arc<Account>, who: &str) -> Self {
        Self {
            place: shares.hold(Pool::OpenTasks, who, 1),
            memory: shares.hold(Pool::TaskMemory, who, limits::OPEN_TASK_BYTES),
        }
    }

    /// Its principal's name.
    pub fn principal(&self) -> Arc<str> {
        self.place.name()
    }

    /// Whether there is room for so many.
    pub fn check(shares: &Account, who: &str, count: u64) -> Result<(), Refusal> {
        shares.check(Pool::OpenTasks, who, count)?;
        shares.check(Pool::TaskMemory, who, count.saturating_mul(limits::OPEN_TASK_BYTES))
    }
}

/// What resting tasks of one principal take together: of each its place, a little memory, and what it asks people.
pub struct RestingTasks {
    open: OpenTask,
    questions: Option<Held>,
}

impl RestingTasks {
    /// What one task held so far that rests from here on.
    pub fn of(mut open: OpenTask, questions: Option<Held>) -> Self {
        open.memory.shrink_to(limits::RESTING_TASK_BYTES);
        Self { open, questions }
    }

    /// For so many that were let in already, which ask so many questions.
    pub fn hold(shares: &Arc<Account>, who: &str, tasks: u64, questions: u64) -> Self {
        let bytes = tasks.saturating_mul(limits::RESTING_TASK_BYTES);
        let open = OpenTask {
            place: shares.hold(Pool::OpenTasks, who, tasks),
            memory: shares.hold(Pool::TaskMemory, who, bytes),
        };
        Self { open, questions: (questions > 0).then(|| shares.hold(Pool::Questions, who, questions)) }
    }

    pub fn add(&mut self, more: Self) {
        self.open.place.merge(more.open.place);
        self.open.memory.merge(more.open.memory);
        match (&mut self.questions, more.questions) {
            (Some(questions), Some(more)) => questions.merge(more),
            (_, None) => {}
            (none @ None, more) => *none = more,
        }
    }

    /// What one of them holds that rests no longer, and asks so many questions.
    pub fn remove(&mut self, questions: u64) -> (OpenTask, Option<Held>) {
        let mut memory = self.open.memory.split(limits::RESTING_TASK_BYTES);
        memory.grow_anyway(limits::OPEN_TASK_BYTES - limits::RESTING_TASK_BYTES);
        let asked = self.questions.as_mut().filter(|_| questions > 0);
        let asked = asked.map(|held| held.split(questions));
        (OpenTask { place: self.open.place.split(1), memory }, asked)
    }

    /// The name that all of them share.
    pub fn principal(&self) -> Arc<str> {
        self.open.principal()
    }

    pub fn is_empty(&self) -> bool {
        self.open.place.amount() == 0
    }
}

const _: () = assert!(limits::RESTING_TASK_BYTES <= limits::OPEN_TASK_BYTES);
