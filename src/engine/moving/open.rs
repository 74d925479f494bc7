//! The open tasks of a component, whichever version of it they have. By the store alone, so that it is the same where no
//! engine runs.

use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};

use crate::catalog::Component;
use crate::engine::rows::{self, ComponentRow};
use crate::store::{Snapshot, Space, StoreError};
use crate::task::{ComponentId, TaskId};

/// An open task that has another version.
#[derive(Clone, Debug)]
pub struct Open {
    pub id: TaskId,
    pub tool: String,
    pub component: ComponentId,
}

/// Those behind `after`, oldest first, that have another version than this component.
pub fn with_another(
    snapshot: &Snapshot<'_>,
    component: &Component,
    after: Option<TaskId>,
) -> Result<Vec<Open>, StoreError> {
    let names = stored_names(snapshot)?;
    let mut ids = Vec::new();
    let start = after.as_ref().map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_bytes().as_slice()));
    snapshot.scan(Space::Open, (start, Bound::Unbounded), false, |key, _| {
        ids.extend(rows::trailing_id(key));
        ControlFlow::Continue(())
    })?;
    let has_tool = |tool: &str| component.tools.iter().any(|entry| entry.tool.definition.name == tool);
    let mut found = Vec::new();
    for id in ids {
        let Some((task, _)) = rows::read_task_row(snapshot, id)? else { continue };
        let is_of_it = match names.get(&task.component) {
            Some(name) => *name == component.name,
            // Its bytes are gone, and with them its name.
            None => task.component.digest().is_some() && has_tool(&task.tool),
        };
        if is_of_it && task.component != component.id {
            found.push(Open { id, tool: task.tool, component: task.component });
        }
    }
    Ok(found)
}

/// Under which name each component was stored.
fn stored_names(snapshot: &Snapshot<'_>) -> Result<HashMap<ComponentId, String>, StoreError> {
    let mut names = HashMap::new();
    snapshot.scan_prefix(Space::Component, &[], false, |key, row| {
        let row = rows::decode::<ComponentRow>(Space::Component, key, row);
        if let (Ok(id), Ok(row)) = (String::from_utf8(key.to_vec()), row) {
            names.insert(ComponentId::from_stored(id), row.name);
        }
        ControlFlow::Continue(())
    })?;
    Ok(names)
}
