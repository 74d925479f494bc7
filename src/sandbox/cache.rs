//! From a component's bytes to one that can be instantiated: from memory, from the folder `compiled`, or
//! compiled again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::OnceCell;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::admit;
use super::artifact::{self, Code, Identity};
use super::compile::{Compile, Compiler};
use super::config;
use super::kept;
use super::prepared::Prepared;
use super::threads::aside;
use crate::engine::InspectError;
use crate::limits;
use crate::task::ComponentId;

/// Where compiled code is kept, and the key that seals it.
pub(super) struct Folder {
    path: PathBuf,
    key: [u8; 32],
}

/// All components of one engine, each compiled at most once at a time.
pub(super) struct Cache<T: 'static> {
    engine: Engine,
    linker: Linker<T>,
    fingerprint: blake3::Hash,
    folder: OnceLock<Folder>,
    loaded: Mutex<Loaded<T>>,
    compiler: Arc<dyn Compiler>,
}

struct Loaded<T: 'static> {
    components: HashMap<ComponentId, Entry<T>>,
    /// Counts uses; the entry with the lowest mark is the first to go.
    clock: u64,
}

struct Entry<T: 'static> {
    cell: Arc<OnceCell<Arc<Prepared<T>>>>,
    used: u64,
}

impl<T: Send + 'static> Cache<T> {
    /// Where components are compiled in this process, at most `threads` are at once.
    pub fn new(engine: Engine, linker: Linker<T>, compile: Compile, threads: usize) -> Self {
        let fingerprint = config::fingerprint(&engine);
        let compiler = compile.compiler(&engine, fingerprint, threads);
        let loaded = Mutex::new(Loaded { components: HashMap::new(), clock: 0 });
        Self { engine, linker, fingerprint, folder: OnceLock::new(), loaded, compiler }
    }

    /// Keeps code in the first of these folders that is ours alone: it is made, readable by its owner alone, or rid of
    /// code that no engine like this one made. Without a usable folder everything is compiled at each start, which is
    /// slower and nothing else.
    pub fn keep_in(&self, paths: &[PathBuf], key: [u8; 32]) {
        for path in paths {
            match kept::prepare(path, &suffix(&self.fingerprint)) {
                // The first one stays: nothing is lost where there are two.
                Ok(()) => return drop(self.folder.set(Folder { path: path.clone(), key })),
                Err(error) => tracing::warn!(
                    "no compiled code is kept in {}, and nothing there is touched: {error}",
                    path.display()
                ),
            }
        }
    }

    /// The component, ready to be instantiated. `bytes` is called where it is not in memory, and must give
    /// what `id` names; its error is a host fault. To be called on the guests' threads.
    pub async fn load<F>(
        self: &Arc<Self>,
        id: &ComponentId,
        bytes: F,
    ) -> Result<Arc<Prepared<T>>, InspectError>
    where
        F: FnOnce() -> Result<Arc<[u8]>, String> + Send + 'static,
    {
        let cell = self.lock().cell(id);
        let load = || async {
            if let Some(component) = self.clone().kept(id).await? {
                return Ok(component);
            }
            let bytes = aside("guest-loader", bytes).await.flatten().map_err(InspectError::HostFault)?;
            let code = self.compiler.compile(bytes).await?;
            self.clone().taken(id, code).await
        };
        cell.get_or_try_init(load).await.cloned()
    }

    /// Whether it is in memory or in the folder: what is there may still turn out not to fit.
    pub fn has(&self, id: &ComponentId) -> bool {
        let is_loaded = self.lock().components.get(id).is_some_and(|entry| entry.cell.initialized());
        is_loaded || self.folder.get().is_some_and(|folder| self.file(folder, id).exists())
    }

    /// Nothing needs this component any more: its compiled code goes, from memory and from the folder.
    pub fn forget(&self, id: &ComponentId) {
        self.lock().components.remove(id);
        let Some(folder) = self.folder.get() else { return };
        let path = self.file(folder, id);
        if path.exists() && !kept::is_ours(&path) {
            return;
        }
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("compiled code that nothing needs stays in {}: {error}", path.display());
        }
    }

    /// From the folder, where it is there.
    async fn kept(self: Arc<Self>, id: &ComponentId) -> Result<Option<Arc<Prepared<T>>>, InspectError> {
        let id = id.clone();
        let load = move || self.kept_code(&id).map(|component| self.linked(&component)).transpose();
        aside("guest-loader", load).await.map_err(InspectError::HostFault)?
    }

    /// What was just compiled.
    async fn taken(self: Arc<Self>, id: &ComponentId, code: Code) -> Result<Arc<Prepared<T>>, InspectError> {
        let id = id.clone();
        let take = move || {
            let component = code.load(&self.engine).map_err(|error| admit::exceeds_a_bound(&error))?;
            let linked = self.linked(&component)?;
            self.keep_code(&id, &code);
            Ok(linked)
        };
        aside("guest-loader", take).await.map_err(InspectError::HostFault)?
    }

    fn linked(&self, component: &Component) -> Result<Arc<Prepared<T>>, InspectError> {
        let pre = self.linker.instantiate_pre(component).map_err(|error| admit::missing_import(&error))?;
        Ok(Arc::new(Prepared::new(pre)))
    }

    fn kept_code(&self, id: &ComponentId) -> Option<Component> {
        let folder = self.folder.get()?;
        let path = self.file(folder, id);
        let sealed = match kept::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("compiled anew, since {} cannot be read: {error}", path.display());
                return None;
            }
        };
        match artifact::unseal(&folder.key, self.identity(id), &self.engine, &sealed) {
            Some(Ok(component)) => Some(component),
            Some(Err(error)) => {
                tracing::warn!("compiled anew, since {} does not fit: {error:#}", path.display());
                None
            }
            None => {
                tracing::warn!("compiled anew, since {} was changed or is not ours", path.display());
                None
            }
        }
    }

    /// A failure leaves no file, or one whose seal does not fit; either way the code is compiled again.
    fn keep_code(&self, id: &ComponentId, code: &Code) {
        let Some(folder) = self.folder.get() else { return };
        let path = self.file(folder, id);
        let written = kept::replace(&path, &artifact::seal(&folder.key, self.identity(id), code));
        if let Err(error) = written {
            tracing::warn!("compiled code is not kept in {}: {error}", path.display());
        }
    }

    fn identity<'a>(&'a self, id: &'a ComponentId) -> Identity<'a> {
        Identity { component: id.as_str(), fingerprint: &self.fingerprint }
    }

    fn file(&self, folder: &Folder, id: &ComponentId) -> PathBuf {
        folder.path.join(format!("{}{}", id.as_str().replace(':', "-"), suffix(&self.fingerprint)))
    }

    fn lock(&self) -> MutexGuard<'_, Loaded<T>> {
        self.loaded.lock()
    }
}

impl<T> Loaded<T> {
    fn cell(&mut self, id: &ComponentId) -> Arc<OnceCell<Arc<Prepared<T>>>> {
        self.clock += 1;
        let used = self.clock;
        if let Some(entry) = self.components.get_mut(id) {
            entry.used = used;
            return entry.cell.clone();
        }
        if self.components.len() >= limits::MAX_LOADED_COMPONENTS {
            let oldest = self.components.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| id.clone());
            oldest.and_then(|oldest| self.components.remove(&oldest));
        }
        let cell = Arc::new(OnceCell::new());
        self.components.insert(id.clone(), Entry { cell: cell.clone(), used });
        cell
    }
}

fn suffix(fingerprint: &blake3::Hash) -> String {
    let hex = fingerprint.to_hex();
    format!(".{}.{}", &hex[..kept::FINGERPRINT_DIGITS], kept::ENDING)
}
