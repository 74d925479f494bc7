use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS, shown_as_it_is};
use crate::catalog::{Annotations, Catalog, Component, Pending};
use crate::engine::{Added, AddedVersion, TaskEngine};
use crate::limits;

/// How the components of this server stand.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolComponents {
    /// Wait until none is compiled any more, so many seconds at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<u64>,
}

/// How a component stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentState {
    /// Its tools come once it is compiled.
    Compiling,
    /// Its tools are served.
    Ready,
    WaitsForApproval,
    Failed,
}

impl ComponentState {
    pub fn words(self) -> &'static str {
        match self {
            Self::Compiling => "compiling",
            Self::Ready => "ready",
            Self::WaitsForApproval => "waits for approval",
            Self::Failed => "failed",
        }
    }
}

/// A component and its tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentDocument {
    pub name: String,
    pub state: ComponentState,
    /// Why it is not served, in words that may quote the component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its digest, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The file that it was added from, or its place in a registry with the digest that it had there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    pub tools: Vec<String>,
    /// Its guests run in a worker process, apart from the server.
    #[serde(default, skip_serializing_if = "is_false")]
    pub isolated: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComponentsListed {
    pub components: Vec<ComponentDocument>,
    /// Some may come that are not named here yet.
    pub loading: bool,
}

shown_as_it_is!(ComponentsListed);

impl ComponentsListed {
    fn of(catalog: &Catalog, is_isolated: impl Fn(&Component) -> bool) -> Self {
        let known = |component: &Component, state, why| known(component, state, why, is_isolated(component));
        let served = catalog.components().map(|component| known(component, ComponentState::Ready, None));
        let waiting = catalog.unapproved().map(|waiting| {
            let why = waiting.reasons.summary().to_owned();
            known(&waiting.component, ComponentState::WaitsForApproval, Some(why))
        });
        let pending = catalog.pending().map(|(name, pending)| {
            let (state, why) = match pending {
                Pending::Compiling => (ComponentState::Compiling, None),
                Pending::Failed(why) => (ComponentState::Failed, Some(why.clone())),
            };
            ComponentDocument {
                name: name.to_owned(),
                state,
                why,
                component: None,
                from: None,
                tools: Vec::new(),
                isolated: false,
            }
        });
        let mut components: Vec<_> = served.chain(waiting).chain(pending).collect();
        components.sort_by(|one, other| one.name.cmp(&other.name));
        Self { components, loading: catalog.is_loading() }
    }

    fn with_places(mut self, added: &[Added]) -> Self {
        for document in &mut self.components {
            let mut versions =
                added.iter().filter(|added| added.name == document.name).flat_map(Added::versions);
            let is_it = |version: &&AddedVersion| document.component == Some(version.component.to_string());
            document.from = versions.find(is_it).map(|it| it.from.to_string_lossy().into_owned());
        }
        self
    }
}

fn known(
    component: &Component,
    state: ComponentState,
    why: Option<String>,
    isolated: bool,
) -> ComponentDocument {
    ComponentDocument {
        name: component.name.clone(),
        state,
        why,
        component: Some(component.id.to_string()),
        from: None,
        tools: component.tools.iter().map(|entry| entry.tool.definition.name.clone()).collect(),
        isolated,
    }
}

impl Operation for ToolComponents {
    type Response = ComponentsListed;

    const NAME: &'static str = "tool_components";
    const TITLE: &'static str = "List components";
    const DESCRIPTION: &'static str =
        "List the components of this server: which are served, and why others are not.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, _: &Caller<'_>) -> Result<ComponentsListed, ApiError> {
        let seconds = self.wait_seconds.unwrap_or_default().min(limits::MAX_TASK_WAIT_SECONDS);
        // Where the time is over, they stand as they do.
        let _ = tokio::time::timeout(Duration::from_secs(seconds), engine.loaded()).await;
        let listed = ComponentsListed::of(&engine.catalog(), |component| engine.is_isolated(component));
        Ok(listed.with_places(&engine.added().await?))
    }
}
