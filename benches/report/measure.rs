//! What all questions share: percentiles, medians, the control, rows of the report.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// One line of the report.
pub struct Row {
    pub what: String,
    pub measured: String,
    pub compared: String,
    pub goal: Option<Goal>,
}

/// What a number should be.
pub struct Goal {
    pub found: f64,
    pub bound: Bound,
}

pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    pub fn new(what: impl Into<String>, measured: impl Into<String>, compared: impl Into<String>) -> Self {
        Self { what: what.into(), measured: measured.into(), compared: compared.into(), goal: None }
    }

    #[must_use]
    pub fn at_most(mut self, found: f64, bound: f64) -> Self {
        self.goal = Some(Goal { found, bound: Bound::AtMost(bound) });
        self
    }

    #[must_use]
    pub fn at_least(mut self, found: f64, bound: f64) -> Self {
        self.goal = Some(Goal { found, bound: Bound::AtLeast(bound) });
        self
    }
}

impl Goal {
    pub fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(bound) => self.found <= bound,
            Bound::AtLeast(bound) => self.found >= bound,
        }
    }

    pub fn words(&self) -> String {
        match self.bound {
            Bound::AtMost(bound) => format!("<= {bound}"),
            Bound::AtLeast(bound) => format!(">= {bound}"),
        }
    }
}

/// Durations of one kind of operation, in ascending order.
#[derive(Default)]
pub struct Sample {
    micros: Vec<f64>,
    seconds: f64,
}

impl Sample {
    pub fn new(mut micros: Vec<f64>, elapsed: Duration) -> Self {
        micros.sort_by(f64::total_cmp);
        Self { micros, seconds: elapsed.as_secs_f64() }
    }

    pub fn p50(&self) -> f64 {
        self.at(0.5)
    }

    pub fn p99(&self) -> f64 {
        self.at(0.99)
    }

    #[cfg(all(feature = "sandbox", feature = "mcp"))]
    pub fn longest(&self) -> f64 {
        self.at(1.0)
    }

    /// How many operations.
    #[cfg(feature = "cli")]
    pub fn count(&self) -> usize {
        self.micros.len()
    }

    pub fn per_second(&self) -> f64 {
        self.micros.len() as f64 / self.seconds
    }

    /// All operations of several samples as one.
    pub fn merged(samples: Vec<Self>) -> Self {
        let seconds = samples.iter().map(|sample| sample.seconds).sum();
        let mut micros: Vec<f64> = samples.into_iter().flat_map(|sample| sample.micros).collect();
        micros.sort_by(f64::total_cmp);
        Self { micros, seconds }
    }

    fn at(&self, share: f64) -> f64 {
        assert!(!self.micros.is_empty(), "nothing was measured: not one operation ended in time");
        self.micros[((self.micros.len() - 1) as f64 * share) as usize]
    }
}

pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A duration as people read it.
pub fn shown(micros: f64) -> String {
    match micros {
        m if m < 1_000.0 => format!("{m:.0} us"),
        m if m < 1_000_000.0 => format!("{:.2} ms", m / 1e3),
        m => format!("{:.2} s", m / 1e6),
    }
}

/// A rate as people read it.
pub fn rate(per_second: f64) -> String {
    if per_second < 10_000.0 { format!("{per_second:.0}/s") } else { format!("{:.0}k/s", per_second / 1e3) }
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The control: appends of 4 KiB, each made durable before the next one.
pub fn fdatasyncs(folder: &Path, span: Duration) -> Sample {
    let path = folder.join("control");
    let mut file = OpenOptions::new().create(true).append(true).open(&path).expect("a file");
    let page = [0x5a; 4096];
    let mut taken = Vec::new();
    let start = Instant::now();
    while start.elapsed() < span {
        let began = Instant::now();
        file.write_all(&page).expect("an append");
        file.sync_data().expect("a sync");
        taken.push(micros(began.elapsed()));
    }
    let sample = Sample::new(taken, start.elapsed());
    std::fs::remove_file(path).expect("removed");
    sample
}
