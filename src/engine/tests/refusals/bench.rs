//! One engine on a drive in memory, what is done to it from outside, and when it has come to rest.

use std::time::Instant;

use super::super::*;
use super::guest::{Gates, Guests, Model};
use crate::engine::lifecycle::rest;
use crate::engine::memory::Memory;
use crate::engine::questions::answer::AnsweredVia;
use crate::engine::questions::answer::Given;
use crate::store::{Batch, Drive, No, Store, StoreOptions};

/// Longer than any step of a cell takes on a slow machine; what takes longer stands still for ever.
const PATIENCE: Duration = Duration::from_secs(2);
/// Rounds without any change after which nothing is going on.
const QUIET_ROUNDS: usize = 3;
/// Polls of every other task in one round.
const YIELDS: usize = 16;

/// What is done from outside. The task meant is the first that was called, unless it says otherwise.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// A call of this tool with this script.
    Call(&'static str, &'static str),
    /// The same, under the idempotency key `k`.
    Keyed(&'static str, &'static str),
    /// The same, for a stream.
    Streamed(&'static str, &'static str),
    Cancel,
    Retry(Option<u64>),
    /// Of the first one's child.
    RetryChild,
    Done(u64),
    Failed(u64),
    Resend(u64),
    Answer,
    Decline,
    Send,
    Put(&'static str),
    PutIf(&'static str, u64),
    PutFor(&'static str, u64),
    Delete(&'static str),
    NewToken(&'static str),
    Revoke(&'static str),
    Component,
    Setting,
    Grants,
    /// Deletes the first task.
    Forget,
    Sweep,
    /// So many seconds pass.
    Pass(u64),
    /// One guest that is held goes on.
    Let,
    /// What was broken works.
    Mend,
    /// The process ends without a word, and another one opens what it left.
    Crash,
    /// The same in peace.
    Close,
    /// The other one begins to run tasks.
    Start,
}

pub struct Bench {
    pub drive: Drive,
    pub clock: ManualClock,
    options: StoreOptions,
    keeps_all: bool,
    pub gates: Arc<Gates>,
    pub engine: TaskEngine,
    pub called: Vec<TaskId>,
    /// The store that refuses.
    refusing: Option<Store>,
}

impl Bench {
    pub async fn new() -> Self {
        Self::on(Drive::default(), StoreOptions::default(), START).await.expect("an engine")
    }

    /// On what a drive holds, at that time.
    pub async fn on(drive: Drive, options: StoreOptions, wall: u64) -> Result<Self, EngineError> {
        let (clock, gates) = (ManualClock::starting_at(wall), Arc::default());
        let engine = open(&drive, (options, false), &clock, &gates).await?;
        engine.start().await?;
        Ok(Self {
            drive,
            clock,
            options,
            keeps_all: false,
            gates,
            engine,
            called: Vec::new(),
            refusing: None,
        })
    }

    /// Opens the drive once more, and deletes nothing that is old. It is not started.
    pub async fn keep_all(&mut self) -> Result<(), EngineError> {
        self.keeps_all = true;
        self.crash().await
    }

    pub fn store(&self) -> &Store {
        &self.engine.shared.store
    }

    /// From now on this batch is refused, counted from 1.
    pub fn refuse(&mut self, refuse: Option<(usize, No)>) {
        self.store().refuse(refuse);
        self.refusing = Some(self.store().clone());
    }

    /// Of each batch since then: the ways to refuse it that fit.
    pub fn handed_over(&self) -> Vec<Vec<No>> {
        self.refusing.as_ref().map_or_else(Vec::new, Store::handed_over)
    }

    /// The process is gone without a word, and another one has opened what it left behind.
    pub async fn crash(&mut self) -> Result<(), EngineError> {
        // A latched store says so once more.
        let _ = self.store().clone().close().await;
        self.open_again().await
    }

    async fn open_again(&mut self) -> Result<(), EngineError> {
        // Instances of the process before hold nothing here.
        self.gates = Arc::new(self.gates.again());
        self.engine = open(&self.drive, (self.options, self.keeps_all), &self.clock, &self.gates).await?;
        Ok(())
    }

    pub async fn act(&mut self, act: Act) -> Result<(), EngineError> {
        let (engine, local) = (self.engine.clone(), Principal::local());
        let first = self.called.first().copied().unwrap_or(TaskId::from_bytes([0; 16]));
        match act {
            Act::Call(tool, script) => self.call(tool, script, None).await?,
            Act::Keyed(tool, script) => self.call(tool, script, Some("k")).await?,
            Act::Streamed(tool, script) => {
                let row = |id: TaskId, _, _| {
                    vec![WingWrite::Put(WingSpace::Event, id.as_bytes().to_vec(), b"begun".to_vec())]
                };
                let submission = submission(tool, script, Some("k"));
                let (submitted, ..) = engine.submit_for_stream(&submission, row).await?;
                self.note(submitted.id);
            }
            Act::Cancel => drop(engine.cancel(&local, first, Some("enough".into())).await?),
            Act::Retry(step) => drop(engine.retry(&local, first, step).await?),
            Act::RetryChild => {
                let query = TaskQuery { parent: Some(first), ..TaskQuery::default() };
                let child = engine.tasks(&local, &query).await?.tasks.remove(0).id;
                drop(engine.retry(&local, child, None).await?);
            }
            Act::Done(step) => {
                drop(engine.resolve(&local, first, step, Resolution::Done(json!("it came"))).await?)
            }
            Act::Failed(step) => drop(engine.resolve(&local, first, step, Resolution::Failed).await?),
            Act::Resend(step) => drop(engine.resolve(&local, first, step, Resolution::Resend).await?),
            Act::Answer => self.answer(Given::Accept(json!({"n": 7}))).await?,
            Act::Decline => self.answer(Given::Decline).await?,
            Act::Send => {
                let key = Some("m".to_owned());
                let message = messages::Outgoing { name: "news".into(), payload: json!(1), key };
                engine.send(&local, first, message).await?;
            }
            Act::Put(key) => self.write(StateWrite::put(key, "2")).await?,
            Act::PutIf(key, version) => {
                self.write(StateWrite::put(key, "3").if_version(Some(version))).await?
            }
            Act::PutFor(key, seconds) => {
                self.write(StateWrite::put(key, "4").ttl_seconds(Some(seconds))).await?
            }
            Act::Delete(key) => self.write(StateWrite::delete(key)).await?,
            Act::NewToken(name) => {
                let grant =
                    TokenGrant { name: name.to_owned(), tools: vec!["*".into()], ..TokenGrant::default() };
                drop(engine.new_token(&local, grant).await?);
            }
            Act::Revoke(name) => engine.revoke_token(&local, name).await?,
            Act::Component => drop(engine.store_component(Arc::from(&b"bytes"[..]), "a component").await?),
            Act::Setting => engine.put_setting("a setting", b"set".to_vec()).await?,
            Act::Grants => engine.audit_grants(&local, &engine.catalog()).await?,
            Act::Forget => drop(engine.delete(&local, first).await?),
            Act::Sweep => drop(engine.sweep().await?),
            Act::Pass(seconds) => self.clock.advance(Duration::from_secs(seconds)),
            Act::Let => self.gates.passes.send_modify(|passes| *passes += 1),
            Act::Mend => self.gates.is_broken.store(false, Ordering::SeqCst),
            Act::Crash => self.crash().await?,
            Act::Close => {
                engine.shutdown().await;
                self.open_again().await?;
            }
            Act::Start => engine.start().await?,
        }
        Ok(())
    }

    async fn call(&mut self, tool: &str, script: &str, key: Option<&str>) -> Result<(), EngineError> {
        let submitted = self.engine.submit(submission(tool, script, key)).await?;
        self.note(submitted.id);
        Ok(())
    }

    fn note(&mut self, id: TaskId) {
        if !self.called.contains(&id) {
            self.called.push(id);
        }
    }

    async fn answer(&self, given: Given) -> Result<(), EngineError> {
        let via = AnsweredVia { channel: "a test", is_person: true };
        self.engine.answer(&Principal::local(), self.called[0], None, given, via).await.map(drop)
    }

    async fn write(&self, write: StateWrite) -> Result<(), EngineError> {
        self.engine.state_write(&Principal::local(), "board", vec![write]).await.map(drop)
    }

    /// Waits until nothing goes on any more. The error says what does not end.
    pub async fn rest(&self) -> Result<(), String> {
        let (shared, mut quiet, begun) = (&self.engine.shared, 0, Instant::now());
        let mut before = None;
        while quiet < QUIET_ROUNDS {
            for _ in 0..YIELDS {
                tokio::task::yield_now().await;
            }
            // What is on its way has arrived, and has been published.
            if let Ok(ack) = shared.store.enqueue(Batch::new()) {
                let _ = ack.await;
            }
            let lives = shared.live_bound - shared.live.available_permits();
            let held = self.gates.held.load(Ordering::SeqCst);
            let now = (shared.store.handed_over().len(), lives, held, shared.memory.ready.is_empty());
            let may_begin = shared.is_running() && lives < shared.live_bound;
            let is_quiet = lives == held && (now.3 || !may_begin);
            quiet = if is_quiet && before == Some(now) { quiet + 1 } else { 0 };
            before = Some(now);
            if begun.elapsed() > PATIENCE {
                return Err(format!("{lives} instances live, of which {held} are held: it does not end"));
            }
        }
        if shared.is_running() {
            // What waits leaves memory, so that whatever comes next finds it on disk.
            rest::let_go(shared).await;
        }
        Ok(())
    }
}

fn submission(tool: &str, script: &str, key: Option<&str>) -> Submission {
    Submission {
        tool: tool.into(),
        arguments: json!({ "do": script }),
        principal: Principal::local(),
        idempotency_key: key.map(str::to_owned),
        trace: None,
    }
}

async fn open(
    drive: &Drive,
    (store, keeps_all): (StoreOptions, bool),
    clock: &ManualClock,
    gates: &Arc<Gates>,
) -> Result<TaskEngine, EngineError> {
    let guests = Guests::new(gates);
    let catalog = Arc::new(guests.catalog());
    let mut options = EngineOptions {
        clock: Arc::new(clock.clone()),
        // One after the other: the order of commits is the same in every run.
        live_instances: 1,
        sampler: Some(Arc::new(Model)),
        store,
        ..EngineOptions::default()
    };
    if keeps_all {
        (options.retention, options.audit_retention) = (None, None);
    }
    let memory = Arc::new(Memory::new(options.clock.clone()));
    let store = Store::open_on(drive, options.store, memory.clone())?;
    let engine = TaskEngine::with_store(store, memory, Arc::new(guests), options).await?;
    engine.set_catalog(catalog);
    Ok(engine)
}
