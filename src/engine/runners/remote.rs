//! Tools of other MCP servers as durable tasks: what a server offers is pinned, and a call of it is one operation
//! that leaves, comes back, or has an unknown outcome.
//!
//! A tool `search` of the server `docs` is `docs/search` to the components that are granted it, and `docs_search` to
//! clients where the operator exposes it. It runs over there, outside of any sandbox of ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::authority::{Capability, Principal, glob_matches};
use crate::catalog::{
    Annotations, Catalog, CatalogError, Component, Inspection, Operator, Tool, ToolDefinition, ToolEntry,
    are_alike, folded, looks, show_hidden,
};
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::journal::ops::Op;
use crate::engine::memory::entry::Entry;
use crate::engine::next::NextAction;
use crate::engine::ports::remote::{
    Listing, RemoteCall, RemoteEnd, RemoteFault, RemotePolicy, RemoteTools, Remotes, Report,
};
use crate::engine::ports::{BoxFuture, InspectError, Outcome};
use crate::engine::random::random;
use crate::engine::record::error::RecorderError;
use crate::engine::record::ops::OpHandle;
use crate::engine::record::output::call_hash;
use crate::engine::record::recorder::Recorder;
use crate::engine::runner::{Attempt, Runner};
use crate::engine::shared::Shared;
use crate::engine::trace::StepKind;
use crate::limits;
use crate::store::Space;
use crate::task::{ComponentId, Effects, FailedReason, State, Task, ToolResult, UnknownOutcome};

/// What component ids of remote tools begin with; `mcp:SERVER/DIGEST` follows its definition.
const SCHEME: &str = "mcp:";

impl Remotes {
    pub fn new(tools: Arc<dyn RemoteTools>, policies: BTreeMap<String, RemotePolicy>) -> Self {
        Self { tools, policies: Arc::new(policies) }
    }

    /// A runner for remote tools, and for all others the one that is given.
    pub fn runner(&self, others: Arc<dyn Runner>) -> Arc<dyn Runner> {
        Arc::new(WithRemotes { remotes: self.clone(), others })
    }

    /// The catalog with the pinned tools of all servers. What a server offers is pinned when it is seen first, or
    /// again where `pin` names the server. The words tell what is not offered, and why.
    pub async fn add_to(
        &self,
        (engine, by): (&TaskEngine, &Principal),
        mut catalog: Catalog,
        operator: &Operator,
        pin: Option<&str>,
    ) -> Result<(Catalog, Vec<String>), EngineError> {
        let mut words = Vec::new();
        let names: Vec<&String> = self.policies.keys().collect();
        let listings = futures::future::join_all(names.iter().map(|name| self.tools.list(name))).await;
        for (name, listed) in names.into_iter().zip(listings) {
            let pinned = self.pinned((engine, by), name, listed, pin == Some(name), &mut words).await?;
            let Some(pinned) = pinned else { continue };
            let policy = &self.policies[name];
            let is_like = |there: &&Arc<Component>| {
                !there.id.as_str().starts_with(SCHEME) && are_alike(&there.name, name)
            };
            if let Some(there) = catalog.components().find(is_like) {
                let there = &there.name;
                words.push(format!(
                    "server {name} is not offered: the component {there} has that name, or one like it"
                ));
                continue;
            }
            match with_server(&catalog.without(name), name, policy, &pinned, operator, &mut words) {
                Ok(with) => catalog = with,
                Err(error) => words.push(format!("server {name}: {error}")),
            }
        }
        // They repeat what servers call their tools, and are read on terminals.
        let words = words.iter().map(|word| show_hidden(word).into_owned()).collect();
        Ok((catalog, words))
    }

