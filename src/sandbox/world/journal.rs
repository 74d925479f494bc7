//! The recorder as the guest's world uses it: what kinds of records there are, and how a guest waits.
//!
//! | kind | call                       | hash over             | payload                              |
//! |------|----------------------------|-----------------------|--------------------------------------|
//! | 0    | logical time (recorder's)  | -                     | clock reads, nanoseconds since then  |
//! | 1    | `poll.poll`                | number of pollables   | indices of the ready ones            |
//! | 2    | `pollable.ready`           | nothing               | one byte: 0 or 1                     |
//! | 3    | `pollable.block`           | nothing               | empty                                |
//! | 4    | `waits.wait`               | tickets, timeout      | the ready tickets                    |
//! | 5    | `timers.sleep`             | milliseconds          | empty                                |
//! | 6    | `cancellation.requested`   | nothing               | one byte: 0 or 1                     |
//! | 7    | `filesystem/types`         | folder, the call      | what it came to: `files/`            |
//!
//! Lists are postcard's. What is not here is a function of the task and of what is: random numbers, streams
//! of stdio, refusals. Outputs are records of the recorder's own.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::files::recorded;
use super::http::exchanges::Exchanges;
use crate::engine::{Next, StepKind, Suspension};
use crate::limits;
use crate::sandbox::stop::Stop;
use crate::sandbox::task_host::{LeaveWait, TaskHost};
use crate::task::{LogLevel, WaitingReason, WakeOn};

/// A record of the runner. The numbers are a format on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Poll = 1,
    Ready = 2,
    Block = 3,
    Wait = 4,
    Sleep = 5,
    CancelRequested = 6,
    Files = 7,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Poll, Self::Ready, Self::Block, Self::Wait, Self::Sleep, Self::CancelRequested, Self::Files];

    /// Whether a record of this kind is one of the sandbox's own.
    pub fn is_known(kind: u8) -> bool {
        Self::ALL.into_iter().any(|known| known as u8 == kind)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll.poll",
            Self::Ready => "pollable.ready",
            Self::Block => "pollable.block",
            Self::Wait => "waits.wait",
            Self::Sleep => "timers.sleep",
            Self::CancelRequested => "cancellation.requested",
            Self::Files => "filesystem",
        }
    }
}

/// A record for people: the call, and what it came to.
pub fn describe(kind: u8, payload: &[u8]) -> (&'static str, Option<String>) {
    let Some(kind) = Kind::ALL.into_iter().find(|known| *known as u8 == kind) else { return ("call", None) };
    let about = match kind {
        Kind::Poll => postcard::from_bytes::<Vec<u32>>(payload).ok().map(|ready| format!("ready: {ready:?}")),
        Kind::Wait => postcard::from_bytes::<Vec<u64>>(payload).ok().map(|ready| format!("ready: {ready:?}")),
        Kind::Ready | Kind::CancelRequested => Some((payload == [1]).to_string()),
        Kind::Files => recorded::describe(payload),
        Kind::Block | Kind::Sleep => None,
    };
    (kind.name(), about)
}

/// What a record is to the task's trace. A look that never waits is no step.
fn step_of(kind: Kind) -> Option<StepKind> {
    match kind {
        Kind::Sleep => Some(StepKind::Sleep),
        Kind::Poll | Kind::Block | Kind::Wait => Some(StepKind::Wait),
        Kind::Ready | Kind::CancelRequested | Kind::Files => None,
    }
}

/// A call that is replayed or executed.
#[derive(Clone, Copy)]
pub struct Call {
    pub kind: Kind,
    /// Stands for the arguments.
    pub hash: u64,
}

/// What a live wait is on, so far as it matters to whether the instance may leave memory meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitOn {
    /// What is on disk: timers and what others do.
    Durable(Suspension),
    /// Something that lives in this process.
    Process,
}

impl WaitOn {
    /// Timers alone: the first is due at this logical time, if any is.
    pub fn timers(due: Option<u64>) -> Self {
        Self::Durable(Suspension { reason: WaitingReason::Timer, until: due, on: Vec::new() })
    }
}

