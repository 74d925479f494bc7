//! Samples that no client's model serves: the endpoint of the configuration does, if there is one. A client whose
//! model can do it is asked first, as long as one is at hand.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::answer::{Given, Paid};
use super::asked::{Ask, read, read_ask};
use super::below;
use super::deliver::deliver;
use crate::engine::commit::Commit;
use crate::engine::handle::TaskEngine;
use crate::engine::memory::entry::Entry;
use crate::engine::record::recorder::Recorder;
use crate::engine::shared::Shared;
use crate::store::Snapshot;
use crate::task::TaskId;
use crate::{clock, limits};

/// A client whose model can sample for a task is there as long as this lives.
pub struct SamplerGuard {
    entry: Arc<Entry>,
    with_tools: bool,
}

/// Whether a sample's request offers tools to the model, or tells of their use: a client declares by itself that it
/// can do that.
pub fn wants_tools(request: &Value) -> bool {
    let messages = request["messages"].as_array().into_iter().flatten();
    let mut blocks = messages.flat_map(|message| match &message["content"] {
        Value::Array(blocks) => blocks.as_slice(),
        block => std::slice::from_ref(block),
    });
    ["tools", "toolChoice"].iter().any(|field| request.get(field).is_some())
        || blocks.any(|block| matches!(block["type"].as_str(), Some("tool_use" | "tool_result")))
}

impl TaskEngine {
    /// To be held by a client that can sample for this task, with tools or without; `None` where it has ended.
    pub fn register_sampler(&self, id: TaskId, with_tools: bool) -> Option<SamplerGuard> {
        let entry = self.shared.entry(id)?;
        entry.models.send_modify(|models| models.count(with_tools, usize::saturating_add));
        Some(SamplerGuard { entry, with_tools })
    }

    /// Whether a sample of this task is served by the endpoint of the configuration, or by a client that is at hand for
    /// it or for a task above.
    pub fn can_sample(&self, id: TaskId, wants_tools: bool) -> bool {
        let memory = &self.shared.memory;
        let can = |entry: &Entry| entry.models.borrow().can(wants_tools);
        let (own, link) = match memory.entry(id) {
            Some(entry) => (can(&entry), entry.link),
            // No client is there for one that rests.
            None => (false, memory.open_tasks().link(id)),
        };
        self.has_sampler() || own || memory.above(link).iter().any(|above| can(above))
    }

    /// Whether the task's guest is at work and may come to further questions before it waits for an answer.
    pub fn may_ask_more(&self, id: TaskId) -> bool {
        let Some(entry) = self.shared.memory.entry(id) else { return false };
        let state = entry.lock();
        state.live.as_ref().is_some_and(|live| !live.is_waiting)
    }

    /// Whether samples are served where no client is.
    pub fn has_sampler(&self) -> bool {
        self.shared.sampler.is_some()
    }

    /// A client works on this question: for so long it is not given up for want of one.
    pub fn extend_deadline(&self, id: TaskId, key: &str, time: Duration) {
        let (id, key) = below::split(key).unwrap_or((id, key));
        let Some(entry) = self.shared.entry(id) else { return };
        let number = {
            let state = entry.lock();
            state.status.questions.open.iter().find(|open| open.key == key).map(|open| open.number)
        };
        if let Some(number) = number {
            extend_deadline(&self.shared, &entry, number, time);
        }
    }
}

impl Drop for SamplerGuard {
    fn drop(&mut self) {
        let with_tools = self.with_tools;
        self.entry.models.send_modify(|models| models.count(with_tools, usize::saturating_sub));
    }
}

fn extend_deadline(shared: &Shared, entry: &Entry, number: u64, time: Duration) {
    let Some(anchor) = entry.lock().anchor else { return };
    let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    entry.extensions.set(number, anchor.now(&*shared.clock).saturating_add(time));
}

/// A sample was asked for.
pub(super) fn serve(recorder: Recorder, number: u64) {
    let shared = recorder.shared().clone();
    if shared.sampler.is_none() {
        return;
    }
    let runtime = shared.runtime.clone();
    runtime.spawn(async move {
        let (shared, entry) = (recorder.shared().clone(), recorder.entry().clone());
        // Nothing leaves before the question is on disk: by this, or by the end of the attempt that asked it, which may
        // have come before.
        if recorder.barrier().await.is_err() && !arrives(&shared).await {
            return;
        }
        drop(recorder);
        work(shared, entry, number).await;
    });
}