    async fn pinned(
        &self,
        (engine, by): (&TaskEngine, &Principal),
        name: &str,
        listed: Result<Arc<Listing>, RemoteFault>,
        pin: bool,
        words: &mut Vec<String>,
    ) -> Result<Option<Listing>, EngineError> {
        let setting = setting(name);
        let pins = NextAction::PinTools { server: name.to_owned() };
        let shared = &engine.shared;
        let there = engine.setting(&setting).await?;
        let there: Option<Listing> = there.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match (listed, there) {
            (Ok(listed), there) if pin || there.is_none() => {
                let bytes = serde_json::to_vec(&*listed).map_err(|e| EngineError::Internal(e.to_string()))?;
                engine.put_pin(by, name, bytes).await?;
                Ok(Some(Listing::clone(&listed)))
            }
            (Ok(listed), Some(mut there)) => {
                there.tools.retain(|tool| {
                    let now = listed.tools.iter().find(|now| now.name == tool.name);
                    let same = now.is_some_and(|now| digest(now) == digest(tool));
                    if !same {
                        let what = if now.is_some() { "is defined otherwise than" } else { "is gone since" };
                        words.push(format!(
                            "{name}/{} {what} it was pinned and is not offered{}",
                            tool.name,
                            shared.advised("; after a look at it: ", &pins)
                        ));
                    }
                    same
                });
                for new in
                    listed.tools.iter().filter(|now| there.tools.iter().all(|tool| tool.name != now.name))
                {
                    if !words.iter().any(|word| word.starts_with(&format!("{name}/{} ", new.name))) {
                        words.push(format!(
                            "{name}/{} is new and not offered{}",
                            new.name,
                            shared.advised(": ", &pins)
                        ));
                    }
                }
                Ok(Some(there))
            }
            (Err(error), Some(there)) => {
                words.push(format!(
                    "server {name} does not answer now ({error}); its tools are offered as they were pinned"
                ));
                Ok(Some(there))
            }
            (Err(error), None) => {
                words.push(format!("server {name} does not answer ({error}): none of its tools is offered before it was seen once"));
                Ok(None)
            }
            (Ok(_), None) => Ok(None),
        }
    }
}

impl TaskEngine {
    /// The servers whose tools `catalog` is to have too, as they are pinned. The words tell what is not offered.
    pub async fn with_remotes(
        &self,
        catalog: Catalog,
        remotes: Remotes,
        operator: Operator,
    ) -> Result<(Catalog, Vec<String>), EngineError> {
        let (remotes, operator) = self.shared.remotes.get_or_init(|| (remotes, operator));
        remotes.add_to((self, &Principal::local()), catalog, operator, None).await
    }

    /// The same with the catalog that is there. The words tell what is not offered.
    pub async fn add_remotes(
        &self,
        remotes: Remotes,
        operator: Operator,
    ) -> Result<Vec<String>, EngineError> {
        let _one = self.shared.catalog_changes.lock().await;
        let (catalog, words) = self.with_remotes(Catalog::clone(&self.catalog()), remotes, operator).await?;
        self.audit_grants(&Principal::local(), &catalog).await?;
        self.set_catalog(Arc::new(catalog));
        Ok(words)
    }

    /// Takes what a server offers now for what it is to offer. Without a connection to it, at the next start.
    pub async fn pin(&self, by: &Principal, server: &str) -> Result<Vec<String>, EngineError> {
        let done = self.pin_now(by, server).await;
        self.shared.audit.record_error(by, Subject::new(AuditAction::Grant), done)
    }

    /// Empty bytes are no pin.
    async fn put_pin(&self, by: &Principal, server: &str, bytes: Vec<u8>) -> Result<(), EngineError> {
        let note = format!("server {server}");
        let hash = *blake3::hash(&bytes).as_bytes();
        let subject = Subject { note: Some(&note), ..Subject::new(AuditAction::Grant) }.hash(hash);
        let mut commit = Commit::new().put(Space::Setting, setting(server).as_bytes(), bytes);
        self.shared.audit.record_admitted(&mut commit, by, subject)?;
        self.shared.commit(commit)?.await?;
        Ok(())
    }

    async fn pin_now(&self, by: &Principal, server: &str) -> Result<Vec<String>, EngineError> {
        let Some((remotes, operator)) = self.shared.remotes.get() else {
            if self.setting(&setting(server)).await?.is_none() {
                return Err(EngineError::Remote(format!("no server '{server}' was pinned")));
            }
            self.put_pin(by, server, Vec::new()).await?;
            return Ok(vec![format!("what {server} offers is pinned at the next start")]);
        };
        if !remotes.policies.contains_key(server) {
            let have: Vec<&str> = remotes.policies.keys().map(String::as_str).collect();
            return Err(EngineError::Remote(format!(
                "there is no server '{server}'; there are: {}",
                have.join(", ")
            )));
        }
        if let Err(error) = remotes.tools.list(server).await {
            return Err(EngineError::Remote(format!("server {server} does not answer: {error}")));
        }
        let _one = self.shared.catalog_changes.lock().await;
        let (catalog, words) =
            remotes.add_to((self, by), Catalog::clone(&self.catalog()), operator, Some(server)).await?;
        self.set_catalog(Arc::new(catalog));
        Ok(words)
    }
}

fn setting(server: &str) -> String {
    format!("pinned/{server}")
}

/// Of all that a caller, a model or a person goes by.
fn digest(definition: &ToolDefinition) -> String {
    let text = serde_json::to_vec(definition).unwrap_or_default();
    blake3::hash(&text).to_hex().as_str()[..32].to_owned()
}

