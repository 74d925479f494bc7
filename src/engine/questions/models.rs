//! What a task asks of a model that the operator has configured. The question's row is the intent, its answer the outcome.
//! An endpoint that was asked and whose answer is not on disk is asked again, under the same key; what it may have cost the
//! first time stays reserved, and counts as spent in the end.

use std::sync::Arc;

use parking_lot::Mutex;

use super::answer::{AnsweredVia, Given, Giving, MODEL_CHANNEL, Which, give};
use super::asked::{Ask, ModelAsk, read, read_ask};
use super::bounds::past_tokens;
use super::sampler::{arrives, keep_extending_deadline, sample_key};
use super::streamed::Streamed;
use crate::authority::{Capability, Principal};
use crate::engine::change::commit::commit_event;
use crate::engine::change::plan::Event;
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::journal::records::Next;
use crate::engine::memory::entry::Entry;
use crate::engine::ports::{BoxFuture, ModelFault, ModelFlow};
use crate::engine::record::error::RecorderError;
use crate::engine::record::output::call_hash;
use crate::engine::record::recorder::Recorder;
use crate::engine::rows;
use crate::engine::shared::Shared;
use crate::store::Snapshot;

/// The record of the models that a task could ask.
pub const KIND_MODELS: u8 = 213;

impl Recorder {
    /// The models that this task may ask now: its component's grant, as far as they are configured.
    pub fn granted_models(&self) -> Result<Vec<String>, RecorderError> {
        const WHAT: &str = "models.granted";
        let hash = call_hash(WHAT, &[]);
        if let Next::Replayed(payload) = self.next_step(None, (KIND_MODELS, hash), WHAT)? {
            return postcard::from_bytes(&payload).map_err(unreadable);
        }
        let Some(task) = self.entry().lock().task.clone() else { return Ok(Vec::new()) };
        let powers = self.powers_of(&task);
        let may = |name: &str| powers.check(Capability::Model { name }).is_ok();
        let models = self.shared().models.as_ref();
        let has = |name: &str| models.is_some_and(|models| models.has(name));
        let granted: Vec<_> =
            task.grant.models.iter().filter(|name| may(name) && has(name)).cloned().collect();
        self.record(KIND_MODELS, hash, &postcard::to_stdvec(&granted).map_err(unreadable)?)?;
        Ok(granted)
    }
}

fn unreadable(error: postcard::Error) -> RecorderError {
    RecorderError::Fault(format!("the record of the granted models: {error}"))
}

/// A model was asked.
pub(super) fn serve(recorder: Recorder, number: u64) {
    let runtime = recorder.shared().runtime.clone();
    runtime.spawn(async move {
        let (shared, entry) = (recorder.shared().clone(), recorder.entry().clone());
        // Nothing leaves before the intent is on disk.
        if recorder.barrier().await.is_err() && !arrives(&shared).await {
            return;
        }
        drop(recorder);
        work(shared, entry, number, Turn::First).await;
    });
}

/// Takes up one that is open: at a start, and where a task goes on that stood still.
pub(super) fn resume(shared: &Arc<Shared>, entry: &Arc<Entry>, number: u64) {
    shared.runtime.spawn(work(shared.clone(), entry.clone(), number, Turn::Resumed));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    /// It may have been asked before, with an answer that is lost.
    Resumed,
}

async fn work(shared: Arc<Shared>, entry: Arc<Entry>, number: u64, turn: Turn) {
    let mut stop = entry.stop.subscribe();
    let mut running = shared.memory.running.subscribe();
    // A start takes up what is open before it dispatches.
    if running.wait_for(|running| *running).await.is_err() {
        return;
    }
    let answered = tokio::select! {
        answered = ask(&shared, &entry, number, turn) => answered,
        _ = stop.changed() => None,
        _ = running.wait_for(|running| !running) => None,
    };
    let Some((given, tokens)) = answered else { return };
    crate::crash_point!("model_answered");
    let via = AnsweredVia { channel: MODEL_CHANNEL, is_person: false };
    let principal = Principal::new(entry.principal.clone(), Vec::new()).through(Some(via.channel.into()));
    loop {
        let giving = Giving { principal: &principal, given: given.clone(), via, tokens };
        match give(&shared, &entry, Which::Number(number), giving).await {
            Ok(()) => return,
            // It was paid for: it is given again after a moment.
            Err(EngineError::Store(why)) if why.passes() => {
                let again = shared.clock.elapsed() + why.pause();
                shared.clock.sleep_until(again).await;
            }
            Err(error) => {
                tracing::warn!(task = %entry.id, %error, "the answer of a model was not taken");
                return;
            }
        }
    }
}

