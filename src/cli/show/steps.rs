//! What a task did and when, for people.

use super::render::{Output, Table};
use crate::api::{FoldedDocument, StepsDocument, TraceEntry};
use crate::cli::exit::Result;

/// A row a step or mark, in the order in which they began.
pub fn print(output: Output, steps: &StepsDocument) -> Result<()> {
    let mut table = Table::new(&["AT", "ATTEMPT", "WHAT", "TOOK", "ABOUT"]);
    if let Some(folded) = &steps.folded {
        table.row([folded.from.as_str(), "", "folded", "", &folded_text(folded)]);
    }
    for entry in &steps.entries {
        match entry {
            TraceEntry::Step { kind, label, started_at, took_ms, state, attempt, .. } => {
                let took = match took_ms {
                    Some(took) if state == "done" => took_text(*took),
                    Some(took) => format!("{} ({})", took_text(*took), words(state)),
                    None => words(state),
                };
                table.row([started_at.as_str(), &attempt.to_string(), kind, &took, label]);
            }
            TraceEntry::Mark { kind, about, at, attempt, records, took_ms, step } => {
                let took = took_ms.map(took_text).unwrap_or_default();
                let about = about_mark(kind, about.as_deref(), *records, *step);
                table.row([at.as_str(), &attempt.to_string(), &format!("- {kind}"), &took, &about]);
            }
        }
    }
    // On stderr: they are no steps.
    if steps.entries.is_empty() && steps.folded.is_none() {
        eprintln!("no steps: the task has not begun, or a version of longhaul ran it that kept none");
    }
    if steps.unreadable > 0 {
        eprintln!("{} rows of the trace cannot be read: longhaul doctor --check", steps.unreadable);
    }
    output.table(&table)
}

fn folded_text(folded: &FoldedDocument) -> String {
    let kinds: Vec<String> = folded.by_kind.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
    format!("{} earlier steps folded, from {} to {}{kinds}", folded.steps, folded.from, folded.to)
}

fn about_mark(kind: &str, about: Option<&str>, records: Option<u64>, step: Option<u64>) -> String {
    let about = about.unwrap_or_default();
    match (kind, records, step) {
        ("replayed", Some(records), _) => format!("{records} records"),
        ("evicted", ..) => format!("waits for: {about}"),
        (_, _, Some(step)) => format!("{about}, step {step}"),
        _ => about.to_owned(),
    }
}

fn words(state: &str) -> String {
    state.replace('_', " ")
}

fn took_text(millis: f64) -> String {
    match millis {
        millis if millis < 1_000.0 => format!("{millis:.1} ms"),
        millis if millis < 60_000.0 => format!("{:.2} s", millis / 1_000.0),
        millis => {
            let seconds = (millis / 1_000.0) as u64;
            let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
            if hours > 0 { format!("{hours} h {minutes} min") } else { format!("{minutes} min {seconds} s") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_long_as_they_are_worth() {
        let shown = [0.0, 0.25, 999.9, 1_000.0, 59_990.0, 60_000.0, 3_599_999.0, 90_061_000.0].map(took_text);
        assert_eq!(
            shown,
            ["0.0 ms", "0.2 ms", "999.9 ms", "1.00 s", "59.99 s", "1 min 0 s", "59 min 59 s", "25 h 1 min"]
        );
    }
}
