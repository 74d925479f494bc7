//! What a task sees of the server's environment: the variables that its component is granted, as they are when it is made.

use crate::catalog::Tool;
use crate::engine::shared::Shared;
use crate::limits;
use crate::task::Variable;

/// Variables that are not set are left out, and so are those that go past a bound, which the log says: the operator's
/// environment is no fault of who calls.
pub fn of(shared: &Shared, tool: &Tool) -> Vec<Variable> {
    let mut bytes = 0;
    let mut seen = Vec::new();
    for name in &tool.grant.env {
        if is_secret(tool, name) {
            continue;
        }
        let Some(value) = (shared.environment)(name) else { continue };
        bytes += name.len() + value.len();
        if bytes > limits::MAX_ENVIRONMENT_BYTES {
            let (component, most) = (&tool.component_name, limits::MAX_ENVIRONMENT_BYTES);
            tracing::warn!(%component, name, "the environment of a task has at most {most} bytes: this variable is left out");
            bytes -= name.len() + value.len();
            continue;
        }
        seen.push((name.clone(), value));
    }
    seen
}

/// What goes into its requests unseen is not shown to it by another way.
fn is_secret(tool: &Tool, name: &str) -> bool {
    let source = format!("env:{name}");
    tool.grant.secrets.iter().any(|secret| secret.from.as_ref() == Some(&source))
}
