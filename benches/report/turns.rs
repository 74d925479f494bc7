//! Kinds of calls that are made in turns, each compared with the first of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Call;
use crate::clients::closed_loop;
use crate::measure::{Row, Sample, median, shown};
use crate::program::Program;

const ROUNDS: usize = 10;
const SPAN: Duration = Duration::from_secs(1);

pub struct Kind<'a> {
    /// What one call is of.
    pub of: &'a str,
    pub server: &'a Program,
    pub tool: &'a str,
    pub arguments: Value,
    /// Stands in each answer.
    pub says: &'a str,
}

impl<'a> Kind<'a> {
    /// Of the interpreter, with a program of one op.
    pub fn of_program(of: &'a str, server: &'a Program, program: &Value) -> Self {
        let arguments = json!({ "program": program });
        Self { of, server, tool: "run_program", arguments, says: "\"ops\":1" }
    }
}

/// A row for each kind, and how many times the p50 of the first one its own is.
pub fn compare(kinds: &[Kind<'_>]) -> (Vec<Row>, Vec<f64>) {
    let mut samples: Vec<Vec<Sample>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (kind, samples) in kinds.iter().zip(&mut samples) {
            let address = kind.server.address();
            let call = Call::new(address, kind.tool, kind.arguments.clone(), "inline");
            samples.push(closed_loop(address, 1, &call, kind.says, SPAN));
        }
    }
    let ratios: Vec<f64> = samples
        .iter()
        .map(|kind| median(kind.iter().zip(&samples[0]).map(|(this, first)| this.p50() / first.p50())))
        .collect();
    let rows = kinds.iter().zip(samples.into_iter().zip(&ratios)).map(|(kind, (samples, ratio))| {
        let sample = Sample::merged(samples);
        Row::new(
            format!("a call of {}", kind.of),
            format!("p50 {}, p99 {}", shown(sample.p50()), shown(sample.p99())),
            format!("p50 {ratio:.2} times that of one step"),
        )
    });
    (rows.collect(), ratios)
}
