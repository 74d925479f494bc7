//! One attempt at a task: instances of its component, each from its beginning to its end, until one has an outcome.

use std::sync::Arc;
use std::time::Duration;

use super::binding::Binding;
use super::end::{self, End, Stage};
use super::instance::{self, Callee};
use super::limiter::Limiter;
use super::prepared::Prepared;
use super::task_host::{MemoryAccount, TaskHost};
use super::threads::{Metered, Ticker};
use super::world::World;
use super::world::files::{FolderAccess, FolderPort};
use super::world::http::{Egress, Exchanges};
use super::world::journal::Journal;
use super::world::stdio::Capture;
use crate::authority::Grant;
use crate::engine::Outcome;
use crate::task::{TaskLimits, Variable};

/// What is called, and within what bounds.
pub(super) struct Job<'a> {
    pub binding: &'a Binding,
    pub arguments: &'a str,
    pub limits: &'a TaskLimits,
    pub grant: &'a Grant,
    pub environment: &'a [Variable],
}

/// What an attempt has of the world outside its instance.
pub(super) struct Means {
    pub host: TaskHost,
    pub memory: MemoryAccount,
    pub egress: Egress,
    pub folders: FolderPort,
    pub suspend_grace: Duration,
}

/// To be called on the guests' threads.
pub(super) async fn run(
    ticker: &Arc<Ticker>,
    prepared: &Prepared<World>,
    job: Job<'_>,
    means: Means,
) -> Outcome {
    let Means { host, memory, egress, folders, suspend_grace } = means;
    let folders = FolderAccess { port: folders, unknown_outcome: egress.effects.unknown_outcome };
    let pre = &prepared.pre;
    if prepared.handles_cancellation {
        host.handles_cancellation();
    }
    loop {
        let exchanges = Exchanges::new(host.clone(), egress.clone());
        let journal = Journal::of_task(host.clone(), exchanges.clone(), suspend_grace);
        let capture =
            Capture::new(usize::try_from(job.limits.result_kib.saturating_mul(1024)).unwrap_or(usize::MAX));
        let captured = matches!(job.binding, Binding::Command { .. }).then(|| capture.clone());
        let limiter = Limiter::new(job.limits.memory_mib, Some(memory.clone()));
        let world = World::new(journal, limiter, job.grant.clone(), job.environment, captured)
            .with_folders(folders.clone());
        let meter = world.meter.clone();
        let mut store = instance::store(pre.engine(), world);

        let mut stage = Stage::Instantiating;
        let guest = async {
            let instance = pre.instantiate_async(&mut store).await?;
            stage = Stage::Called;
            let callee = Callee { instance: &instance, tool: prepared.tool.as_ref() };
            let returned = instance::call(&mut store, callee, job.binding, job.arguments, &capture).await?;
            store.data().write_pending().await?;
            Ok(returned)
        };
        let returned = Metered::new(ticker, meter.clone(), guest).await;
        let spent = host.spent(meter.take());
        host.took_memory(store.data().limiter.held_bytes());

        let returned = match exchanges.take_stop() {
            // A guest that did not wait for the exchange may have ended before it could be stopped.
            Some(stop) if returned.is_ok() => Err(stop.into()),
            _ => returned,
        };
        let outcome = match returned {
            Ok(returned) => end::of_return(returned, job.limits.result_kib),
            Err(error) => match end::of_error(error, stage, job.binding, store.data()) {
                End::Outcome(outcome) => outcome,
                End::Restart => match spent {
                    Ok(()) => continue,
                    // Where each instance ends before its first tick, nothing else stops it.
                    Err(error) => end::of_recorder(error),
                },
            },
        };
        return end::checked(outcome, &host, store.data().saw_cancellation);
    }
}