fn with_server(
    catalog: &Catalog,
    name: &str,
    policy: &RemotePolicy,
    pinned: &Listing,
    operator: &Operator,
    words: &mut Vec<String>,
) -> Result<Catalog, CatalogError> {
    let (mut reachable, mut exposed) = (Vec::new(), Vec::new());
    let alike = alike(&pinned.tools);
    for definition in &pinned.tools {
        let like = alike.get(definition.name.as_str());
        if let Some((other, false)) = like {
            words.push(format!("{name}/{} is not offered: it is too like {name}/{other}", definition.name));
            continue;
        }
        let mut tool = tool(name, policy, pinned.heeds_keys, definition);
        match ToolEntry::remote(tool.clone()) {
            Ok(entry) => reachable.push(entry),
            Err(error) => {
                words.push(format!("{name}/{} is not offered: {error}", definition.name));
                continue;
            }
        }
        if !policy.expose.iter().any(|glob| glob_matches(glob, &definition.name)) {
            continue;
        }
        if let Some((other, true)) = like {
            words.push(format!("{name}/{} is not exposed: it is too like {name}/{other}", definition.name));
            continue;
        }
        let shown: String = format!("{name}_{}", definition.name)
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .collect();
        if shown.len() > limits::MAX_TOOL_NAME_CHARS {
            words.push(format!("{name}/{} is not exposed: '{shown}' is too long a name", definition.name));
            continue;
        }
        operator.answered_as(&shown, &mut tool.definition);
        tool.definition.name = shown;
        tool.definition.description = format!(
            "{}\n\n(Runs on the MCP server '{name}', outside of Longhaul's sandbox.)",
            tool.definition.description
        );
        exposed.push(tool);
    }
    let catalog = catalog.with_reachable(reachable);
    if exposed.is_empty() {
        return Ok(catalog);
    }
    catalog.with(Component::of_tools(name, ComponentId::from_stored(format!("{SCHEME}{name}")), exposed)?)
}

/// Tools of one server that a reader could take for one another, each with another: which of them is meant, the server
/// alone knows. True where the names differ in case, `-` and `_` alone, as they do where a tool has an alias.
fn alike(tools: &[ToolDefinition]) -> BTreeMap<&str, (&str, bool)> {
    let (mut seen, mut alike) = (BTreeMap::new(), BTreeMap::new());
    for name in tools.iter().map(|tool| tool.name.as_str()) {
        for look in looks(name) {
            let other = *seen.entry(look).or_insert(name);
            if other != name {
                let is_alias = folded(other) == folded(name);
                for (one, other) in [(name, other), (other, name)] {
                    let known = alike.entry(one).or_insert((other, is_alias));
                    known.1 &= is_alias;
                }
            }
        }
    }
    alike
}

fn tool(server: &str, policy: &RemotePolicy, heeds_keys: bool, definition: &ToolDefinition) -> Tool {
    let name = format!("{server}/{}", definition.name);
    let Annotations { read_only, idempotent, .. } = definition.annotations;
    let may_repeat = heeds_keys
        || read_only == Some(true)
        || idempotent == Some(true)
        || policy.idempotent.iter().any(|glob| glob_matches(glob, &definition.name));
    let component = ComponentId::from_stored(format!("{SCHEME}{server}/{}", digest(definition)));
    let unknown_outcome = if may_repeat { UnknownOutcome::Retry } else { policy.unknown_outcome };
    Tool {
        binding: name.clone(),
        retry: policy.retry.clone(),
        effects: Effects { unknown_outcome, ..Effects::default() },
        ..Tool::new(ToolDefinition { name, ..definition.clone() }, component, server)
    }
}

struct WithRemotes {
    remotes: Remotes,
    others: Arc<dyn Runner>,
}

impl Runner for WithRemotes {
    fn inspect(&self, component: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        self.others.inspect(component)
    }

    fn is_compiled(&self, component: &ComponentId) -> bool {
        self.others.is_compiled(component)
    }

    fn without_effects(&self) -> Option<Arc<dyn Runner>> {
        self.others.without_effects()
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        if !attempt.task.component.as_str().starts_with(SCHEME) {
            return self.others.run(attempt);
        }
        let remotes = self.remotes.clone();
        Box::pin(
            async move { remotes.run(&attempt.task, &attempt.recorder).await.unwrap_or_else(of_recorder) },
        )
    }

    fn isolates_strangers(&self) -> bool {
        self.others.isolates_strangers()
    }

    fn forget(&self, component: &ComponentId) {
        self.others.forget(component);
    }

