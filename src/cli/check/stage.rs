//! A scratch engine with one task, made afresh for each run from one store: so each run has the same task, seed and time.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::answers::Answers;
use super::drive::{Run, drive};
use super::folders::{Folders, unusable};
use super::play::{Play, PlayedRunner, Switch, played_component};
use crate::authority::Principal;
use crate::catalog::{Catalog, Component, Tool, ToolDefinition, ToolEntry};
use crate::cli::exit::{CliError, Result};
use crate::cli::scratch::Scratch;
use crate::cli::server::load::Loaded;
use crate::clock::{Clock, ManualClock, SystemClock, UnixNanos};
use crate::engine::messages::Outgoing;
use crate::engine::{EngineError, EngineOptions, Plan, Probe, Runner, Submission, TaskEngine};
use crate::limits;
use crate::sandbox::Sandbox;
use crate::store::{DiskBounds, StoreOptions};
use crate::task::TaskId;

pub struct Stage {
    scratch: Scratch,
    runner: Arc<PlayedRunner>,
    switch: Arc<Switch>,
    catalog: Arc<Catalog>,
    answers: Arc<Answers>,
    folders: Folders,
    pub id: TaskId,
    /// When every run begins.
    begins: UnixNanos,
}

/// Records of waits, by the runner's names.
const IS_LOOK: [&str; 4] = ["poll.poll", "pollable.ready", "pollable.block", "waits.wait"];

/// Calls in folders, likewise.
const OF_FILES: &str = "filesystem";

/// Where a run is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Never,
    /// After so many records.
    Record(u64),
    /// While this request is out, from 1.
    Request(usize),
}

impl Stage {
    pub async fn set(
        (loaded, tool, arguments): (&Loaded, &str, Value),
        (scratch, folders): (Scratch, Folders),
        answers: Answers,
        (sandbox, switch): (Arc<Sandbox>, Arc<Switch>),
    ) -> Result<Self> {
        let holdings = &loaded.component.holdings;
        let grant = folders.on(holdings.grant.clone(), &holdings.requested.files);
        let component = loaded.component.clone().granted(grant);
        let answers = Arc::new(answers);
        let mut stage = Self {
            scratch,
            runner: Arc::new(PlayedRunner { sandbox, switch: switch.clone() }),
            switch,
            catalog: Arc::new(catalog(component, &answers)?),
            answers,
            folders,
            id: TaskId::from_bytes([0; 16]),
            begins: SystemClock::default().wall(),
        };
        let template = stage.template();
        let engine = stage.open(&template, stage.options(stage.clock())).await?;
        let submitted = stage.submit(&engine, loaded, tool, arguments).await;
        engine.shutdown().await;
        stage.id = submitted?;
        Ok(stage)
    }

    async fn submit(
        &self,
        engine: &TaskEngine,
        loaded: &Loaded,
        tool: &str,
        arguments: Value,
    ) -> Result<TaskId> {
        engine.store_component(loaded.bytes.clone(), &loaded.component.name).await?;
        let submission = Submission {
            tool: tool.to_owned(),
            arguments,
            principal: Principal::local(),
            idempotency_key: None,
            trace: None,
        };
        let id = engine.submit(submission).await.map_err(usage)?.id;
        for message in &self.answers.messages {
            let message =
                Outgoing { name: message.name.clone(), payload: message.payload.clone(), key: None };
            engine.send(&Principal::local(), id, message).await.map_err(usage)?;
        }
        Ok(id)
    }

