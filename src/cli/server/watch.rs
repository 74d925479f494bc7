//! `serve --watch`, for authors: what `--tools` names is looked at again and again, and served as it is once it has changed.
//!
//! It looks at times, sizes and numbers of files rather than asks the system for events. A file that is replaced is
//! another one, which a watch on it does not see; a watch on its folder sees drafts, renames and all else that is in it, has
//! to be distinguished from a folder that was replaced as a whole, and sees nothing on a shared disk of a container. To look at
//! a few files twice a second is right for all of them, and costs nothing that could be measured.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{catalog, load};
use crate::catalog::{ComponentFile, RequestText, ToolPath};
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};
use crate::cli::show::render::{escape, escape_text};
use crate::engine::{Runner, TaskEngine};
use crate::limits;
use crate::task::ComponentId;

const INTERVAL: Duration = Duration::from_millis(limits::WATCH_INTERVAL_MS);

/// What `--tools` names, as it was when it was last looked at.
pub struct Watch {
    sources: Vec<Source>,
    /// What was last read of each component that changed.
    read: HashMap<PathBuf, (ComponentId, RequestText)>,
}

/// One path of `--tools`.
#[derive(Clone)]
struct Source {
    path: PathBuf,
    /// What has changed is served from.
    served: Stamps,
    /// It has changed since, and may still be being written.
    changing: Option<Stamps>,
}

/// By the component, what its files look like; of a workspace, by each file in it.
type Stamps = BTreeMap<PathBuf, Vec<Option<Stamp>>>;

/// Another file, or another state of one, has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    number: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What has changed of one path.
enum Change {
    /// The components with these files.
    Components(Vec<PathBuf>),
    Workspace(PathBuf),
}

impl Watch {
    /// To be called before the paths are read: what changes from here on is seen.
    pub async fn begin(paths: &[PathBuf]) -> Result<Self> {
        if paths.is_empty() {
            return Err(CliError::usage("--watch watches what --tools names, and that is nothing")
                .next("longhaul serve --watch --tools PATH"));
        }
        let mut sources = Vec::with_capacity(paths.len());
        for path in paths {
            let served = stamps(path.clone()).await;
            sources.push(Source { path: path.clone(), served, changing: None });
        }
        Ok(Self { sources, read: HashMap::new() })
    }

    /// Serves what changes, as soon as it stands still. What cannot be served is reported once, and what was served before
    /// stays.
    pub async fn run(mut self, engine: &TaskEngine, runner: &dyn Runner, context: &Context) -> Infallible {
        // Another one of a component that comes first is no change of it.
        engine.loaded().await;
        loop {
            tokio::time::sleep(INTERVAL).await;
            for index in 0..self.sources.len() {
                let now = stamps(self.sources[index].path.clone()).await;
                let Some(change) = self.sources[index].step(now) else { continue };
                for file in found(change, context).await {
                    self.serve(&file, engine, runner, context).await;
                }
            }
        }
    }

    async fn serve(
        &mut self,
        file: &ComponentFile,
        engine: &TaskEngine,
        runner: &dyn Runner,
        context: &Context,
    ) {
        let name = escape(&file.name);
        let served = async {
            let read = load::read_by(file, &context.launch).await?;
            let (bytes, requests) = &read;
            let now = (ComponentId::of_bytes(bytes), requests.clone());
            if self.read.insert(file.path.clone(), now.clone()).as_ref() == Some(&now) {
                return Ok(());
            }
            eprintln!("{name}: it has changed");
            catalog::Loader::new(engine, runner, &context.settings, &context.launch)
                .await?
                .replace(file, (bytes.clone(), requests))
                .await
        };
        if let Err(error) = served.await {
            eprintln!(
                "{name}: the change is not served, and what was served before is: {}",
                escape_text(&error.to_string())
            );
        }
    }
}

impl Source {
    /// What has changed, once it looks twice the same.
    fn step(&mut self, now: Stamps) -> Option<Change> {
        if now == self.served {
            self.changing = None;
            return None;
        }
        if self.changing.as_ref() != Some(&now) {
            self.changing = Some(now);
            return None;
        }
        self.changing = None;
        let before = std::mem::replace(&mut self.served, now);
        if is_workspace(&self.path) {
            return Some(Change::Workspace(self.path.clone()));
        }
        // One that is gone is served on: it may be on its way.
        let is_new = |(path, stamps): &(&PathBuf, &Vec<_>)| before.get(*path) != Some(*stamps);
        let changed = self.served.iter().filter(is_new).map(|(path, _)| path.clone());
        Some(Change::Components(changed.collect()))
    }
}

fn is_workspace(path: &Path) -> bool {
    matches!(ToolPath::look(path), Ok(ToolPath::Workspace(_)))
}

/// The components that are to be looked at; a workspace is built first.
async fn found(change: Change, context: &Context) -> Vec<ComponentFile> {
    match change {
        Change::Components(paths) => paths.iter().map(|path| ComponentFile::at(path)).collect(),
        Change::Workspace(path) => {
            load::find_in_server(&[path], &context.launch).await.unwrap_or_else(|error| {
                eprintln!("what was served before is: {}", escape_text(&error.to_string()));
                Vec::new()
            })
        }
    }
}

