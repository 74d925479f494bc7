//! The bounds of a component's tasks: the defaults, what its manifest makes of them, and the operator's word.
//!
//! A manifest without approval asks for itself. So it may lower a bound and not raise one, whatever
//! `limits` allows at most. Retries are bounds as well: each has a fresh journal, and with it computes, asks and
//! samples again. How long a call waits for its result is none: it holds a connection, which the client can end.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::file::key;
use super::manifest::Manifest;
use super::operator::GrantTable;
use crate::task::{RetryPolicy, TaskLimits};

/// What holds for a component, and what does not.
pub(super) struct Bounds {
    pub limits: TaskLimits,
    pub retry: RetryPolicy,
    pub refused: Vec<RefusedBound>,
}

/// A bound that a manifest asks for and does not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedBound {
    /// `limits` or `retry`.
    pub table: &'static str,
    pub limit: &'static str,
    /// As it is written.
    pub asked: String,
    pub holds: String,
}

impl fmt::Display for RefusedBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} = {} ({} holds)", self.table, self.limit, self.asked, self.holds)
    }
}

impl Bounds {
    pub fn settle(manifest: &Manifest, granted: &GrantTable, trusted: bool) -> Self {
        let asked_limits = manifest.limits.over(TaskLimits::default());
        let asked_retry = manifest.retry.over(RetryPolicy::default());
        let (limits, retry) = match trusted {
            true => (asked_limits.clone(), asked_retry.clone()),
            false => (lower(&asked_limits), lower_retry(&asked_retry)),
        };
        let (limits, retry) = (granted.limits.over(limits), granted.retry.over(retry));
        let mut refused = refused_limits(&asked_limits, &limits, granted);
        refused.extend(refused_retry(&asked_retry, &retry, granted));
        Self { limits, retry, refused }
    }
}

/// What is asked for, as far as it is no more than anyone gets.
fn lower(asked: &TaskLimits) -> TaskLimits {
    let most = TaskLimits::default();
    TaskLimits {
        memory_mib: asked.memory_mib.min(most.memory_mib),
        run_seconds: asked.run_seconds.min(most.run_seconds),
        total_seconds: asked.total_seconds.min(most.total_seconds),
        journal_mib: asked.journal_mib.min(most.journal_mib),
        result_kib: asked.result_kib.min(most.result_kib),
        questions: asked.questions.min(most.questions),
        samples: asked.samples.min(most.samples),
        sample_tokens: asked.sample_tokens.min(most.sample_tokens),
        model_cost_cents: asked.model_cost_cents.min(most.model_cost_cents),
    }
}

fn lower_retry(asked: &RetryPolicy) -> RetryPolicy {
    let most = RetryPolicy::default();
    RetryPolicy { attempts: asked.attempts.min(most.attempts), backoff: asked.backoff.max(most.backoff) }
}

/// What the operator has written down is a decision: nothing is missing there.
fn refused_limits(asked: &TaskLimits, held: &TaskLimits, granted: &GrantTable) -> Vec<RefusedBound> {
    let bounds = asked.named().into_iter().zip(held.named()).zip(granted.limits.list_bounds());
    let refused = bounds.filter(|(((_, asked), (_, held)), said)| said.is_none() && asked > held);
    let refusal = |(((limit, asked), (_, held)), _): (((_, u64), (_, u64)), _)| RefusedBound {
        table: "limits",
        limit,
        asked: asked.to_string(),
        holds: held.to_string(),
    };
    refused.map(refusal).collect()
}

fn refused_retry(asked: &RetryPolicy, held: &RetryPolicy, granted: &GrantTable) -> Vec<RefusedBound> {
    let refusal = |limit, asked: String, holds: String| RefusedBound { table: "retry", limit, asked, holds };
    let mut refused = Vec::new();
    if granted.retry.attempts.is_none() && asked.attempts > held.attempts {
        refused.push(refusal("attempts", asked.attempts.to_string(), held.attempts.to_string()));
    }
    // Without a retry there is nothing to wait for.
    if granted.retry.backoff.is_none() && asked.backoff < held.backoff && asked.attempts > 1 {
        refused.push(refusal("backoff", written(asked.backoff), written(held.backoff)));
    }
    refused
}

/// As a manifest has it.
fn written(backoff: Duration) -> String {
    match backoff.subsec_nanos() {
        0 => format!("\"{}s\"", backoff.as_secs()),
        _ => format!("\"{}ms\"", backoff.as_millis()),
    }
}

