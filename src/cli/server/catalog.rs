//! From the component files of the settings to what is served of them, and what waits for a person's approval: each as soon
//! as it is compiled, those first that were compiled before.

use std::path::PathBuf;
use std::sync::Arc;

use super::load::{self, Loaded};
use crate::api;
use crate::authority::Principal;
use crate::catalog::{
    Admission, Catalog, CatalogError, Component, ComponentFile, FirstSight, Lock, Pending, Reasons,
    RequestText, Unapproved,
};
use crate::cli::config::Settings;
use crate::cli::exit::{CliError, Result};
use crate::cli::show::render::{escape, escape_text};
use crate::clock::rfc3339;
use crate::engine::{Added, AddedVersion, Approvals, Runner, TaskEngine, flags_of};
use crate::launch::{Launch, Programs};
use crate::task::ComponentId;

/// Where nothing runs: looks at all of them, and leaves the engine with the catalog that it would start with.
pub async fn of_files(
    engine: &TaskEngine,
    runner: &dyn Runner,
    paths: Vec<PathBuf>,
    settings: &Settings,
) -> Result<Catalog> {
    engine.set_catalog(empty());
    let here = Launch::here(Programs::new());
    let mut loader = Loader::new(engine, runner, settings, &here).await?;
    let files = loader.take_compiled(load::find(paths).await?).await?;
    loader.take_all(files).await?;
    loader.take_added().await?;
    loader.finish().await?;
    Ok(Catalog::clone(&engine.catalog()))
}

/// What a server starts with: nothing, to which components are being added.
pub fn empty() -> Arc<Catalog> {
    Arc::new(Catalog::reserving(api::names()).loading())
}

/// Adds components to the catalog of an engine, and says on stderr what becomes of each. One that cannot be served keeps no
/// other from it.
pub struct Loader<'a> {
    engine: &'a TaskEngine,
    runner: &'a dyn Runner,
    settings: &'a Settings,
    /// Has read what this process may not.
    launch: &'a Launch,
    approvals: Approvals,
    /// The components' names in the order in which they were named: of two with one tool the first has it, whichever is
    /// ready first.
    order: Vec<String>,
    first_error: Option<CliError>,
}

impl<'a> Loader<'a> {
    pub async fn new(
        engine: &'a TaskEngine,
        runner: &'a dyn Runner,
        settings: &'a Settings,
        launch: &'a Launch,
    ) -> Result<Self> {
        let lock = settings.lock_file.as_deref().map_or_else(|| Ok(Lock::default()), Lock::read);
        let approvals = engine.approvals(lock.map_err(CliError::usage)?).await?;
        Ok(Self { engine, runner, settings, launch, approvals, order: Vec::new(), first_error: None })
    }

    /// Those that need not be compiled are taken; the others are given back, and stand in the catalog as what they are.
    pub async fn take_compiled(&mut self, files: Vec<ComponentFile>) -> Result<Vec<ComponentFile>> {
        let pending = |catalog: &Catalog| {
            files
                .iter()
                .fold(catalog.clone(), |catalog, file| catalog.with_pending(&file.name, Pending::Compiling))
        };
        self.change(|catalog| (pending(catalog), ())).await?;
        let mut rest = Vec::new();
        for file in files {
            let is_second = self.order.contains(&file.name);
            if !is_second {
                self.order.push(file.name.clone());
            }
            match load::read_by(&file, self.launch).await {
                Ok((bytes, requests))
                    if !is_second && self.runner.is_compiled(&ComponentId::of_bytes(&bytes)) =>
                {
                    let loaded = self.inspect(&file, (bytes, &requests)).await;
                    self.take(&file, loaded).await?;
                }
                Ok((bytes, _)) => rest.push((is_second, bytes.len(), file)),
                Err(error) => self.take(&file, Err(error)).await?,
            }
        }
        // What is small is soon compiled.
        rest.sort_by_key(|(is_second, bytes, _)| (*is_second, *bytes));
        Ok(rest.into_iter().map(|(.., file)| file).collect())
    }

    /// One after another.
    pub async fn take_all(&mut self, files: Vec<ComponentFile>) -> Result<()> {
        for file in files {
            let loaded = match load::read_by(&file, self.launch).await {
                Ok((bytes, requests)) => self.inspect(&file, (bytes, &requests)).await,
                Err(error) => Err(error),
            };
            self.take(&file, loaded).await?;
        }
        Ok(())
    }

