use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bindings::Bindings;
use super::statement::Statement;
use crate::authority::{Grant, NamedCapability};
use crate::clock::UnixNanos;
use crate::limits;

/// What was approved of a component besides that it is served: what it may do, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// `None`, in rows of earlier versions, is what the operator grants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<NamedCapability>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixNanos>,
    /// What of folders and secrets the person has bound.
    #[serde(default, skip_serializing_if = "Bindings::is_empty")]
    pub bindings: Bindings,
}

/// An approval by which a component is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    pub statement: Arc<Statement>,
    pub capabilities: Vec<NamedCapability>,
    pub expires_at: Option<UnixNanos>,
    pub bindings: Bindings,
    /// The principal that gave it, where it is known.
    pub by: Option<String>,
    /// Of the capabilities, with the operator's folders and sources: never more than what the statement offers.
    pub grant: Grant,
}

impl Approval {
    /// `Err` of a capability that is beyond what is offered.
    pub fn new(statement: Statement, terms: Terms) -> Result<Self, NamedCapability> {
        let Terms { capabilities, expires_at, bindings } = terms;
        let capabilities = capabilities.unwrap_or_else(|| statement.granted.named());
        let grant = statement.offered(&bindings).limited_to(&capabilities)?;
        Ok(Self { statement: Arc::new(statement), capabilities, expires_at, bindings, by: None, grant })
    }

    pub fn terms(&self) -> Terms {
        Terms {
            capabilities: Some(self.capabilities.clone()),
            expires_at: self.expires_at,
            bindings: self.bindings.clone(),
        }
    }
}

/// Whether an approval that was given at one date, and counts until another, counts at `now`. Where the clock says that
/// it was not given yet, the clock was set back, and when it ends is not known any more.
pub(super) fn is_over(given_at: UnixNanos, expires_at: Option<UnixNanos>, now: UnixNanos) -> bool {
    const STEP: UnixNanos = limits::MAX_CLOCK_STEP_SECONDS * 1_000_000_000;
    expires_at.is_some_and(|at| now >= at || now.saturating_add(STEP) < given_at)
}
