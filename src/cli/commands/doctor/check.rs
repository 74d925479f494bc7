use serde::Serialize;

/// What was looked at, what was found, and what to do where that is not as it should be.
#[derive(Debug, Serialize)]
pub struct Check {
    pub what: &'static str,
    pub ok: bool,
    pub found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    pub fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, ok: true, found: found.into(), advice: None }
    }

    pub fn warn(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, ok: false, found: found.into(), advice: Some(advice.into()) }
    }
}
