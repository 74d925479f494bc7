//! What a `subscriptions/listen` is to hear of, before and after it is acknowledged.

use rmcp::model::SubscriptionFilter;
use tokio::sync::watch;

use super::watched::{Watched, WatchedTasks};
use crate::engine::Watcher;

/// Watchers that were set before their subscription was acknowledged, so that no change falls in between.
pub struct Armed {
    pub requested: SubscriptionFilter,
    pub resources: Option<Watched>,
    pub lists: Option<Watcher>,
    /// Tells changes of the list of prompts.
    pub prompts: Option<watch::Receiver<u64>>,
    pub tasks: Option<WatchedTasks>,
}