/// How long an instance stays for a wait that it could spend out of memory.
#[derive(Clone, Copy)]
enum Patience {
    For(Duration),
    /// As long as nothing else needs its room.
    UntilAsked,
}

/// The task's recorder, or nothing, while a component is only inspected: then the clock stands at 0, what it
/// prints is dropped, and what would have an effect or wait ends it.
#[derive(Clone)]
pub struct Journal {
    recorder: Option<TaskHost>,
    exchanges: Option<Exchanges>,
    /// A wait that lasts longer takes the instance out of memory.
    grace: Duration,
}

impl Journal {
    pub fn of_task(recorder: TaskHost, exchanges: Exchanges, grace: Duration) -> Self {
        Self { recorder: Some(recorder), exchanges: Some(exchanges), grace }
    }

    pub fn of_inspection() -> Self {
        Self { recorder: None, exchanges: None, grace: Duration::ZERO }
    }

    /// The task's exchanges; none while a component is only inspected.
    pub fn exchanges(&self) -> Option<&Exchanges> {
        self.exchanges.as_ref()
    }

    pub fn seed(&self) -> [u8; 32] {
        self.recorder.as_ref().map_or([0; 32], TaskHost::seed)
    }

    /// What the guest's clock shows: nanoseconds since the task was created, in whole milliseconds.
    pub fn now(&self) -> Result<u64, Stop> {
        Ok(self.recorder.as_ref().map_or(Ok(0), TaskHost::now)?)
    }

    /// The guest's wall clock: nanoseconds since the Unix epoch.
    pub fn wall(&self) -> Result<u64, Stop> {
        let created = self.recorder.as_ref().map_or(0, TaskHost::created_at);
        Ok(created.saturating_add(self.now()?))
    }

    /// The recorded answer, or `None` where the guest has come to the end of its journal: do it, then
    /// [`Journal::record`] it.
    pub async fn replayed(&self, call: Call) -> Result<Option<Vec<u8>>, Stop> {
        self.compare_all().await?;
        let (kind, name) = (call.kind, call.kind.name());
        let step = step_of(kind).map(|step| (step, name));
        match self.task(name)?.next_step(step, (kind as u8, call.hash), name)? {
            Next::Replayed(payload) => Ok(Some(payload)),
            Next::Live => Ok(None),
        }
    }

    /// At the end of a journal that is replayed and nothing more: what is under way is held against what is on disk first,
    /// since nothing comes after it.
    async fn compare_all(&self) -> Result<(), Stop> {
        let (Some(recorder), Some(exchanges)) = (&self.recorder, &self.exchanges) else { return Ok(()) };
        if !recorder.replays_alone() || recorder.is_replaying() {
            return Ok(());
        }
        // A request whose body never ends is not the one that left.
        let at_most = Duration::from_secs(limits::MAX_COMPARED_SECONDS);
        let _ = tokio::time::timeout(at_most, exchanges.compared()).await;
        exchanges.take_stop().map_or(Ok(()), Err)
    }

    pub fn record(&self, call: Call, payload: &[u8]) -> Result<(), Stop> {
        Ok(self.task(call.kind.name())?.record(call.kind as u8, call.hash, payload)?)
    }

    /// The guest asked for what it is not granted; this line would grant it.
    pub fn was_refused(&self, line: &str) {
        if let Some(recorder) = &self.recorder {
            recorder.was_refused(line);
        }
    }

    /// The recorder, for what only a task may do. `what` is the call that needs it.
    pub fn task(&self, what: &str) -> Result<&TaskHost, Stop> {
        self.recorder.as_ref().ok_or_else(|| Stop::Inspecting { what: what.to_owned() })
    }

    /// The guest's stdout, stderr and log lines.
    pub fn log(&self, bytes: &[u8]) -> Result<(), Stop> {
        Ok(self.recorder.as_ref().map_or(Ok(()), |recorder| recorder.log(bytes))?)
    }

    /// A line of the log that goes to the task's subscribers as well.
    pub fn line(&self, level: LogLevel, text: &str) -> Result<(), Stop> {
        Ok(self.recorder.as_ref().map_or(Ok(()), |recorder| recorder.line(level, text))?)
    }

