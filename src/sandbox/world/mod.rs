//! The deterministic world: stock WASI 0.2, with our own in place of what two runs could see differently.
//!
//! | interface                          | treatment                                                        |
//! |------------------------------------|------------------------------------------------------------------|
//! | `io/poll`                          | which were ready is journaled                                    |
//! | `clocks/*`                         | logical time of the recorder; timers have an absolute due time   |
//! | `random/*`                         | a function of the task's seed                                    |
//! | `cli/stdout`, `cli/stderr`         | into the task's log; any write is taken at once                  |
//! | `cli/stdin`                        | empty and closed                                                 |
//! | `cli/environment`                  | no variables, no arguments but the program's name, no directory  |
//! | `filesystem/*`                     | the granted folders; what a call came to is on disk: `files/`    |
//! | `sockets/*`                        | denied                                                           |
//! | `http/*`                           | each exchange is an operation with its outcome on disk, and what streams is there before it shows: `http/` |
//!
//! Handles (streams, pollables, futures) are not virtual: replay makes them again by the same calls.

pub mod clocks;
pub mod files;
pub mod http;
pub mod journal;
pub mod linker;
pub mod poll;
pub mod random;
pub mod stdio;
pub mod tickets;

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::types::HostFutureIncomingResponse;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use self::clocks::{Clocks, Timers};
use self::files::{Files, FolderAccess};
use self::journal::Journal;
use self::random::{Purpose, SeededRandom};
use self::stdio::{Capture, LogStream, Stream};
use self::tickets::Tickets;
use super::limiter::Limiter;
use super::stop::Stop;
use super::threads::Meter;
use crate::authority::Grant;
use crate::limits;
use crate::task::Variable;

/// What every guest sees as its own name.
const PROGRAM_NAME: &str = "tool";

/// The state of one instance.
pub struct World {
    pub journal: Journal,
    pub meter: Arc<Meter>,
    pub limiter: Limiter,
    pub tickets: Tickets,
    pub grant: Grant,
    /// Outputs that models write into, by the tickets of what was asked.
    pub model_outputs: BTreeMap<u64, String>,
    /// The guest heard that it is to be cancelled.
    pub saw_cancellation: bool,
    timers: Timers,
    files: Files,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    http_hooks: http::Hooks,
}

impl World {
    /// A world at the beginning of an epoch, or at that of its replay. `capture` also gets what is printed.
    pub fn new(
        journal: Journal,
        limiter: Limiter,
        grant: Grant,
        environment: &[Variable],
        capture: Option<Capture>,
    ) -> Self {
        let seed = journal.seed();
        let stream = |stream| LogStream { journal: journal.clone(), stream, capture: capture.clone() };
        let wasi = WasiCtx::builder()
            .arg(PROGRAM_NAME)
            .envs(environment)
            .stdout(stream(Stream::Stdout))
            .stderr(stream(Stream::Stderr))
            .secure_random(SeededRandom::new(&seed, Purpose::Secure))
            .insecure_random(SeededRandom::new(&seed, Purpose::Insecure))
            .insecure_random_seed(u128::from_le_bytes(SeededRandom::new(&seed, Purpose::HashSeed).bytes()))
            .max_random_size(limits::MAX_RANDOM_BYTES)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::MAX_HANDLES);
        Self {
            meter: Arc::default(),
            limiter,
            tickets: Tickets::default(),
            model_outputs: BTreeMap::new(),
            saw_cancellation: false,
            timers: Timers::default(),
            files: Files::new(journal.clone(), grant.files.clone(), None),
            table,
            wasi,
            http: WasiHttpCtx::new(),
            http_hooks: http::Hooks::new(journal.exchanges().cloned(), grant.clone()),
            grant,
            journal,
        }
    }
}

impl World {
    /// With a way to the folders that are granted.
    #[must_use]
    pub fn with_folders(self, access: FolderAccess) -> Self {
        let files = Files::new(self.journal.clone(), self.grant.files.clone(), Some(access));
        Self { files, ..self }
    }

    /// Writes what the guest's streams into files have taken and not written yet. To be called before what another program sees,
    /// before a wait, and before what the instance does not outlive.
    pub fn write_pending(&self) -> impl Future<Output = Result<(), Stop>> + Send + use<> {
        let files = self.files.clone();
        async move { files.write_pending().await }
    }

    /// Exchanges whose answers the guest has not been shown yet: a checkpoint would lose them.
    pub fn awaited_answers(&self) -> usize {
        let held = self.journal.exchanges().map(http::Exchanges::held).unwrap_or_default();
        let is_awaited = |handle: &u32| {
            let future = self.table.get(&Resource::<HostFutureIncomingResponse>::new_borrow(*handle));
            matches!(future, Ok(HostFutureIncomingResponse::Pending(_)))
        };
        held.iter().filter(|handle| is_awaited(handle)).count()
    }

    fn clocks(&mut self) -> Clocks<'_> {
        Clocks { table: &mut self.table, timers: &mut self.timers, journal: &self.journal }
    }
}

impl WasiView for World {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for World {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.http_hooks, table: &mut self.table, ctx: &mut self.http }
    }
}