/// The lines of `longhaul.toml` that give a component the bounds that it does not get.
pub fn bound_lines(component: &str, refused: &[RefusedBound]) -> String {
    let mut lines = vec![format!("[grants.{}]", key(component))];
    for table in ["limits", "retry"] {
        let of_table = refused.iter().filter(|bound| bound.table == table);
        let given: Vec<String> = of_table.map(|bound| format!("{} = {}", bound.limit, bound.asked)).collect();
        if !given.is_empty() {
            lines.push(format!("{table} = {{ {} }}", given.join(", ")));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::limits;

    const GREEDY: &str = "[limits]\nmemory_mib = 4096\nrun_seconds = 86400\ntotal_seconds = 315619200\n\
        journal_mib = 16384\nresult_kib = 65536\nquestions = 10000\nsamples = 100000\n\
        sample_tokens = 1000000000\nmodel_cost_cents = 100000000\n[retry]\nattempts = 1000\nbackoff = \"1ms\"";

    fn settled(manifest: &str, granted: &str, trusted: bool) -> Bounds {
        let manifest = Manifest::parse(Path::new("a.toml"), manifest).expect("a manifest");
        Bounds::settle(&manifest, &toml::from_str(granted).expect("a grant"), trusted)
    }

    #[test]
    fn a_manifest_alone_raises_nothing() {
        let bounds = settled(GREEDY, "", false);
        assert_eq!((bounds.limits, bounds.retry), (TaskLimits::default(), RetryPolicy::default()));
        let names: Vec<_> = bounds.refused.iter().map(|bound| bound.limit).collect();
        let of_limits = TaskLimits::default().named().map(|(name, _)| name);
        assert_eq!(names, [&of_limits[..], &["attempts", "backoff"]].concat());
        for just_beyond in ["total_seconds = 604801", "result_kib = 1025", "questions = 11"] {
            let bounds = settled(&format!("[limits]\n{just_beyond}"), "", false);
            assert_eq!(bounds.limits, TaskLimits::default(), "{just_beyond}");
            assert_eq!(bounds.refused.len(), 1, "{just_beyond}");
        }
    }

    #[test]
    fn a_manifest_alone_lowers_what_it_likes() {
        let bounds = settled(
            "[limits]\nmemory_mib = 1\nsamples = 0\nrun_seconds = 301\n[retry]\nattempts = 1\nbackoff = \"1h\"",
            "",
            false,
        );
        let (memory, samples) = (bounds.limits.memory_mib, bounds.limits.samples);
        assert_eq!((memory, samples, bounds.limits.run_seconds), (1, 0, limits::DEFAULT_RUN_SECONDS));
        assert_eq!(bounds.retry.backoff, Duration::from_secs(3600));
        assert_eq!(bounds.refused.iter().map(|bound| bound.limit).collect::<Vec<_>>(), ["run_seconds"]);
    }

    #[test]
    fn trust_or_the_operators_line_gives_what_is_asked_and_that_line_alone() {
        let trusted = settled(GREEDY, "", true);
        assert_eq!((trusted.limits.memory_mib, trusted.retry.attempts), (4096, 1000));
        assert_eq!(trusted.refused, []);
        let granted = settled(GREEDY, "limits = { memory_mib = 1024 }\nretry = { attempts = 3 }", false);
        assert_eq!((granted.limits.memory_mib, granted.retry.attempts), (1024, 3));
        assert_eq!(granted.limits.run_seconds, limits::DEFAULT_RUN_SECONDS);
        let missing: Vec<_> = granted.refused.iter().map(|bound| bound.limit).collect();
        assert!(!missing.contains(&"memory_mib") && !missing.contains(&"attempts"), "{missing:?}");
        assert!(missing.contains(&"samples") && missing.contains(&"backoff"), "{missing:?}");
        let lowered = settled("[limits]\nquestions = 2", "limits = { questions = 1 }", false);
        assert_eq!((lowered.limits.questions, lowered.refused.len()), (1, 0));
    }

    #[test]
    fn the_lines_to_write_give_what_was_asked_for() {
        let refused = settled(GREEDY, "", false).refused;
        let lines = bound_lines("a.b", &refused);
        let operator: toml::Table = toml::from_str(&lines).expect("TOML");
        let table = operator["grants"]["a.b"].clone();
        let given = Bounds::settle(&Manifest::default(), &table.try_into().expect("a grant"), false);
        let trusted = settled(GREEDY, "", true);
        assert_eq!((given.limits, given.retry), (trusted.limits, trusted.retry));
    }
}
