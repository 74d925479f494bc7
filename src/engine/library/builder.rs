//! Opening an engine, one setting at a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::{Catalog, ToolBounds};
use crate::clock::Clock;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::memory::task_trees::TreeBounds;
use crate::engine::open::EngineOptions;
use crate::engine::ports::Sampler;
use crate::engine::runner::Runner;
use crate::engine::runners::closures::Closures;
use crate::store::Durability;

/// An engine that is to be opened; made by [`TaskEngine::builder`]. What is not set is as [`EngineOptions::default`]
/// has it.
///
/// ```
/// # // Programs see these names in the crate that shows all floors, which this one cannot import.
/// # mod longhaul { pub use longhaul_engine::engine::{closures::*, *}; }
/// # async fn program(folder: &std::path::Path) -> Result<(), longhaul::EngineError> {
/// use std::time::Duration;
/// use longhaul::{Closures, TaskEngine};
///
/// let engine = TaskEngine::builder(folder)
///     .closures(Closures::new())
///     .retention(Some(Duration::from_secs(24 * 60 * 60)))
///     .start()
///     .await?;
/// engine.shutdown().await;
/// # Ok(())
/// # }
/// # let folder = tempfile::tempdir().unwrap();
/// # tokio::runtime::Runtime::new().unwrap().block_on(program(folder.path())).unwrap();
/// ```
#[must_use = "nothing is opened before `start` or `open`"]
pub struct EngineBuilder {
    folder: PathBuf,
    options: EngineOptions,
    runner: Tools,
    catalog: Option<Catalog>,
}

/// What runs the tools.
enum Tools {
    Closures(Closures),
    Runner(Arc<dyn Runner>),
}

impl TaskEngine {
    /// Begins to open the engine whose store is in `folder`, which is made if it is not there.
    pub fn builder(folder: impl Into<PathBuf>) -> EngineBuilder {
        EngineBuilder {
            folder: folder.into(),
            options: EngineOptions::default(),
            runner: Tools::Closures(Closures::new()),
            catalog: None,
        }
    }
}

impl EngineBuilder {
    /// Runs these closures, and offers their tools.
    pub fn closures(mut self, closures: Closures) -> Self {
        self.runner = Tools::Closures(closures);
        self
    }

    /// Runs tools by `runner`, such as a `Sandbox`. What it offers is set by [`Self::catalog`].
    pub fn runner(mut self, runner: Arc<dyn Runner>) -> Self {
        self.runner = Tools::Runner(runner);
        self
    }

    /// Which tools can be called; without it those of the closures.
    pub fn catalog(mut self, catalog: Catalog) -> Self {
        self.catalog = Some(catalog);
        self
    }

    /// What a commit waits for; `Durability::Full`, the default, survives the loss of power.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.options.store.durability = durability;
        self
    }

    /// Where times come from; a `ManualClock` makes tests instant.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.options.clock = clock;
        self
    }

    /// How many attempts live at once, all of them the owner's where no one else has any; see
    /// [`limits::MAX_LIVE_INSTANCES`](crate::limits::MAX_LIVE_INSTANCES), which is what a sandbox has room for.
    pub fn live_instances(mut self, instances: usize) -> Self {
        self.options.live_instances = instances;
        self
    }

    /// What all tasks of a tool may do together, of all callers.
    pub fn tool_bounds(mut self, tool: impl Into<String>, bounds: ToolBounds) -> Self {
        self.options.tool_bounds.insert(tool.into(), bounds);
        self
    }

    /// How long ended tasks are kept; `None` is for ever.
    pub fn retention(mut self, retention: Option<Duration>) -> Self {
        self.options.retention = retention;
        self
    }

    /// How long rows of the audit are kept; `None` is for ever.
    pub fn audit_retention(mut self, retention: Option<Duration>) -> Self {
        self.options.audit_retention = retention;
        self
    }

    /// What is kept of each task's steps, KiB; 0 is nothing. See [`EngineOptions::trace_kib`].
    pub fn trace_kib(mut self, kib: u64) -> Self {
        self.options.trace_kib = kib;
        self
    }

    /// What samples where no client can.
    pub fn sampler(mut self, sampler: Arc<dyn Sampler>) -> Self {
        self.options.sampler = Some(sampler);
        self
    }

    /// How far tasks may call tasks.
    pub fn tree(mut self, bounds: TreeBounds) -> Self {
        self.options.tree = bounds;
        self
    }

    /// Opens the engine and begins to run its open tasks.
    ///
    /// # Errors
    /// As [`Self::open`] and [`TaskEngine::start`].
    pub async fn start(self) -> Result<TaskEngine, EngineError> {
        let engine = self.open().await?;
        engine.start().await?;
        Ok(engine)
    }

    /// Opens the engine; nothing runs before [`TaskEngine::start`].
    ///
    /// # Errors
    /// [`EngineError::Catalog`] where a tool cannot be offered; [`EngineError::Store`] where the folder cannot be
    /// opened, or another process has it.
    pub async fn open(self) -> Result<TaskEngine, EngineError> {
        let (runner, catalog) = resolve(self.runner, self.catalog)?;
        let engine = TaskEngine::open(&self.folder, runner, self.options).await?;
        engine.set_catalog(catalog);
        Ok(engine)
    }

    /// Opens a store that no process has open, to look at it: what would write is refused.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_to_read(self) -> Result<TaskEngine, EngineError> {
        let (runner, catalog) = resolve(self.runner, self.catalog)?;
        let engine = TaskEngine::open_to_read(&self.folder, runner, self.options).await?;
        engine.set_catalog(catalog);
        Ok(engine)
    }
}

fn resolve(tools: Tools, catalog: Option<Catalog>) -> Result<(Arc<dyn Runner>, Arc<Catalog>), EngineError> {
    let (runner, own): (Arc<dyn Runner>, _) = match tools {
        Tools::Closures(closures) => {
            let own = closures.catalog()?;
            (Arc::new(closures), own)
        }
        Tools::Runner(runner) => (runner, Catalog::default()),
    };
    Ok((runner, Arc::new(catalog.unwrap_or(own))))
}
