//! What a task asks of a model that the operator has configured. The question's row is the intent, its answer the outcome.
//! An endpoint that was asked and whose answer is not on disk is asked again, under the same key; what it may have cost the
//! first time stays reserved, and counts as spent in the end. The task's status says whether a request has left: that is on
//! disk before it does.

use std::sync::Arc;

use tokio::sync::watch;

use super::answer::{Given, MODEL_CHANNEL, Paid};
use super::asked::{Ask, ModelAsk, read, read_ask};
use super::deliver::deliver;
use super::estimate::input_tokens;
use super::flow::Flow;
use super::sampler::{arrives, keep_extending_deadline, sample_key};
use super::streamed::Streamed;
use crate::authority::Capability;
use crate::engine::journal::records::Next;
use crate::engine::memory::entry::Entry;
use crate::engine::ports::{ModelAnswer, ModelFault};
use crate::engine::record::error::RecorderError;
use crate::engine::record::output::call_hash;
use crate::engine::record::recorder::Recorder;
use crate::engine::shared::Shared;
use crate::store::Snapshot;
use crate::task::Spend;

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
        let has = |name: &str| models.is_some_and(|models| models.terms(name).is_some());
        let granted: Vec<_> =
            task.grant.models.iter().filter(|name| may(name) && has(name)).cloned().collect();
        self.record(KIND_MODELS, hash, &postcard::to_stdvec(&granted).map_err(unreadable)?)?;
        Ok(granted)
    }
}

fn unreadable(error: postcard::Error) -> RecorderError {
    RecorderError::Fault(format!("the record of the granted models: {error}"))
}

/// What an ask may cost, as the operator has it now. What a guest's process says of that does not count.
pub(super) fn set_terms(shared: &Shared, ask: &mut ModelAsk) {
    let terms = shared.models.as_ref().and_then(|models| models.terms(&ask.model)).unwrap_or_default();
    ask.price = terms.price;
    ask.max_tokens = ask.max_tokens.min(terms.max_tokens.unwrap_or(u64::MAX));
    ask.input_tokens = serde_json::from_str(&ask.request).map_or(0, |request| input_tokens(&request));
}

/// A model was asked.
pub(super) fn serve(recorder: Recorder, number: u64) {
    let runtime = recorder.shared().runtime.clone();
    // From here on: a task that is stopped before its intent is on disk asks nothing, and what goes on with it does.
    let stop = recorder.entry().stop.subscribe();
    runtime.spawn(async move {
        let (shared, entry) = (recorder.shared().clone(), recorder.entry().clone());
        // Nothing leaves before the intent is on disk.
        if recorder.barrier().await.is_err() && !arrives(&shared).await {
            return;
        }
        drop(recorder);
        crate::crash_point!("model_asking");
        work(shared, entry, number, stop).await;
    });
}

/// Takes up one that is open: at a start, and where a task goes on that stood still.
pub(super) fn resume(shared: &Arc<Shared>, entry: &Arc<Entry>, number: u64) {
    let stop = entry.stop.subscribe();
    shared.runtime.spawn(work(shared.clone(), entry.clone(), number, stop));
}

async fn work(shared: Arc<Shared>, entry: Arc<Entry>, number: u64, mut stop: watch::Receiver<u64>) {
    let mut running = shared.memory.running.subscribe();
    // A start takes up what is open before it dispatches.
    if running.wait_for(|running| *running).await.is_err() {
        return;
    }
    // Whatever ends this first drops the request that is on its way.
    let answered = tokio::select! {
        answered = ask(&shared, &entry, number) => answered,
        () = until_closed(&entry, number) => None,
        _ = stop.changed() => None,
        _ = running.wait_for(|running| !running) => None,
    };
    let Some((given, paid)) = answered else { return };
    crate::crash_point!("model_answered");
    deliver(&shared, &entry, (number, MODEL_CHANNEL), (given, None, paid)).await;
}

/// Its guest has given it up, or its task has ended: no answer of it is of use.
async fn until_closed(entry: &Entry, number: u64) {
    let mut asking = entry.asking.subscribe();
    loop {
        asking.mark_unchanged();
        let is_open = entry.lock().status.questions.find(number).is_some();
        if !is_open || asking.changed().await.is_err() {
            return;
        }
    }
}

/// What is answered, and what the last time that it was asked came to; `None` where the question is not there.
async fn ask(shared: &Arc<Shared>, entry: &Arc<Entry>, number: u64) -> Option<(Given, Paid)> {
    let id = entry.id;
    let asked = move |snapshot: &Snapshot<'_>| {
        let Some(row) = read(snapshot, id, number)? else { return Ok(None) };
        Ok(Some((read_ask(snapshot, &row)?, row.epoch)))
    };
    let Ok(Some((Ask::Model(ask), epoch))) = shared.store.read(asked).await else { return None };
    let mut request: serde_json::Value = serde_json::from_str(&ask.request).ok()?;
    // What was held back for it is all that it may cost.
    request["maxTokens"] = ask.max_tokens.into();
    let streamed = match &ask.output {
        // Where it cannot be written to any more, the model is asked all the same.
        Some(name) => Streamed::open(shared, entry, number, name).await,
        None => None,
    };
    let flow = Arc::new(Flow::new(shared, entry, number, (ask, streamed)));
    let model = flow.model().to_owned();
    // Its table may have gone since an earlier life asked it.
    let models = shared.models.clone().filter(|models| models.terms(&model).is_some());
    let Some(models) = models else {
        return Some((Given::Unavailable(not_configured(&model)), flow.cut_off()));
    };
    let asking = async {
        let _turn = shared.sampling.wait(&entry.principal).await;
        flow.book().await?;
        models.ask(model, request, sample_key(id, epoch, number), flow.clone()).await
    };
    let lost = shared.memory.powers.until(|| shared.standing(&entry.principal).check_any().err());
    let answer = tokio::select! {
        biased;
        lost = lost => return Some((Given::Unavailable(lost.to_string()), flow.cut_off())),
        answer = keep_extending_deadline(shared, entry, number, asking) => answer,
    };
    Some(match answer {
        Ok(answer) => said(answer, &flow),
        Err(ModelFault::Unavailable { why, may_be_paid }) => {
            (Given::Unavailable(why), flow.paid((!may_be_paid).then_some(Spend::NOTHING)))
        }
        Err(ModelFault::Limit(why)) => (Given::Refused(why), flow.cut_off()),
    })
}

fn said(answer: ModelAnswer, flow: &Flow) -> (Given, Paid) {
    let ModelAnswer { mut message, input_tokens, output_tokens } = answer;
    let input_tokens = input_tokens.unwrap_or(flow.likely_input());
    message["_meta"] = serde_json::json!({ USAGE_META: {
        "inputTokens": input_tokens, "outputTokens": output_tokens,
    } });
    let spend = flow.price().of(input_tokens, output_tokens);
    (Given::Accept(message), flow.paid(Some(spend)))
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
