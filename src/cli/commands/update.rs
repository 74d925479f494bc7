//! `longhaul tool update`: another version of a component, and what becomes of its open tasks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::add;
use super::registry;
use super::trial::{self, Trials};
use crate::api::{ComponentState, ToolMove, ToolTry, TrialOutcome};
use crate::cli::args::{ServerArgs, UpdateArgs};
use crate::cli::client::access::Access;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::server::{catalog, load, open};
use crate::cli::show::render::escape;

/// The component that is meant, and the file of it, where one is named.
struct Named {
    name: String,
    path: Option<PathBuf>,
}

pub async fn run(args: UpdateArgs, context: &Context) -> Result<Exit> {
    let UpdateArgs { what, path, try_tasks, move_tasks, manifest, tools, server } = args;
    let named = Named::of(what, path)?;
    match (try_tasks, move_tasks) {
        (true, _) => try_all(named, tools, &server, context).await,
        (_, true) => move_all(named, tools, &server, context).await,
        _ => {
            if named.path.is_none()
                && let Some(done) =
                    registry::update(&named.name, manifest.as_deref(), &server, context).await?
            {
                return Ok(done);
            }
            if manifest.is_some() {
                return Err(add::no_manifest_here(&named.what()));
            }
            let updated = add::update(named.what(), &server, context).await?;
            add::say(&updated, "updated", context).map(|()| Exit::Done)
        }
    }
}

impl Named {
    fn of(what: String, path: Option<PathBuf>) -> Result<Self> {
        let is_file = |path: &Path| path.extension().is_some_and(|ending| ending == "wasm") && path.exists();
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let Some(path) = path else {
            let path = PathBuf::from(&what);
            return match stem(&path).filter(|_| is_file(&path)) {
                Some(name) => Ok(Self { name, path: Some(add::absolute(&path)?) }),
                None => Ok(Self { name: what, path: None }),
            };
        };
        if !is_file(&path) {
            return Err(CliError::not_found(format_args!("there is no component file {}", path.display()))
                .next("name a .wasm file"));
        }
        if stem(&path).as_deref() != Some(what.as_str()) {
            return Err(CliError::usage(format_args!(
                "{} is no version of {}: a component is named as its file",
                path.display(),
                escape(&what)
            )));
        }
        Ok(Self { name: what, path: Some(add::absolute(&path)?) })
    }

    /// As an update names it.
    fn what(&self) -> String {
        let path = self.path.as_ref().map(|path| path.to_string_lossy().into_owned());
        path.unwrap_or_else(|| self.name.clone())
    }
}

async fn try_all(named: Named, tools: Vec<PathBuf>, server: &ServerArgs, context: &Context) -> Result<Exit> {
    let Named { name, path } = named;
    let mut access = Access::open_to_read(server.url(), context).await?;
    let path = match path {
        None if access.runs_nothing() => file_of(&name, tools, context).await,
        path => Ok(path),
    };
    let tried = match path {
        Ok(path) => trials(&mut access, &name, path, usize::MAX).await,
        Err(error) => Err(error),
    };
    access.close().await;
    trial::show(&tried?, context)
}

/// All pages of a trial, up to so many tasks.
pub(super) async fn trials(
    access: &mut Access,
    name: &str,
    path: Option<PathBuf>,
    at_most: usize,
) -> Result<Trials> {
    let mut trials = Trials::new(name);
    loop {
        let (component, after) = trials.next();
        let request = ToolTry { name: name.to_owned(), path: path.clone(), component, after };
        trials.take(access.run(request).await?);
        if !trials.has_more() || trials.tasks.len() >= at_most {
            return Ok(trials);
        }
    }
}

/// Where no server runs, the file of this name that one would be started with; none where it was added.
async fn file_of(name: &str, tools: Vec<PathBuf>, context: &Context) -> Result<Option<PathBuf>> {
    let paths = if tools.is_empty() { context.settings.tool_paths.clone() } else { tools };
    let found = load::find(paths).await?.into_iter().find(|file| file.name == name);
    found.map(|file| add::absolute(&file.path)).transpose()
}

async fn move_all(named: Named, tools: Vec<PathBuf>, server: &ServerArgs, context: &Context) -> Result<Exit> {
    let Named { name, path } = named;
    if path.is_some() {
        let updated = add::update(Named { name: name.clone(), path }.what(), server, context).await?;
        if updated.state == Some(ComponentState::WaitsForApproval) {
            let name = escape(&name);
            return Err(CliError::refused(format_args!(
                "{name} waits for approval: its tasks are moved to what is approved alone"
            ))
            .next(format!("longhaul tool approve {name}, then longhaul tool update {name} --move-tasks")));
        }
    }
    let mut access = Access::open(server.url(), context).await?;
    let moved = match look_at_all(&access, tools, context).await {
        Ok(()) => moves(&mut access, &name).await,
        Err(error) => Err(error),
    };
    access.close().await;
    trial::show(&moved?, context)
}

async fn moves(access: &mut Access, name: &str) -> Result<Trials> {
    let mut trials = Trials::new(name);
    loop {
        let (component, after) = trials.next();
        let moved = access.run(ToolMove { name: name.to_owned(), component, after }).await;
        match moved {
            Ok(page) => trials.take(page),
            Err(error) => {
                let done = trials.count(TrialOutcome::Moved);
                if done == 0 {
                    return Err(error);
                }
                let message = format!("{}; {done} tasks were moved before that", error.message);
                let again =
                    format!("longhaul tool update {} --move-tasks, which moves the rest", escape(name));
                return Err(CliError { message, next: Some(again), ..error });
            }
        }
        if !trials.has_more() {
            return Ok(trials);
        }
    }
}

/// Where no server runs, what is approved is known once all has been looked at as a start looks at it.
async fn look_at_all(access: &Access, tools: Vec<PathBuf>, context: &Context) -> Result<()> {
    let Access::Store(engine) = access else { return Ok(()) };
    let settings = &context.settings;
    let paths = if tools.is_empty() { settings.tool_paths.clone() } else { tools };
    let sandbox = open::sandbox(context)?;
    let catalog = catalog::of_files(engine, sandbox.as_ref(), paths, settings).await?;
    engine.set_catalog(Arc::new(catalog));
    Ok(())
}