    /// What `tool add` has added, from the store. Where a file of that name was named, that is served.
    pub async fn take_added(&mut self) -> Result<()> {
        // No flag names it, so that there is none to mend before the server can start.
        let of_files = self.first_error.clone();
        for added in self.engine.added().await? {
            let Added { name, version, before, .. } = added;
            if self.order.contains(&name) {
                eprintln!("{}: what was added is not served, since a file of that name is", escape(&name));
                continue;
            }
            self.order.push(name.clone());
            self.stands(&name, Pending::Compiling).await?;
            let (file, loaded) = self.loaded(&name, version).await?;
            self.take(&file, loaded).await?;
            let is_served = self.engine.catalog().component(&name).is_some();
            if let Some(before) = before.filter(|_| !is_served) {
                self.serve_before(&name, before).await?;
            }
        }
        self.first_error = of_files;
        Ok(())
    }

    async fn loaded(&self, name: &str, version: AddedVersion) -> Result<(ComponentFile, Result<Loaded>)> {
        let AddedVersion { component, requests, from } = version;
        let file = ComponentFile { name: name.to_owned(), path: from, own: false };
        let bytes = self.engine.component_bytes(&component).await?;
        let loaded = self.inspect(&file, (bytes, &requests)).await;
        Ok((file, loaded))
    }

    /// What was approved before another version was added that waits; it may have lost that, or its names, meanwhile.
    async fn serve_before(&mut self, name: &str, before: AddedVersion) -> Result<()> {
        let (_, loaded) = self.loaded(name, before).await?;
        let Ok(loaded) = loaded else { return Ok(()) };
        if let Admitted::Served(component, words) = self.admitted(&loaded)
            && self.serve(*component).await?.is_ok()
        {
            eprintln!(
                "  {} is served until then as what was approved, {}",
                escape(name),
                loaded.component.id
            );
            say(words);
        }
        Ok(())
    }

    /// Another version of one, or one that is new, while the server serves. Where it cannot be served, what there is
    /// of its name stays.
    pub async fn replace(mut self, file: &ComponentFile, read: (Arc<[u8]>, &RequestText)) -> Result<()> {
        let loaded = self.inspect(file, read).await?;
        let name = loaded.component.name.clone();
        if !is_kept(self.engine, &loaded).await? {
            return Err(CliError::failed("the disk has no room to keep it; make some, then change it again"));
        }
        match self.admitted(&loaded) {
            Admitted::Served(component, words) => {
                say(load::summary(&component).into_iter().chain(words));
                let replaced = self.change(|catalog| match catalog.without(&name).with(*component) {
                    Ok(with) => (with, Ok(())),
                    Err(error) => (catalog.clone(), Err(error)),
                });
                replaced.await?.map_err(CliError::usage)?;
            }
            Admitted::Waits(waiting) => {
                say(load::summary(&waiting.component));
                say_waiting(&name, &waiting.reasons);
                self.change(|catalog| (catalog.with_unapproved(*waiting), ())).await?;
            }
        }
        self.look_again(&loaded).await?;
        Ok(self.engine.pin_components(&Principal::local(), self.approvals).await?)
    }

    /// Nothing is added any more. It is an error where there is nothing to serve, and something should have been.
    pub async fn finish(self) -> Result<()> {
        self.engine.pin_components(&Principal::local(), self.approvals).await?;
        let catalog = self.engine.catalog();
        match self.first_error {
            Some(error) if catalog.tools().len() == 0 && catalog.unapproved().len() == 0 => Err(error),
            _ => Ok(()),
        }
    }

    async fn inspect(&self, file: &ComponentFile, read: (Arc<[u8]>, &RequestText)) -> Result<Loaded> {
        let Settings { operator, trust, .. } = self.settings;
        load::inspect(file.clone(), read, self.runner, operator, *trust).await
    }

