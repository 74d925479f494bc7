//! One ask of a model on its way: what is held back for each time that its endpoint is asked, and what it says so far.

use std::sync::Arc;

use parking_lot::Mutex;

use super::answer::Paid;
use super::asked::ModelAsk;
use super::bounds::past_budget;
use super::streamed::Streamed;
use crate::authority::{Capability, Lost};
use crate::engine::change::commit::commit_event;
use crate::engine::change::lease;
use crate::engine::change::plan::Event;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::memory::entry::{Entry, EntryState};
use crate::engine::memory::spending::{Booking, day_of};
use crate::engine::ports::{BoxFuture, ModelFault, ModelFlow};
use crate::engine::rows;
use crate::engine::shared::Shared;
use crate::store::Ack;
use crate::task::{Price, QuestionKind, Spend, Task, TaskLimits};

pub struct Flow {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    number: u64,
    ask: ModelAsk,
    /// Of the last time.
    booking: Mutex<Option<Booking>>,
    streamed: Mutex<Option<Streamed>>,
}

/// Why nothing was held back.
enum Unbooked {
    Limit(String),
    Fault(EngineError),
}

impl Flow {
    pub fn new(
        shared: &Arc<Shared>,
        entry: &Arc<Entry>,
        number: u64,
        (ask, streamed): (ModelAsk, Option<Streamed>),
    ) -> Self {
        let (shared, entry) = (shared.clone(), entry.clone());
        Self { shared, entry, number, ask, booking: Mutex::default(), streamed: Mutex::new(streamed) }
    }

    pub fn model(&self) -> &str {
        &self.ask.model
    }

    pub fn price(&self) -> Price {
        self.ask.price
    }

    pub fn likely_input(&self) -> u64 {
        self.ask.input_tokens
    }

    /// What the last time came to, or all that it may have cost.
    pub fn paid(&self, spend: Option<Spend>) -> Paid {
        Paid { spend, booking: *self.booking.lock() }
    }

    /// The same where it is given up on its way, or before.
    pub fn cut_off(&self) -> Paid {
        self.paid((!self.has_left()).then_some(Spend::NOTHING))
    }

    /// Whether a request may have left, in this life or an earlier one.
    fn has_left(&self) -> bool {
        let state = self.entry.lock();
        state.status.questions.find(self.number).is_none_or(|open| !open.is_unsent())
    }

    /// Holds back what one more request may cost, of the task's budget and of its principal's day. That is on disk when this
    /// ends, and that it leaves; the error is the bound that does not allow it, or says that the store takes nothing.
    pub async fn book(&self) -> Result<(), ModelFault> {
        let unavailable = |error: EngineError| ModelFault::Unavailable {
            why: error.to_string(),
            // The request before that.
            may_be_paid: self.has_left(),
        };
        loop {
            let (ack, booking) = match self.try_book() {
                Ok(queued) => queued,
                Err(Unbooked::Limit(why)) => return Err(ModelFault::Limit(why)),
                // It is busy for a moment, which is no bound of the task's.
                Err(Unbooked::Fault(EngineError::Store(why))) if why.passes() => {
                    self.shared.pause(&why).await;
                    continue;
                }
                Err(Unbooked::Fault(error)) => return Err(unavailable(error)),
            };
            match lease::has_arrived(&self.shared, &self.entry, ack).await {
                Ok(true) => {
                    *self.booking.lock() = Some(booking);
                    self.shared.memory.models.count_call(&self.ask.model);
                    return Ok(());
                }
                Ok(false) => self.shared.spending.give_back(&self.entry.principal, booking),
                Err(error) => {
                    self.shared.spending.give_back(&self.entry.principal, booking);
                    return Err(unavailable(error));
                }
            }
        }
    }

    /// Whether it may be asked again without anything more being held back.
    fn check_again(&self) -> Result<(), ModelFault> {
        self.check_power(&self.entry.lock()).map(drop).map_err(|unbooked| {
            let why = match unbooked {
                Unbooked::Limit(why) => why,
                Unbooked::Fault(error) => error.to_string(),
            };
            ModelFault::Unavailable { why, may_be_paid: false }
        })
    }

    fn try_book(&self) -> Result<(Ack, Booking), Unbooked> {
        let (spend, who) = (self.ask.spend(), &self.entry.principal);
        let mut state = self.entry.lock();
        let limits = self.check_power(&state)?;
        let Some(open) = state.status.questions.find(self.number) else {
            return Err(Unbooked::Fault(self.not_open()));
        };
        // What the first one may cost was held back when the task asked.
        if !open.is_unsent()
            && let Some(why) = past_budget(&state.status, &limits, spend)
        {
            return Err(Unbooked::Limit(why));
        }
        let (spending, mut commit) = (&self.shared.spending, Commit::new());
        let day = day_of(self.shared.clock.wall());
        let booking = spending.take(day, who, spend, &mut commit).map_err(Unbooked::Limit)?;
        let event = Event::ModelAsked { number: self.number, spend };
        let queued = commit_event(&self.shared, &self.entry, &mut state, event, commit);
        let ack = queued.inspect_err(|_| spending.give_back(who, booking)).map_err(Unbooked::Fault)?;
        Ok((ack, booking))
    }

    fn not_open(&self) -> EngineError {
        let key = format!("{}:{}", QuestionKind::Model.as_str(), self.number);
        EngineError::NoSuchQuestion { task: self.entry.id, key, open: Vec::new() }
    }

    /// An approval may have been taken back since it asked; what bounds the task where it was not.
    fn check_power(&self, state: &EntryState) -> Result<TaskLimits, Unbooked> {
        let (limits, may) = self.terms(state).map_err(Unbooked::Fault)?;
        may.map(|()| limits).map_err(|lost| Unbooked::Limit(lost.to_string()))
    }

    /// What bounds the task, and whether it may ask the model now.
    fn terms(&self, state: &EntryState) -> Result<(TaskLimits, Result<(), Lost>), EngineError> {
        let of = |task: &Task| {
            let may = self.shared.powers(task).check(Capability::Model { name: &self.ask.model });
            (task.limits.clone(), may)
        };
        if let Some(task) = &state.task {
            return Ok(of(task));
        }
        // A sleeper's task is on disk alone.
        let id = self.entry.id;
        let task = self.shared.store.read_held(id, |snapshot| rows::read_task_row(snapshot, id))?;
        task.map(|(task, _)| of(&task)).ok_or(EngineError::NoSuchTask(id))
    }
}

impl ModelFlow for Flow {
    fn again(self: Arc<Self>, may_be_paid: bool) -> BoxFuture<Result<(), ModelFault>> {
        Box::pin(async move {
            if may_be_paid {
                self.book().await?;
            } else {
                // What was held back for the last one is held back for this one.
                self.check_again()?;
                self.shared.memory.models.count_call(&self.ask.model);
            }
            if let Some(streamed) = self.streamed.lock().as_mut() {
                streamed.begin_again();
            }
            Ok(())
        })
    }

    fn said(&self, piece: String) -> BoxFuture<()> {
        let written = self
            .streamed
            .lock()
            .as_mut()
            .and_then(|streamed| streamed.add(&self.shared, &self.entry, &piece));
        Box::pin(async move {
            if let Some(written) = written {
                // A store that takes no more has said so elsewhere: the answer does not depend on the output.
                drop(written.await);
            }
        })
    }
}
