use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
}

/// An approval by which a component is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    pub statement: Arc<Statement>,
    pub capabilities: Vec<NamedCapability>,
    pub expires_at: Option<UnixNanos>,
    /// Of the capabilities, with the operator's folders and sources: never more than what the statement offers.
    pub grant: Grant,
}

impl Statement {
    /// The most that an approval of it gives. What the operator has written down for it is the last word; where that is
    /// nothing, it is what its manifest requests, but for folders and secrets, which only the operator binds.
    pub fn offered(&self) -> Grant {
        match self.granted.is_empty() {
            true => self.requested.clone().bound(),
            false => self.granted.clone(),
        }
    }
}

impl Approval {
    /// `Err` of a capability that is beyond what is offered.
    pub fn new(statement: Statement, terms: Terms) -> Result<Self, NamedCapability> {
        let capabilities = terms.capabilities.unwrap_or_else(|| statement.granted.named());
        let grant = statement.offered().limited_to(&capabilities)?;
        Ok(Self { statement: Arc::new(statement), capabilities, expires_at: terms.expires_at, grant })
    }

    pub fn terms(&self) -> Terms {
        Terms { capabilities: Some(self.capabilities.clone()), expires_at: self.expires_at }
    }
}

/// Whether an approval that was given at one date, and counts until another, counts at `now`. Where the clock says that
/// it was not given yet, the clock was set back, and when it ends is not known any more.
pub(super) fn is_over(given_at: UnixNanos, expires_at: Option<UnixNanos>, now: UnixNanos) -> bool {
    const STEP: UnixNanos = limits::MAX_CLOCK_STEP_SECONDS * 1_000_000_000;
    expires_at.is_some_and(|at| now >= at || now.saturating_add(STEP) < given_at)
}