    /// What becomes of one; an error is none of the component's.
    async fn take(&mut self, file: &ComponentFile, loaded: Result<Loaded>) -> Result<()> {
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return self.leave_out(&file.name, error).await,
        };
        let name = loaded.component.name.clone();
        if !is_kept(self.engine, &loaded).await? {
            let why = "the disk has no room to keep it; make some and start again";
            eprintln!("{} is not served: {why}", escape(&name));
            return self.stands(&name, Pending::Failed(why.to_owned())).await;
        }
        match self.admitted(&loaded) {
            Admitted::Served(component, words) => {
                say(load::summary(&component).into_iter().chain(words));
                if let Err(error) = self.serve(*component).await? {
                    return self.leave_out(&name, CliError::usage(error)).await;
                }
            }
            Admitted::Waits(waiting) => {
                say(load::summary(&waiting.component));
                say_waiting(&name, &waiting.reasons);
                self.change(|catalog| (catalog.with_unapproved(*waiting), ())).await?;
            }
        }
        self.look_again(&loaded).await
    }

    /// Where another has a tool of it that was named later, that one goes.
    async fn serve(&mut self, component: Component) -> Result<Result<(), CatalogError>> {
        let mut later = Vec::new();
        let added = loop {
            match self.add(&component).await? {
                Ok(()) => break Ok(()),
                Err(error) => match self.named_later(&component.name, &error) {
                    Some(other) => {
                        self.change(|catalog| (catalog.without(&other.name), ())).await?;
                        later.push(other);
                    }
                    None => break Err(error),
                },
            }
        };
        for other in later {
            if let Err(error) = self.add(&other).await? {
                self.leave_out(&other.name, CliError::usage(error)).await?;
            }
        }
        Ok(added)
    }

    async fn add(&self, component: &Component) -> Result<Result<(), CatalogError>> {
        let with = self.change(|catalog| match catalog.with(component.clone()) {
            Ok(with) => (with, Ok(())),
            Err(error) => (catalog.clone(), Err(error)),
        });
        with.await
    }

    /// The component that is in the way, where it was named behind this one.
    fn named_later(&self, name: &str, error: &CatalogError) -> Option<Component> {
        let (CatalogError::ToolTaken { owner: there, .. } | CatalogError::ComponentTaken { there, .. }) =
            error
        else {
            return None;
        };
        let place = |name: &str| self.order.iter().position(|named| named == name);
        let other = self.engine.catalog().component(there).map(|other| Component::clone(other));
        other.filter(|_| place(there) > place(name))
    }

    async fn leave_out(&mut self, name: &str, error: CliError) -> Result<()> {
        eprintln!("left out: {}", escape_text(&error.to_string()));
        let why = error.message.clone();
        self.first_error.get_or_insert(error);
        self.stands(name, Pending::Failed(why)).await
    }

    async fn stands(&self, name: &str, pending: Pending) -> Result<()> {
        self.change(|catalog| (catalog.with_pending(name, pending), ())).await
    }

    async fn change<T>(&self, change: impl FnOnce(&Catalog) -> (Catalog, T)) -> Result<T> {
        Ok(self.engine.change_catalog(&Principal::local(), change).await?)
    }

    fn admitted(&mut self, loaded: &Loaded) -> Admitted {
        let component = loaded.component.clone();
        let Some(statement) = &loaded.statement else { return Admitted::Served(Box::new(component), None) };
        let flags = flags_of(&self.engine.catalog(), &component.name, statement);
        match self.approvals.admit(&component.name, statement, &flags) {
            Admission::Approved(approval) => {
                let until = approval.expires_at;
                let words = until.map(|at| format!("  its approval ends at {}", rfc3339(at)));
                Admitted::Served(Box::new(component.approved_as(approval)), words)
            }
            Admission::Pinned(why, approval) => {
                let words = (why == FirstSight::GrantedBefore).then(|| {
                    format!(
                        "  what {} is now counts as approved, with what it is granted; any change of either waits for a person",
                        component.name
                    )
                });
                Admitted::Served(Box::new(component.approved_as(approval)), words)
            }
            Admission::Waits(reasons) => {
                Admitted::Waits(Box::new(Unapproved { component, statement: statement.clone(), reasons }))
            }
        }
    }

    /// What was taken at first sight before this one may speak of its tools, which were not known then.
    async fn look_again(&mut self, new: &Loaded) -> Result<()> {
        let pinned = self.approvals.pinned_at_first_sight();
        let catalog = self.engine.catalog();
        for (name, statement) in pinned.into_iter().filter(|(name, _)| *name != new.component.name) {
            let flags = flags_of(&catalog, &name, &statement);
            let Some(component) = catalog.component(&name).filter(|_| !flags.is_empty()) else { continue };
            self.approvals.withdraw(&name);
            let Admission::Waits(reasons) = self.approvals.admit(&name, &statement, &flags) else { continue };
            say_waiting(&name, &reasons);
            let waiting = Unapproved { component: (**component).clone(), statement, reasons };
            self.change(|catalog| (catalog.with_unapproved(waiting), ())).await?;
        }
        Ok(())
    }
}

/// A component as it is served, with what is to be said of that, or as what a person has to see first.
enum Admitted {
    Served(Box<Component>, Option<String>),
    Waits(Box<Unapproved>),
}

fn say(lines: impl IntoIterator<Item = String>) {
    lines.into_iter().for_each(|line| eprintln!("{}", escape(&line)));
}

/// Whether the store has the component's bytes, without which its tasks could not go on.
async fn is_kept(engine: &TaskEngine, loaded: &Loaded) -> Result<bool> {
    match engine.store_component(loaded.bytes.clone(), &loaded.component.name).await {
        Err(error) if error.passes() => Ok(false),
        stored => Ok(stored.map(|_| true)?),
    }
}

fn say_waiting(name: &str, reasons: &Reasons) {
    let name = escape(name);
    eprintln!("  {name} is not served: {}", reasons.summary());
    reasons.lines.iter().for_each(|line| eprintln!("    {}", escape(line)));
    eprintln!("  to look at it and serve it: longhaul tool approve {name}");
}