/// Whether what is on its way is on disk; false where the store takes nothing more.
pub(super) async fn arrives(shared: &Shared) -> bool {
    loop {
        match shared.commit(Commit::new()) {
            Ok(ack) => return ack.await.is_ok(),
            Err(why) if why.passes() => shared.pause(&why).await,
            Err(_) => return false,
        }
    }
}

pub(super) async fn work(shared: Arc<Shared>, entry: Arc<Entry>, number: u64) {
    let Some(sampler) = shared.sampler.clone() else { return };
    let mut stop = entry.stop.subscribe();
    let mut running = shared.memory.running.subscribe();
    // A start takes up what is open before it dispatches.
    if running.wait_for(|running| *running).await.is_err() {
        return;
    }
    let answered = async {
        let id = entry.id;
        let asked = move |snapshot: &Snapshot<'_>| {
            let Some(row) = read(snapshot, id, number)? else { return Ok(None) };
            Ok(Some((read_ask(snapshot, &row)?, row.epoch)))
        };
        let Ok(Some((Ask::Sample { request, .. }, epoch))) = shared.store.read(asked).await else {
            return None;
        };
        let request = serde_json::from_str(&request).ok()?;
        until_no_sampler(&shared, &entry, number, wants_tools(&request)).await?;
        let key = sample_key(entry.id, epoch, number);
        let sampling = async {
            let _turn = shared.sampling.wait(&entry.principal).await;
            sampler.sample(request, key).await
        };
        // It may have been asked for long ago, and be on its way for long.
        let lost = shared.memory.powers.until(|| shared.standing(&entry.principal).check_any().err());
        tokio::select! {
            biased;
            lost = lost => Some(Err(lost.to_string())),
            sampled = keep_extending_deadline(&shared, &entry, number, sampling) => Some(sampled),
        }
    };
    let answered = tokio::select! {
        answered = answered => answered,
        _ = stop.changed() => None,
        _ = running.wait_for(|running| !running) => None,
    };
    let Some(answered) = answered else { return };
    crate::crash_point!("sampled");
    let (given, tokens) = match answered {
        Ok(sampled) => (Given::Accept(sampled.message), sampled.tokens),
        Err(why) => (Given::Unavailable(why), None),
    };
    deliver(&shared, &entry, (number, "endpoint"), (given, tokens, Paid::default())).await;
}

/// Follows from the question alone; another try of the task asks another one.
pub(super) fn sample_key(task: TaskId, epoch: u32, number: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"sample").update(task.as_bytes());
    hasher.update(&epoch.to_le_bytes()).update(&number.to_le_bytes());
    hasher.finalize().to_hex().as_str()[..32].to_owned()
}

/// `None` once the question is not open any more.
async fn until_no_sampler(shared: &Shared, entry: &Entry, number: u64, wants_tools: bool) -> Option<()> {
    let (mut models, mut news) = (entry.models.subscribe(), entry.news.subscribe());
    loop {
        let anchor = {
            let state = entry.lock();
            state.status.questions.find(number)?;
            state.anchor
        };
        let (is_here, held) = (models.borrow_and_update().can(wants_tools), entry.extensions.get(number));
        // Without an instance so far, there is no extension.
        let release = anchor.map_or(Duration::ZERO, |anchor| anchor.moment(held));
        // A client that follows a task above is asked for this one too.
        let above =
            shared.memory.above(entry.link).into_iter().find(|above| above.models.borrow().can(wants_tools));
        let is_alone = !is_here && above.is_none();
        if is_alone && shared.clock.elapsed() >= release {
            return Some(());
        }
        let released = shared.clock.sleep_until(release);
        tokio::select! {
            changed = models.changed() => changed.ok()?,
            changed = news.changed() => changed.ok()?,
            () = until_samplers_left(above.as_deref(), wants_tools), if above.is_some() => {}
            () = released, if is_alone => {}
        }
    }
}

/// Ends when no client with a model follows that task any more.
async fn until_samplers_left(entry: Option<&Entry>, wants_tools: bool) {
    let Some(entry) = entry else { return };
    // The sender lives as long as the entry.
    drop(entry.models.subscribe().wait_for(|models| !models.can(wants_tools)).await);
}

pub(super) async fn keep_extending_deadline<T>(
    shared: &Shared,
    entry: &Entry,
    number: u64,
    work: impl Future<Output = T>,
) -> T {
    let time = Duration::from_secs(limits::AT_HAND_SECONDS);
    tokio::pin!(work);
    loop {
        extend_deadline(shared, entry, number, time);
        tokio::select! {
            done = &mut work => return done,
            () = clock::sleep(time / 2) => {}
        }
    }
}