    fn settle(&self, component: &ComponentId, outcome: Option<Value>) -> Result<Vec<u8>, String> {
        if !component.as_str().starts_with(SCHEME) {
            return self.others.settle(component, outcome);
        }
        let result = match outcome {
            None => failed("the call failed, says its owner".to_owned()),
            Some(Value::String(text)) => ToolResult::text(text),
            Some(value) => ToolResult { structured: Some(value.to_string()), ..ToolResult::default() },
        };
        encode(&RemoteEnd::Result(result))
    }

    fn describe(&self, kind: u8, payload: &[u8]) -> (&'static str, Option<String>) {
        self.others.describe(kind, payload)
    }
}

fn of_recorder(error: RecorderError) -> Outcome {
    match error {
        RecorderError::Diverged(divergence) => Outcome::Diverged(divergence),
        RecorderError::Limit { bound, message } => Outcome::Limit { bound, message },
        RecorderError::Refused(message) => Outcome::Refused { message },
        RecorderError::Fault(message) => Outcome::HostFault { message },
    }
}

fn failed(why: String) -> ToolResult {
    ToolResult { is_error: true, ..ToolResult::text(why) }
}

fn encode(end: &RemoteEnd) -> Result<Vec<u8>, String> {
    serde_json::to_vec(end).map_err(|error| error.to_string())
}

/// A try that did not bring an answer.
enum Missed {
    /// Nothing has left.
    NotSent(String),
    Lost(String),
}

impl Remotes {
    async fn run(&self, task: &Task, recorder: &Recorder) -> Result<Outcome, RecorderError> {
        let hash = call_hash("remote call", &[task.binding.as_bytes(), task.arguments.as_bytes()]);
        let op = recorder.begin_op()?;
        let may_repeat = task.effects.unknown_outcome == UnknownOutcome::Retry;
        let unknown = |why: &str| Outcome::UnknownOutcome {
            op: op.number,
            message: format!("{} was called, and nobody knows whether that arrived: {why}", task.binding),
        };
        let mut sends = match recorder.op(op)? {
            None => {
                recorder.trace_begun(op, StepKind::Remote, &task.binding)?;
                0
            }
            Some(known) if known.hash() != hash => {
                return Err(op.divergence(&known, "the remote call", hash));
            }
            Some(Op::Done { outcome, .. }) => return Ok(outcome_of(&outcome)),
            Some(Op::Intent { .. }) if !may_repeat => return Ok(unknown("longhaul ended before the answer")),
            Some(Op::Intent { sends, .. } | Op::Resend { sends, .. }) => sends,
            Some(Op::Abandoned { .. }) => return Ok(Outcome::Cancelled),
        };
        let mut misses = 0;
        loop {
            let missed = match self.attempt(task, recorder, (op, hash), &mut sends).await? {
                Ok(outcome) => return Ok(outcome),
                Err(missed) => missed,
            };
            misses += 1;
            let jitter = random::<4>().map_or(0, u32::from_le_bytes);
            match (missed, task.retry.delay_after(misses, jitter)) {
                (Missed::Lost(why), delay) if !may_repeat || delay.is_none() => return Ok(unknown(&why)),
                (Missed::NotSent(why), None) => {
                    let end = RemoteEnd::Result(failed(format!("{} cannot be called: {why}", task.binding)));
                    return done(recorder, op, hash, &end).await;
                }
                (Missed::NotSent(why) | Missed::Lost(why), delay) => {
                    let clock = &recorder.shared().clock;
                    let due = clock.elapsed() + delay.unwrap_or_default();
                    recorder.status(format!("to be tried again: {why}"))?;
                    recorder.begin_wait()?;
                    clock.sleep_until(due).await;
                }
            }
        }
    }