/// What is answered, and what the last time that it was asked cost; `None` where the question is not there.
async fn ask(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    number: u64,
    turn: Turn,
) -> Option<(Given, Option<u64>)> {
    let id = entry.id;
    let asked = move |snapshot: &Snapshot<'_>| {
        let Some(row) = read(snapshot, id, number)? else { return Ok(None) };
        Ok(Some((read_ask(snapshot, &row)?, row.epoch)))
    };
    let Ok(Some((Ask::Model(ask), epoch))) = shared.store.read(asked).await else { return None };
    let request = serde_json::from_str(&ask.request).ok()?;
    let Some(models) = shared.models.clone() else {
        return Some((Given::Unavailable(not_configured(&ask.model)), Some(0)));
    };
    let streamed = match &ask.output {
        Some(name) => Some(Streamed::open(shared, entry, number, name).await?),
        None => None,
    };
    let model = ask.model.clone();
    let flow = Arc::new(Flow {
        shared: shared.clone(),
        entry: entry.clone(),
        number,
        ask,
        streamed: Mutex::new(streamed),
    });
    if turn == Turn::Resumed
        && let Err(why) = flow.reserve()
    {
        return Some((Given::Refused(why), None));
    }
    let asking = async {
        let _turn = shared.sampling.wait(&entry.principal).await;
        models.ask(model, request, sample_key(id, epoch, number), flow.clone()).await
    };
    let lost = shared.memory.powers.until(|| shared.standing(&entry.principal).check_any().err());
    let answer = tokio::select! {
        biased;
        lost = lost => return Some((Given::Unavailable(lost.to_string()), None)),
        answer = keep_extending_deadline(shared, entry, number, asking) => answer,
    };
    Some(match answer {
        Ok(answer) => {
            let mut message = answer.message;
            message["_meta"] = serde_json::json!({ USAGE_META: {
                "inputTokens": answer.input_tokens, "outputTokens": answer.output_tokens,
            } });
            let tokens = answer.input_tokens.saturating_add(answer.output_tokens);
            (Given::Accept(message), Some(tokens))
        }
        Err(ModelFault::Unavailable { why, may_be_paid }) => {
            (Given::Unavailable(why), (!may_be_paid).then_some(0))
        }
        Err(ModelFault::Limit(why)) => (Given::Refused(why), None),
    })
}

/// Where the message of an answer says what it cost.
pub const USAGE_META: &str = "longhaul/usage";

/// The lines that would bring a model of this name.
pub fn not_configured(model: &str) -> String {
    format!(
        "no model '{model}' is configured. The operator can write in longhaul.toml:\n\n    [models.{model}]\n    api = \
         \"openai-chat\"\n    url = \"https://api.openai.com/v1\"\n    model = \"NAME\"\n    key = \"env:NAME\"\n"
    )
}

struct Flow {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    number: u64,
    ask: ModelAsk,
    streamed: Mutex<Option<Streamed>>,
}

impl Flow {
    /// Keeps as much for the next time as for the first one, or says which bound does not allow it.
    fn reserve(&self) -> Result<(), String> {
        let tokens = self.ask.max_tokens;
        let mut state = self.entry.lock();
        let limits = state.task.as_ref().map(|task| task.limits.clone());
        let limits = match limits {
            Some(limits) => limits,
            // A sleeper's task is on disk alone.
            None => {
                let id = self.entry.id;
                let task = self.shared.store.read_held(id, |snapshot| rows::read_task(snapshot, id));
                let task = task.map_err(|error| error.to_string())?;
                task.ok_or_else(|| "the task is gone".to_owned())?.limits
            }
        };
        if let Some(why) = past_tokens(&state.status, &limits, tokens) {
            return Err(why);
        }
        let event = Event::AskedAgain { number: self.number, tokens };
        let queued = commit_event(&self.shared, &self.entry, &mut state, event, Commit::new());
        queued.map(drop).map_err(|error| error.to_string())
    }
}

impl ModelFlow for Flow {
    fn again(&self, may_be_paid: bool) -> BoxFuture<Result<(), String>> {
        let reserved = if may_be_paid { self.reserve() } else { Ok(()) };
        if let Some(streamed) = self.streamed.lock().as_mut() {
            streamed.begin_again();
        }
        Box::pin(std::future::ready(reserved))
    }

    fn said(&self, piece: String) -> BoxFuture<()> {
        let written = self
            .streamed
            .lock()
            .as_mut()
            .and_then(|streamed| streamed.add(&self.shared, &self.entry, &piece));
        Box::pin(async move {
            if let Some(written) = written {
                // A store that takes no more has said so elsewhere: the answer does not depend on the output.
                drop(written.await);
            }
        })
    }
}
