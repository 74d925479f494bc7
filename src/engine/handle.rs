//! The engine as its users and the wings hold it. What it does stands in the rooms above.

use std::sync::Arc;

use crate::authority::Principal;
use crate::catalog::{Catalog, Component};
use crate::clock::UnixNanos;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::feed::{Feed, ResourceKey};
use crate::engine::runner::Runner;
use crate::engine::shared::Shared;
use crate::shares::Account;
use crate::store::{Need, Space};
use crate::task::TaskId;

/// The durable task engine: one store, one runner, any number of tasks. Cheap to clone.
#[derive(Clone)]
pub struct TaskEngine {
    pub(in crate::engine) shared: Arc<Shared>,
    pub(in crate::engine) runner: Arc<dyn Runner>,
}

impl TaskEngine {
    /// Serves what this catalog has. Subscribers to the list of tools are notified, whatever is different in it.
    pub fn set_catalog(&self, catalog: Arc<Catalog>) {
        self.shared.set_catalog(catalog);
    }

    /// Makes another catalog out of the one that is there, while nothing else changes it. What components are granted is
    /// in the audit before they are served.
    pub async fn change_catalog<T>(
        &self,
        by: &Principal,
        change: impl FnOnce(&Catalog) -> (Catalog, T),
    ) -> Result<T, EngineError> {
        let _one = self.shared.catalog_changes.lock().await;
        let (next, done) = change(&self.catalog());
        self.audit_grants(by, &next).await?;
        let next = Arc::new(next);
        let before = self.shared.replace_catalog(next.clone());
        // Others come and go without a word: those that wait, or are compiled.
        if !next.has_same_tools(&before) {
            self.shared.memory.feed.changed(&[ResourceKey::Tools]);
        }
        Ok(done)
    }

    /// Ends once a tool of this name is there, or cannot come any more: see [`Catalog::awaits`].
    pub async fn tool_known(&self, name: &str) {
        self.shared.tool_known(name).await;
    }

    /// Ends once no components are being added to the catalog.
    pub async fn loaded(&self) {
        self.shared.loaded().await;
    }

    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared.catalog()
    }

    /// Whether guests of this component run apart from this process.
    pub fn is_isolated(&self, component: &Component) -> bool {
        let is_strangers = component.id.digest().is_some() && !component.holdings.trusted;
        is_strangers && self.runner.isolates_strangers()
    }

    /// Who has how much of what.
    pub fn shares(&self) -> &Arc<Account> {
        &self.shared.shares
    }

    /// Who wants to know what changed.
    pub fn feed(&self) -> &Feed {
        &self.shared.memory.feed
    }

    /// What the engine's clock says.
    pub fn now(&self) -> UnixNanos {
        self.shared.clock.wall()
    }

    /// Ends the present attempt of a task that is probed, as a kill of the process would; it goes on from what is on disk.
    pub fn interrupt(&self, id: TaskId) {
        let Some(entry) = self.shared.entry(id) else { return };
        if let Some(probe) = self.shared.probe_of(&entry) {
            probe.strike();
            entry.stop.send_modify(|count| *count += 1);
        }
    }

    /// From now on the store has no room for new work, or has some again.
    #[cfg(debug_assertions)]
    #[doc(hidden)]
    pub fn set_full(&self, is_full: bool) {
        self.shared.store.refuse(is_full.then_some((1, crate::store::No::Space)));
    }

    /// Nothing is committed before what is returned goes.
    #[cfg(debug_assertions)]
    #[doc(hidden)]
    pub fn hold_commits(&self) -> impl Sized + use<> {
        self.shared.store.hold(crate::store::Moment::BeforeCommit)
    }

    /// A small durable value, such as a key.
    pub async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let name = name.to_owned();
        let value =
            self.shared.store.read(move |snapshot| snapshot.get(Space::Setting, name.as_bytes())).await?;
        Ok(value.map(|bytes| bytes.to_vec()))
    }

    pub async fn put_setting(&self, name: &str, value: Vec<u8>) -> Result<(), EngineError> {
        self.shared
            .commit(Commit::new().with_need(Need::End).put(Space::Setting, name.as_bytes(), value))?
            .await?;
        Ok(())
    }
}