    /// To be called in whatever a guest may do in a loop without waiting.
    pub async fn flush_if_full(&self) -> Result<(), Stop> {
        match &self.recorder {
            Some(recorder) => Ok(recorder.flush_if_full().await?),
            None => Ok(()),
        }
    }

    pub fn restored(&self) -> Option<Arc<[u8]>> {
        self.recorder.as_ref().and_then(TaskHost::restored)
    }

    /// The guest was awake for `new`, and for `total` since its instance began.
    pub fn spent(&self, new: Duration, total: Duration) -> Result<(), Stop> {
        match &self.recorder {
            Some(recorder) => Ok(recorder.spent(new)?),
            None if total <= Duration::from_millis(limits::MAX_INSPECTION_MS) => Ok(()),
            None => Err(Stop::Limit {
                bound: "MAX_INSPECTION_MS",
                message: format!(
                    "the component needs more than {} ms to be inspected",
                    limits::MAX_INSPECTION_MS
                ),
            }),
        }
    }

    /// Waits, live. What is ready at once costs no wait for the disk; what is not is a good moment to make
    /// the past durable, besides the wait. `awake` is what replaying this instance would cost.
    pub async fn wait<F: Future>(&self, future: F, on: WaitOn, awake: Duration) -> Result<F::Output, Stop> {
        self.compare_all().await?;
        if let Some(recorder) = &self.recorder {
            recorder.end_of_replay()?;
        }
        // Loops of waits that never wait must not fill memory with records.
        self.flush_if_full().await?;
        let Some(exchanges) = &self.exchanges else { return Ok(future.await) };
        exchanges.go_live()?;
        let mut future = pin!(future);
        if let Poll::Ready(output) = futures::poll!(future.as_mut()) {
            return Ok(output);
        }
        let mut are_bodies_awaited = matches!(on, WaitOn::Process);
        let idles = match &on {
            WaitOn::Durable(suspension) => Some(suspension.clone()),
            WaitOn::Process => None,
        };
        let leaving = match on {
            WaitOn::Durable(suspension) => {
                self.patience(&suspension, awake).map(|patience| (patience, suspension))
            }
            WaitOn::Process => None,
        };
        let began = Instant::now();
        let (mut is_flushed, mut leave_now) = (false, false);
        let unfinished_leave_at = began + Duration::from_millis(limits::UNFINISHED_BODY_MS);
        let mut wait: Option<LeaveWait> = None;
        loop {
            let under_way = exchanges.under_way();
            let leave_at = leaving.as_ref().filter(|_| !under_way);
            let leave_at = leave_at.and_then(|(patience, _)| match patience {
                _ if leave_now => Some(began),
                Patience::For(time) => Some(began + *time),
                Patience::UntilAsked => None,
            });
            if let Some((_, suspension)) = &leaving
                && leave_at.is_some_and(|at| at <= Instant::now())
            {
                if let Some(wait) = wait.take() {
                    wait.leave();
                }
                let until = suspension.until.filter(|due| *due < NEVER);
                return Err(Stop::Suspended(Suspension { until, ..suspension.clone() }));
            }
            if !is_flushed {
                self.task("a wait")?.begin_wait()?;
                is_flushed = true;
            }
            if under_way {
                wait = None;
            } else if leaving.is_some() && wait.is_none() && !leave_now {
                wait = Some(self.task("a wait")?.wait_to_leave());
            }
            let _idling = (!under_way).then(|| self.idling(idles.as_ref()));
            let room_wanted = async {
                match &wait {
                    Some(wait) => wait.asked().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                output = future.as_mut() => return Ok(output),
                stop = exchanges.stopped() => return Err(stop),
                () = exchanges.changed(), if under_way => {}
                () = tokio::time::sleep_until(unfinished_leave_at), if under_way && are_bodies_awaited => {
                    exchanges.leave_unfinished();
                    are_bodies_awaited = false;
                }
                // Another task waits for an instance, perhaps the very child that this one waits for.
                () = room_wanted, if !under_way => leave_now = true,
                () = tokio::time::sleep_until(leave_at.unwrap_or(began)), if leave_at.is_some() => {}
            }
        }
    }

    /// Says so as long as it is held, to who looks at the task.
    fn idling(&self, wait: Option<&Suspension>) -> Idling<'_> {
        if let Some(recorder) = &self.recorder {
            recorder.idles(wait);
        }
        Idling(self)
    }

