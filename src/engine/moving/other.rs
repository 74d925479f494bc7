//! Which version of a component its open tasks are tried with.

use std::sync::Arc;

use crate::catalog::{Bindings, Candidate, Component, RequestText, Statement};
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::packed::Other;
use crate::limits;

impl TaskEngine {
    /// The version that waits for a person's approval; else the one that is served, or, where nothing runs, was added.
    pub async fn other_version(&self, name: &str) -> Result<Other, EngineError> {
        let catalog = self.catalog();
        if let Some(waiting) = catalog.unapproved().find(|waiting| waiting.component.name == name) {
            let component = Arc::new(waiting.component.clone());
            let bytes = self.component_bytes(&component.id).await?;
            return Ok(Other {
                component,
                bytes,
                offered: Some(waiting.statement.offered(&Bindings::default())),
            });
        }
        if catalog.component(name).is_some() {
            return self.served_version(name).await;
        }
        let added = self.added().await?.into_iter().find(|added| added.name == name);
        if let Some(added) = added.filter(|_| !self.shared.is_running()) {
            let bytes = self.component_bytes(&added.version.component).await?;
            return self.version_of_file(name, bytes, &added.version.requests).await;
        }
        let why = match catalog.pending().any(|(pending, _)| pending == name) {
            true => "it is being compiled, or could not be: see longhaul tool list",
            false => "no component of that name is served or waits for approval: name its file",
        };
        Err(EngineError::NotTriable { name: shortened(name), why: why.to_owned() })
    }

    /// The version that calls get.
    pub async fn served_version(&self, name: &str) -> Result<Other, EngineError> {
        let catalog = self.catalog();
        let refused = |why: &str| EngineError::NotMovable { name: shortened(name), why: why.to_owned() };
        if catalog.unapproved().any(|waiting| waiting.component.name == name) {
            return Err(refused("its other version waits for a person, and is approved first"));
        }
        let component = catalog.component(name).cloned();
        let component = component.ok_or_else(|| refused("no component of that name is served"))?;
        let bytes = self.component_bytes(&component.id).await?;
        Ok(Other { component, bytes, offered: None })
    }

    /// One that is in a file, as it could be approved: nothing of it is kept.
    pub async fn version_of_file(
        &self,
        name: &str,
        bytes: Arc<[u8]>,
        requests: &RequestText,
    ) -> Result<Other, EngineError> {
        let unusable = |error: &dyn std::fmt::Display| EngineError::NotTriable {
            name: shortened(name),
            why: error.to_string(),
        };
        let manifest = requests.parse().map_err(|error| unusable(&error))?.manifest;
        let inspection = self.inspect(bytes.clone()).await.map_err(|error| unusable(&error))?;
        let shared = &self.shared;
        let id = crate::task::ComponentId::of_bytes(&bytes);
        let trusted = shared.trusts_all;
        // A trial serves nothing: whose it is, is looked at where it is to be served.
        let candidate = Candidate { name: name.to_owned(), id, manifest, inspection, trusted, signed: None };
        let statement = (!trusted).then(|| Statement::of(candidate.clone(), &shared.operator)).transpose()?;
        let component = Arc::new(Component::assemble(candidate, &shared.operator)?);
        Ok(Other {
            component,
            bytes,
            offered: statement.map(|statement| statement.offered(&Bindings::default())),
        })
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(limits::MAX_TOOL_NAME_CHARS).collect()
}
