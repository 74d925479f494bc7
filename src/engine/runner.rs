//! The door that what runs guests fills: a runner, and what an attempt is given to run.

use std::sync::Arc;

use crate::catalog::Inspection;
use crate::engine::memory::slot::GuestMemory;
use crate::engine::ports::{BoxFuture, ComponentSource, InspectError, Outcome};
use crate::engine::record::recorder::Recorder;
use crate::task::{ComponentId, Status, Task};

/// Runs attempts. One wing fills it: the WASM sandbox, or closures.
pub trait Runner: Send + Sync + 'static {
    /// What a component offers and asks for. Must not run any of its code that could affect the outside.
    fn inspect(&self, component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>>;

    /// Whether [`Self::inspect`] answers without work that may take long.
    fn is_compiled(&self, _component: &ComponentId) -> bool {
        true
    }

    /// Runs the same and lets nothing out: for who tries what a task would do. `None` where it cannot.
    fn without_effects(&self) -> Option<Arc<dyn Runner>> {
        None
    }

    /// Runs one attempt to its end. Dropping the future ends the attempt: nothing it does afterwards may
    /// have an effect (its lease is void by then).
    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome>;

    /// Whether guests of components that are not their operator's own run apart from this process.
    fn isolates_strangers(&self) -> bool {
        false
    }

    /// No task needs this component any more: what was kept of it may go.
    fn forget(&self, _component: &ComponentId) {}

    /// The outcome of an operation of this component's task as its owner tells it (`None`: it failed), in the runner's own form.
    fn settle(
        &self,
        _component: &ComponentId,
        _outcome: Option<serde_json::Value>,
    ) -> Result<Vec<u8>, String> {
        Err("tools of this engine have no operations".to_owned())
    }

    /// A record of this runner for people: what kind it is and, where that is known, what it is about.
    fn describe(&self, _kind: u8, _payload: &[u8]) -> (&'static str, Option<String>) {
        ("call", None)
    }
}

/// One attempt at a task, with everything it may use.
pub struct Attempt {
    pub task: Arc<Task>,
    /// As it stood when the attempt began.
    pub status: Status,
    /// Where the component's bytes are, should the runner not have it loaded.
    pub component: ComponentSource,
    /// The journal: replay or execute.
    pub recorder: Recorder,
    /// Its component is what the operator built or trusts, and not a stranger's that is served by an approval.
    pub is_operators_own: bool,
    /// What its instance grows to is to be taken here first.
    pub memory: GuestMemory,
}