    async fn attempt(
        &self,
        task: &Task,
        recorder: &Recorder,
        (op, hash): (OpHandle, u64),
        sends: &mut u32,
    ) -> Result<Result<Outcome, Missed>, RecorderError> {
        let (server, tool) = task.binding.split_once('/').unwrap_or((&task.binding, ""));
        let Some(policy) = self.policies.get(server) else {
            let message = format!("the configuration names no server '{server}' any more");
            return Ok(Ok(Outcome::MissingComponent { message }));
        };
        let listing = match self.tools.list(server).await {
            Ok(listing) => listing,
            Err(RemoteFault::NotSent(why) | RemoteFault::Lost(why)) => return Ok(Err(Missed::NotSent(why))),
        };
        let pinned = task.component.as_str().rsplit_once('/').map_or("", |(_, digest)| digest);
        if !listing.tools.iter().any(|there| there.name == tool && digest(there) == pinned) {
            let pins = NextAction::PinTools { server: server.to_owned() };
            let how = (recorder.shared().commands)(&pins);
            let how = how.map_or_else(String::new, |command| {
                format!("; after a look at it: {command}, and call it anew")
            });
            let message = format!("{} is not what it was when it was pinned{how}", task.binding);
            return Ok(Ok(Outcome::Refused { message }));
        }
        let name = task.tool.as_str();
        if let Err(lost) = recorder.checked(|powers| powers.standing.check(Capability::CallTool { name })) {
            return Ok(Ok(Outcome::Refused { message: lost.to_string() }));
        }
        *sends = sends.saturating_add(1);
        recorder.op_intent(op, hash, *sends)?;
        recorder.barrier().await?;
        crate::crash_point!("op_intent");
        let call = RemoteCall {
            server: server.to_owned(),
            tool: tool.to_owned(),
            arguments: task.arguments.clone(),
            idempotency_key: recorder.op_key(op, hash),
        };
        let reporter = recorder.clone();
        let report: Report = Arc::new(move |done, total, message| {
            // A report that comes too late is worth nothing.
            let whole = |number: f64| number.max(0.0) as u64;
            let _ = reporter.progress(whole(done), total.map(whole), message);
        });
        let clock = &recorder.shared().clock;
        let time_over = clock.sleep_until(clock.elapsed() + policy.timeout);
        let answer = tokio::select! {
            biased;
            answer = self.call(recorder, call, report) => answer,
            () = time_over => {
                Err(RemoteFault::Lost(format!("no answer within {} s", policy.timeout.as_secs())))
            }
        };
        match answer {
            Ok(end) => done(recorder, op, hash, &end).await.map(Ok),
            Err(RemoteFault::NotSent(why)) => Ok(Err(Missed::NotSent(why))),
            Err(RemoteFault::Lost(why)) => Ok(Err(Missed::Lost(why))),
        }
    }
}

impl Remotes {
    /// A call on a task of its own: where this future is dropped because the task here was cancelled or its time is
    /// over, the call is withdrawn over there.
    async fn call(
        &self,
        recorder: &Recorder,
        call: RemoteCall,
        report: Report,
    ) -> Result<RemoteEnd, RemoteFault> {
        let (give_up, given_up) = oneshot::channel::<()>();
        let given_up = async move {
            if given_up.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let mut calling = self.tools.call(call, report, Box::pin(given_up));
        let (waiting, left) = oneshot::channel::<()>();
        let (shared, entry) = (recorder.shared().clone(), recorder.entry().clone());
        let called = recorder.shared().runtime.spawn(async move {
            tokio::select! {
                end = &mut calling => return Some(end),
                _ = left => {}
            }
            let patience = Duration::from_secs(limits::WITHDRAW_SECONDS);
            if tokio::time::timeout(patience, ended_early(&shared, &entry)).await.is_ok_and(|ended| ended)
                && give_up.send(()).is_ok()
            {
                let _ = tokio::time::timeout(patience, calling).await;
            }
            None
        });
        let end = called.await;
        drop(waiting);
        end.ok().flatten().unwrap_or_else(|| Err(RemoteFault::Lost("the call was cut off".to_owned())))
    }
}

/// Ends once a task whose attempt is over has ended, on disk: true where its result is wanted no more.
async fn ended_early(shared: &Shared, entry: &Entry) -> bool {
    let mut stop = entry.stop.subscribe();
    let state = loop {
        let state = entry.lock().status.state;
        if state.is_terminal() {
            break state;
        }
        if stop.changed().await.is_err() {
            return false;
        }
    };
    let stored = match shared.commit(Commit::new()) {
        Ok(stored) => stored.await.is_ok(),
        Err(_) => false,
    };
    stored && matches!(state, State::Cancelled | State::Failed(FailedReason::Timeout))
}

async fn done(
    recorder: &Recorder,
    op: OpHandle,
    hash: u64,
    end: &RemoteEnd,
) -> Result<Outcome, RecorderError> {
    let bytes = encode(end).map_err(RecorderError::Fault)?;
    let outcome = outcome_of(&bytes);
    recorder.op_done(op, hash, bytes)?;
    crate::crash_point!("op_done");
    recorder.barrier().await?;
    Ok(outcome)
}

fn outcome_of(bytes: &[u8]) -> Outcome {
    match serde_json::from_slice(bytes) {
        Ok(RemoteEnd::Result(result)) => Outcome::Completed(result),
        Ok(RemoteEnd::Protocol(error)) => Outcome::Protocol(error),
        Err(error) => Outcome::HostFault { message: format!("the recorded answer is unreadable: {error}") },
    }
}
