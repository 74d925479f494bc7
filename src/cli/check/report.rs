//! What a check found, as a document and in words.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::compare::{Kind, Problem};
use super::drive::Run;
use crate::catalog::{Component, Holdings};
use crate::cli::exit::{Exit, Result};
use crate::cli::show::render::{Output, bytes, escape};
use crate::limits;
use crate::task::TaskLimits;

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub component: String,
    pub digest: String,
    pub tool: String,
    /// Whether all went well.
    pub ok: bool,
    pub undisturbed: Undisturbed,
    pub interruptions: Interruptions,
    pub problems: Vec<Problem>,
    pub capabilities: Capabilities,
    pub bounds: Vec<Bound>,
    pub resumption: Resumption,
}

#[derive(Clone, Debug, Serialize)]
pub struct Undisturbed {
    pub state: &'static str,
    /// The tool reports an error of its own.
    pub is_error: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub records: u64,
    pub requests: usize,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Interruptions {
    /// Runs that were interrupted.
    pub tried: u64,
    /// Of them, those that were resumed from a journal.
    pub resumed: u64,
    /// Every record, or some that are spread evenly.
    pub every_record: bool,
    /// Requests that left once more, in all runs.
    pub sent_again: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Capabilities {
    pub used: Vec<String>,
    /// Requested, and not used in these runs.
    pub unused: Vec<String>,
    /// Asked for and refused, since the manifest does not request it: the lines that would.
    pub refused: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Bound {
    pub name: &'static str,
    pub used: u64,
    pub bound: u64,
    pub percent: u64,
    pub unit: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub struct Resumption {
    /// What a resumption computes again at most, milliseconds.
    pub computes_ms: u64,
    /// What an undisturbed run computes in all.
    pub awake_ms: u64,
    /// It saves its state on the way.
    pub has_checkpoints: bool,
}

impl Report {
    pub fn new(component: &Component, tool: &str, undisturbed: &Run) -> Self {
        let error = undisturbed.view.error.as_ref();
        let taken = &undisturbed.taken;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            component: component.name.clone(),
            digest: component.id.to_string(),
            tool: tool.to_owned(),
            ok: undisturbed.result.is_some(),
            undisturbed: Undisturbed {
                state: undisturbed.view.state.name(),
                is_error: undisturbed.result.as_ref().is_some_and(|result| result.is_error),
                error: error.map(|error| error.message.clone()),
                detail: error.and_then(|error| error.detail.clone()),
                records: taken.records,
                requests: undisturbed.requests.len(),
            },
            interruptions: Interruptions::default(),
            problems: Vec::new(),
            capabilities: capabilities(&component.holdings, undisturbed),
            bounds: bounds(&component.holdings.limits, undisturbed),
            resumption: Resumption {
                computes_ms: millis(taken.longest_replay),
                awake_ms: millis(taken.awake),
                has_checkpoints: taken.longest_replay < taken.awake,
            },
        }
    }

    pub fn add(&mut self, problem: Problem) {
        self.ok = false;
        self.problems.push(problem);
    }

    pub fn exit(&self) -> Exit {
        if self.ok { Exit::Done } else { Exit::Failed }
    }

    pub fn print(&self, output: Output) -> Result<()> {
        if output.json {
            return output.json(self);
        }
        self.lines().iter().try_for_each(|line| output.line(line))
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}  {}  {}", escape(&self.tool), escape(&self.component), self.digest)];
        lines.extend(self.of_undisturbed());
        lines.extend(self.of_interruptions());
        let list = |names: &[String]| match names {
            [] => "none".to_owned(),
            names => names.iter().map(|name| escape(name)).collect::<Vec<_>>().join(", "),
        };
        lines.push(format!("capabilities used: {}", list(&self.capabilities.used)));
        if !self.capabilities.unused.is_empty() {
            lines.push(format!("requested and not used here: {}", list(&self.capabilities.unused)));
        }
        if !self.capabilities.refused.is_empty() {
            lines.push(
                "asked for and refused; to request it, write in the manifest: [capabilities]".to_owned(),
            );
            lines.extend(self.capabilities.refused.iter().map(|line| format!("    {}", escape(line))));
        }
        for bound in &self.bounds {
            let near = if bound.percent >= limits::NEAR_BOUND_PERCENT { "  <- near its bound" } else { "" };
            let (used, most) = (shown(bound.used, bound.unit), shown(bound.bound, bound.unit));
            lines.push(format!("{}: {used} of {most}, {} %{near}", bound.name, bound.percent));
        }
        lines.push(self.of_resumption());
        lines.push(if self.ok { "all went well".to_owned() } else { "not all went well".to_owned() });
        lines
    }

    fn of_undisturbed(&self) -> Vec<String> {
        let Undisturbed { state, is_error, error, detail, records, requests } = &self.undisturbed;
        let as_error = if *is_error { ", with an error of the tool's own" } else { "" };
        let mut lines =
            vec![format!("undisturbed: {state}{as_error}; records: {records}, requests: {requests}")];
        lines.extend(error.iter().map(|error| format!("  {}", escape(error))));
        let of_detail = detail.iter().flat_map(|detail| detail.lines());
        lines.extend(of_detail.map(|line| format!("    {}", escape(line))));
        lines
    }

    fn of_interruptions(&self) -> Vec<String> {
        let Interruptions { tried, resumed, every_record, sent_again } = &self.interruptions;
        if *tried == 0 {
            return vec!["interrupted: never".to_owned()];
        }
        let at = if *every_record { "at every record" } else { "at records that are spread evenly" };
        let mut lines =
            vec![format!("interrupted: {tried} times, {at}; {resumed} runs went on from their journal")];
        if *sent_again > 0 {
            lines.push(format!(
                "  {sent_again} requests left once more: those that are not safe under the same idempotency key"
            ));
        }
        let shown = self.problems.iter().take(limits::MAX_PROBLEMS_SHOWN);
        lines.extend(
            shown.map(|problem| format!("  {}: {}", escape(&problem.at.to_string()), escape(&problem.words))),
        );
        let more = self.problems.len().saturating_sub(limits::MAX_PROBLEMS_SHOWN);
        if more > 0 {
            lines.push(format!("  and {more} more; --json has all"));
        }
        if self.problems.iter().any(|problem| problem.kind == Kind::UnknownOutcome) {
            lines.push(
                "  a request that may have arrived is not sent again by itself; where its server honours Idempotency-Key, \
                 write [effects] idempotent_hosts = [\"HOST\"] into the manifest, or unknown_outcome = \"retry\" or \"ask\""
                    .to_owned(),
            );
        }
        lines
    }

    fn of_resumption(&self) -> String {
        let Resumption { computes_ms, awake_ms, has_checkpoints } = self.resumption;
        let saved = if has_checkpoints { ", thanks to its checkpoints" } else { "" };
        format!(
            "a resumption computes {computes_ms} ms again at most{saved}; the whole run computes {awake_ms} ms"
        )
    }
}

fn shown(amount: u64, unit: &str) -> String {
    match unit {
        "bytes" => bytes(amount),
        "ms" if amount >= 10_000 => format!("{} s", amount / 1_000),
        "ms" => format!("{amount} ms"),
        // The bound's name says what is counted.
        _ => amount.to_string(),
    }
}

fn capabilities(holdings: &Holdings, run: &Run) -> Capabilities {
    let requested = &holdings.grant;
    let origin = |line: &str| {
        let url = line.split_once(' ').and_then(|(_, url)| reqwest::Url::parse(url).ok())?;
        Some(format!("http {}", url.origin().ascii_serialization()))
    };
    let mut used: BTreeSet<String> =
        run.requests.iter().filter_map(|request| origin(&request.line)).collect();
    used.extend(run.used.tools.iter().map(|name| format!("tool {name}")));
    used.extend(run.used.state.iter().map(|namespace| format!("state {namespace}")));
    used.extend(run.used.has_files.then(|| "files".to_owned()));
    used.extend((run.used.questions > 0).then(|| "elicit".to_owned()));
    used.extend(run.used.models.iter().map(|name| format!("model {name}")));
    used.extend(run.used.has_sampled.then(|| "sample".to_owned()));
    let has = |kind: &str| used.iter().any(|used| used.split(' ').next() == Some(kind));
    let mut unused = Vec::new();
    unused.extend((!requested.http.is_empty() && !has("http")).then(|| "http".to_owned()));
    unused.extend((!holdings.requested.files.is_empty() && !has("files")).then(|| "files".to_owned()));
    unused.extend((!requested.state.is_empty() && !has("state")).then(|| "state".to_owned()));
    let uncalled =
        requested.tools.iter().filter(|name| !name.contains('*') && !run.used.tools.contains(name));
    unused.extend(uncalled.map(|name| format!("tool {name}")));
    unused.extend((requested.elicit && !has("elicit")).then(|| "elicit".to_owned()));
    let unasked = requested.models.iter().filter(|name| !run.used.models.contains(name));
    unused.extend(unasked.map(|name| format!("model {name}")));
    unused.extend((requested.sample && !has("sample")).then(|| "sample".to_owned()));
    Capabilities { used: used.into_iter().collect(), unused, refused: run.used.refused.clone() }
}

fn bounds(limits: &TaskLimits, run: &Run) -> Vec<Bound> {
    let bound = |name, used: u64, bound: u64, unit| Bound {
        name,
        used,
        bound,
        percent: used.saturating_mul(100) / bound.max(1),
        unit,
    };
    let taken = &run.taken;
    let result = run.result.as_ref().map_or(0, |result| result.size_bytes() as u64);
    let awake = u64::try_from(taken.awake.as_millis()).unwrap_or(u64::MAX);
    vec![
        bound("memory_mib", taken.memory_bytes, limits.memory_mib << 20, "bytes"),
        bound("run_seconds", awake, limits.run_seconds.saturating_mul(1_000), "ms"),
        bound("journal_mib", taken.journal_bytes, limits.journal_mib << 20, "bytes"),
        bound("result_kib", result, limits.result_kib << 10, "bytes"),
        bound("questions", run.used.questions, limits.questions.into(), "questions"),
        bound("samples", run.used.samples, limits.samples.into(), "samples"),
    ]
}