    /// How long the instance stays for this wait; `None` is to its end, whatever others need.
    fn patience(&self, suspension: &Suspension, awake: Duration) -> Option<Patience> {
        let left = suspension.until.map(|due| Duration::from_nanos(due.saturating_sub(self.raw_now())));
        // Coming back computes everything again.
        let price = awake.saturating_mul(2);
        let is_worth_it = |least: Duration| left.is_none_or(|left| left > least && left > price);
        if !is_for_others(&suspension.on) {
            if is_worth_it(self.grace) {
                return Some(Patience::For(Duration::ZERO));
            }
            let least = Duration::from_millis(limits::LEAST_EVICTED_WAIT_MS);
            return is_worth_it(least).then_some(Patience::UntilAsked);
        }
        let patience = self.grace.min(Duration::from_millis(limits::EVENT_GRACE_MS)).max(price);
        is_worth_it(patience).then_some(Patience::For(patience))
    }

    /// Replays a wait: what is behind it must come to the state in which it was, and is on disk.
    pub async fn forced<F: Future>(&self, future: F) -> Result<F::Output, Stop> {
        let Some(exchanges) = &self.exchanges else { return Ok(future.await) };
        tokio::select! {
            biased;
            output = future => Ok(output),
            stop = exchanges.stopped() => Err(stop),
            () = overdue(exchanges) => {
                Err(Stop::HostFault("what was ready when the journal was written is not ready now".to_owned()))
            }
        }
    }

    /// Ends when the guest's clock has reached `due`.
    pub async fn sleep_until(&self, due: u64) {
        while let Some(recorder) = &self.recorder
            && !self.is_due(due)
        {
            recorder.sleep_until(shown(due)).await;
        }
    }

    pub fn is_due(&self, due: u64) -> bool {
        self.raw_now() >= shown(due)
    }

    /// Logical time itself, which may not reach the guest.
    fn raw_now(&self) -> u64 {
        self.recorder.as_ref().map_or(0, TaskHost::raw_now)
    }
}

/// An instance waits in memory.
struct Idling<'a>(&'a Journal);

impl Drop for Idling<'_> {
    fn drop(&mut self) {
        if let Some(recorder) = &self.0.recorder {
            recorder.idles(None);
        }
    }
}

/// Ends when what is forced should have come long ago. A server that takes a body once more has the time-outs of its exchange.
async fn overdue(exchanges: &Exchanges) {
    tokio::time::sleep(Duration::from_secs(limits::MAX_FORCED_WAIT_SECONDS)).await;
    while exchanges.is_resending() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Whether a wait is for what others do, and not for time alone.
fn is_for_others(on: &[WakeOn]) -> bool {
    on.iter().any(|on| *on != WakeOn::Cancellation)
}

/// The first moment at which the guest's clock, in whole milliseconds, shows no less than `due`.
fn shown(due: u64) -> u64 {
    const MILLISECOND: u64 = 1_000_000;
    due.div_ceil(MILLISECOND).saturating_mul(MILLISECOND)
}

/// Logical times from here on (146 years) are no times any more, but "for ever".
const NEVER: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_number_and_is_told_to_people() {
        let numbers = Kind::ALL.map(|kind| kind as u8);
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
        let ready = postcard::to_stdvec(&vec![2u32, 0]).unwrap();
        assert_eq!(describe(1, &ready), ("poll.poll", Some("ready: [2, 0]".to_owned())));
        assert_eq!(describe(2, &[0]), ("pollable.ready", Some("false".to_owned())));
        assert_eq!(describe(5, &[]), ("timers.sleep", None));
        assert_eq!(describe(99, &[]), ("call", None));
    }

    #[test]
    fn a_timer_is_due_when_the_guests_clock_shows_it() {
        assert_eq!(shown(1), 1_000_000);
        assert_eq!(shown(3_000_000), 3_000_000);
        assert_eq!(shown(u64::MAX), u64::MAX);
    }
}
