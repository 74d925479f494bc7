//! What comes of a call before its answer.

/// What comes of a call before its answer.
#[derive(Clone, Debug, PartialEq)]
pub enum CallEvent {
    Progress {
        progress: f64,
        total: Option<f64>,
        message: Option<String>,
        /// The task's id; sent with the first report.
        task: Option<String>,
    },
    Log {
        level: String,
        logger: Option<String>,
        text: String,
        task: Option<String>,
    },
}
