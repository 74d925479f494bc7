//! The page of `/metrics`, in the text format that Prometheus reads.

/// A page of metrics while it is written.
#[derive(Default)]
pub struct Metrics(String);

impl Metrics {
    /// A number that only grows while the program runs: one value for each set of labels, `{name="value"}`.
    pub fn counter(&mut self, name: &str, help: &str, values: &[(&str, u64)]) {
        self.add("counter", name, help, values);
    }

    /// A number that rises and falls.
    pub fn gauge(&mut self, name: &str, help: &str, values: &[(&str, u64)]) {
        self.add("gauge", name, help, values);
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn add(&mut self, kind: &str, name: &str, help: &str, values: &[(&str, u64)]) {
        self.0.push_str(&format!("# HELP longhaul_{name} {help}\n# TYPE longhaul_{name} {kind}\n"));
        for (labels, value) in values {
            self.0.push_str(&format!("longhaul_{name}{labels} {value}\n"));
        }
    }
}