async fn stamps(path: PathBuf) -> Stamps {
    tokio::task::spawn_blocking(move || stamps_at(&path)).await.unwrap_or_default()
}

/// Blocks on the disk. What cannot be looked at has none.
fn stamps_at(path: &Path) -> Stamps {
    let mut stamps = Stamps::new();
    match ToolPath::look(path) {
        Ok(ToolPath::Components(components)) => {
            for component in components {
                let files = [
                    component.clone(),
                    component.with_extension("toml"),
                    component.with_extension("policy.yaml"),
                    component.with_file_name("policy.yaml"),
                ];
                stamps.insert(component, files.iter().map(|file| stamp(file)).collect());
            }
        }
        Ok(ToolPath::Workspace(_)) => below(path, 0, &mut stamps),
        Err(_) => {}
    }
    stamps
}

/// The sources of a workspace, without what is built from them.
fn below(folder: &Path, depth: usize, stamps: &mut Stamps) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if stamps.len() >= limits::MAX_WATCHED_FILES {
            return;
        }
        let (name, path) = (entry.file_name(), entry.path());
        // Of a folder that is linked in, the link alone.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_source = !name.as_encoded_bytes().starts_with(b".") && name != OsStr::new("target");
        match (is_source, is_folder) {
            (true, true) if depth < limits::MAX_WATCHED_DEPTH => below(&path, depth + 1, stamps),
            (true, false) => drop(stamps.insert(path.clone(), vec![stamp(&path)])),
            _ => {}
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let seen = std::fs::metadata(path).ok()?;
    Some(Stamp {
        number: seen.ino(),
        bytes: seen.len(),
        modified: (seen.mtime(), seen.mtime_nsec()),
        changed: (seen.ctime(), seen.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn source(path: &Path) -> Source {
        Source { path: path.to_owned(), served: stamps_at(path), changing: None }
    }

    /// The components that are served after looking so often.
    fn looked(source: &mut Source, times: usize) -> Vec<Vec<PathBuf>> {
        let steps = (0..times).filter_map(|_| source.step(stamps_at(&source.path.clone())));
        steps
            .map(|change| match change {
                Change::Components(paths) => paths,
                Change::Workspace(path) => vec![path],
            })
            .collect()
    }

    #[test]
    fn what_changed_is_served_once_it_stands_still() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["a.wasm", "b.wasm"] {
            fs::write(at(name), "1").expect("written");
        }
        let mut source = source(folder.path());
        assert!(looked(&mut source, 3).is_empty());
        // As it is being written.
        fs::write(at("a.wasm"), "12").expect("written");
        assert!(looked(&mut source, 1).is_empty());
        fs::write(at("a.wasm"), "123").expect("written");
        assert!(looked(&mut source, 1).is_empty());
        assert_eq!(looked(&mut source, 3), [[at("a.wasm")]]);
        // Another file of the same length, moved into its place with the same time.
        let time = fs::metadata(at("b.wasm")).and_then(|seen| seen.modified()).expect("a time");
        fs::write(at("draft"), "2").expect("written");
        fs::File::options()
            .write(true)
            .open(at("draft"))
            .and_then(|file| file.set_modified(time))
            .expect("set");
        fs::rename(at("draft"), at("b.wasm")).expect("moved");
        assert_eq!(looked(&mut source, 3), [[at("b.wasm")]]);
        // What stands next to it is a part of it; a common policy is of all.
        fs::write(at("a.toml"), "").expect("written");
        assert_eq!(looked(&mut source, 3), [[at("a.wasm")]]);
        fs::write(at("policy.yaml"), "").expect("written");
        assert_eq!(looked(&mut source, 3), [[at("a.wasm"), at("b.wasm")]]);
        fs::write(at("c.wasm"), "1").expect("written");
        assert_eq!(looked(&mut source, 3), [[at("c.wasm")]]);
        // One that is gone is none, and one that comes back is.
        fs::remove_file(at("c.wasm")).expect("removed");
        assert_eq!(looked(&mut source, 3), [[""; 0].map(PathBuf::from)]);
        fs::write(at("c.wasm"), "1").expect("written");
        assert_eq!(looked(&mut source, 3), [[at("c.wasm")]]);
    }

    #[test]
    fn of_a_workspace_the_sources_are_watched_and_not_what_is_built() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/src")).expect("made");
        fs::create_dir_all(at("target/wasm32-wasip2")).expect("made");
        fs::create_dir_all(at(".git")).expect("made");
        fs::write(at("Cargo.toml"), "").expect("written");
        fs::write(at("a/src/lib.rs"), "1").expect("written");
        let mut source = source(folder.path());
        for built in ["target/wasm32-wasip2/a.wasm", ".git/index"] {
            fs::write(at(built), "1").expect("written");
        }
        assert!(looked(&mut source, 3).is_empty());
        fs::write(at("a/src/lib.rs"), "12").expect("written");
        assert_eq!(looked(&mut source, 3), [[folder.path()]]);
        fs::write(at("a/a.toml"), "").expect("written");
        assert_eq!(looked(&mut source, 3), [[folder.path()]]);
        std::os::unix::fs::symlink(folder.path(), at("a/loop")).expect("linked");
        assert_eq!(looked(&mut source, 3), [[folder.path()]]);
    }
}