    /// Runs the task to its end, in a store of its own.
    pub async fn run(&self, cut: Cut) -> Result<Run> {
        let folder = self.scratch.path().join("run");
        copy(&self.template(), &folder)?;
        self.folders.lay_out()?;
        let (plan, cut_at) = match cut {
            Cut::Never => (Plan::Watch, None),
            Cut::Record(after) => (Plan::InterruptAfter(after), None),
            Cut::Request(number) => (Plan::Watch, Some(number)),
        };
        let play = Arc::new(Play::new(self.answers.clone(), cut_at));
        self.switch.set(play.clone());
        let clock = self.clock();
        let probe = Arc::new(Probe::new(plan));
        let options = EngineOptions {
            sampler: Some(play.clone()),
            models: Some(play.clone()),
            probe: Some(probe.clone()),
            ..self.options(clock.clone())
        };
        let engine = self.open(&folder, options).await?;
        engine.start().await?;
        let at_most = Duration::from_secs(limits::MAX_CHECK_RUN_SECONDS);
        let run =
            tokio::time::timeout(at_most, drive(&engine, self.id, &self.answers, (&play, &probe, &clock)));
        let mut run = run.await.unwrap_or_else(|_| {
            Err(CliError::failed(format_args!("a run takes longer than {} s", at_most.as_secs())))
        });
        if let Ok(run) = &mut run {
            // How often it looked, and what was ready then, is no doing of its own.
            run.calls.retain(|(kind, _)| !IS_LOOK.contains(&self.runner.describe(*kind, &[]).0));
            // Which file it is counts in the hash, and each run has files of its own.
            let is_of_files = |kind: u8| self.runner.describe(kind, &[]).0 == OF_FILES;
            for (_, hash) in run.calls.iter_mut().filter(|(kind, _)| is_of_files(*kind)) {
                *hash = 0;
                run.used.has_files = true;
            }
        }
        engine.shutdown().await;
        drop(engine);
        if let Ok(run) = &mut run {
            run.left = self.folders.left()?;
        }
        fs::remove_dir_all(&folder).map_err(|error| unusable(&folder, &error))?;
        run
    }

    fn template(&self) -> PathBuf {
        self.scratch.path().join("template")
    }

    fn clock(&self) -> Arc<ManualClock> {
        Arc::new(ManualClock::starting_at(self.begins))
    }

    fn options(&self, clock: Arc<ManualClock>) -> EngineOptions {
        let disk = DiskBounds { reserve: Some(0), watermark: Some(0) };
        let mut store = StoreOptions::default();
        store.disk = disk;
        EngineOptions { store, clock, retention: None, audit_retention: None, ..EngineOptions::default() }
    }

    async fn open(&self, folder: &Path, options: EngineOptions) -> Result<TaskEngine> {
        let engine = TaskEngine::open(folder, self.runner.clone(), options).await?;
        engine.set_catalog(self.catalog.clone());
        Ok(engine)
    }
}

/// What the call came to lies with who called.
fn usage(error: EngineError) -> CliError {
    let error = CliError::from(error);
    CliError::usage(error.message)
}

/// The component's own tools for its caller; those that it may call, played, for itself.
fn catalog(component: Component, answers: &Answers) -> Result<Catalog> {
    let own: Vec<&str> = component.tools.iter().map(|entry| entry.tool.definition.name.as_str()).collect();
    let requested = component.holdings.grant.tools.iter().filter(|name| !name.contains('*'));
    let mut names: Vec<&String> = answers.tools.keys().chain(requested).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !own.contains(&name.as_str()));
    let played = names.into_iter().map(|name| {
        let definition = ToolDefinition::new(name.clone(), "", json!({ "type": "object" }));
        let tool = Tool::new(definition, played_component(), "played");
        let entry = if name.contains('/') { ToolEntry::remote(tool) } else { ToolEntry::new(tool) };
        entry.map_err(|error| CliError::usage(format_args!("[tools.{name}]: {error}")))
    });
    let played = played.collect::<Result<Vec<_>>>()?;
    let served = Catalog::default().with(component).map_err(CliError::usage)?;
    Ok(served.with_reachable(played))
}

/// A closed store, to another folder.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = || {
        fs::DirBuilder::new().mode(0o700).create(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    };
    copied().map_err(|error: io::Error| unusable(to, &error))
}
