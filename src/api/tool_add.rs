use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{ADDS, Audience, Caller, Operation, REPLACES, shown_as_it_is};
use super::tool_components::ComponentState;
use crate::catalog::{Annotations, ComponentFile};
use crate::engine::{Addition, EngineError, Standing, TaskEngine};
use crate::limits;

/// Serve a component, now and after a restart.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolAdd {
    /// Its file on the server's machine, an absolute path; a manifest or policy next to it is read too.
    pub path: String,
    /// Where the file is from, as `oci://…@sha256:…`, where it was pulled from a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// Serve another version of an added component; its tasks stay on the one that they began with.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolUpdate {
    /// The component's name, for the file that it was added from, or another file of that name, as an absolute path.
    pub what: String,
    /// As of `tool_add`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// Serve an added component no more, now and after a restart. Its tasks go on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolRemove {
    /// The component's name.
    pub name: String,
}

/// A component that was added or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedDocument {
    pub name: String,
    /// Its digest.
    pub component: String,
    /// Nothing where nothing runs: the next start looks at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<ComponentState>,
    /// Why it is not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The digest of what is served of its name until it is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<String>,
}

shown_as_it_is!(AddedDocument);

impl Operation for ToolAdd {
    type Response = AddedDocument;

    const NAME: &'static str = "tool_add";
    const TITLE: &'static str = "Add a component";
    const DESCRIPTION: &'static str = "Serve a component, now and after a restart.";
    const HINTS: Annotations = ADDS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<AddedDocument, ApiError> {
        by_person(caller, "add a component")?;
        add(engine, caller, PathBuf::from(self.path), self.from, false).await
    }
}

impl Operation for ToolUpdate {
    type Response = AddedDocument;

    const NAME: &'static str = "tool_update";
    const TITLE: &'static str = "Update a component";
    const DESCRIPTION: &'static str =
        "Serve another version of an added component; its tasks stay on the one that they began with.";
    const HINTS: Annotations = REPLACES;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<AddedDocument, ApiError> {
        by_person(caller, "update a component")?;
        let added = engine.added().await?;
        let path = match added.into_iter().find(|added| added.name == self.what) {
            Some(added) => added.version.from,
            None if Path::new(&self.what).is_absolute() => PathBuf::from(self.what),
            None => return Err(EngineError::NotAdded(self.what).into()),
        };
        add(engine, caller, path, self.from, true).await
    }
}

impl Operation for ToolRemove {
    type Response = AddedDocument;

    const NAME: &'static str = "tool_remove";
    const TITLE: &'static str = "Remove a component";
    const DESCRIPTION: &'static str =
        "Serve an added component no more, now and after a restart. Its tasks go on.";
    const HINTS: Annotations = REPLACES;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<AddedDocument, ApiError> {
        by_person(caller, "remove a component")?;
        let component = engine.remove_component(caller.principal, &self.name).await?.to_string();
        Ok(AddedDocument { name: self.name, component, state: None, why: None, serves: None })
    }
}

fn by_person(caller: &Caller<'_>, what: &str) -> Result<(), ApiError> {
    if caller.is_person { Ok(()) } else { Err(ApiError::TakesAPerson(what.to_owned())) }
}

async fn add(
    engine: &TaskEngine,
    caller: &Caller<'_>,
    path: PathBuf,
    from: Option<String>,
    replaces: bool,
) -> Result<AddedDocument, ApiError> {
    if !path.is_absolute() {
        return Err(EngineError::Unusable(format!("{} is no absolute path", path.display())).into());
    }
    if let Some(from) = from.as_deref().filter(|from| !is_place(from)) {
        let from: String = from.chars().take(limits::MAX_REGISTRY_PLACE_BYTES).collect();
        let why = format!("{} is no place in a registry, as oci://HOST/REPOSITORY is", from.escape_debug());
        return Err(EngineError::Unusable(why).into());
    }
    let file = ComponentFile::at(&path);
    let (bytes, requests) = engine.read_component(&file).await?;
    let from = from.map_or(file.path, PathBuf::from);
    let addition = Addition { name: file.name.clone(), bytes, requests, from, replaces };
    let (component, standing) = engine.add_component(caller.principal, addition).await?;
    let (state, why, serves) = match standing {
        Standing::Served => (Some(ComponentState::Ready), None, None),
        Standing::Waits { why, serves } => {
            (Some(ComponentState::WaitsForApproval), Some(why.to_owned()), serves)
        }
        Standing::Kept => (None, None, None),
    };
    let (component, serves) = (component.to_string(), serves.map(|id| id.to_string()));
    Ok(AddedDocument { name: file.name, component, state, why, serves })
}

/// What the command line made of it; here it is kept and shown alone.
fn is_place(from: &str) -> bool {
    from.starts_with("oci://")
        && from.len() <= limits::MAX_REGISTRY_PLACE_BYTES
        && from.bytes().all(|byte| byte.is_ascii_graphic())
}
