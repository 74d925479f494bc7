//! The URIs of this server, and what changes behind them.

use crate::api::{output_uri, percent_decode, state_uri};
use crate::engine::ResourceKey;
use crate::task::TaskId;

/// What a URI of this server names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceUri {
    Task(TaskId),
    Result(TaskId),
    Output(TaskId, String),
    Log(TaskId),
    Journal(TaskId),
    Steps(TaskId),
    /// An entry of shared state: its namespace and key.
    State(String, String),
}

impl ResourceUri {
    pub const TASK: &str = "task://{id}";
    pub const RESULT: &str = "task://{id}/result";
    pub const OUTPUT: &str = "task://{id}/output/{name}";
    pub const LOG: &str = "task://{id}/log";
    pub const JOURNAL: &str = "task://{id}/journal";
    pub const STEPS: &str = "task://{id}/steps";
    pub const STATE: &str = "state://{namespace}/{key}";

    pub fn parse(uri: &str) -> Option<Self> {
        if let Some(rest) = uri.strip_prefix("state://") {
            let (namespace, key) = rest.split_once('/')?;
            let is_one = !namespace.is_empty() && !key.is_empty() && !key.contains('/');
            return is_one.then(|| Some(Self::State(namespace.to_owned(), percent_decode(key)?))).flatten();
        }
        let rest = uri.strip_prefix("task://")?;
        let (id, path) = rest.split_once('/').map_or((rest, None), |(id, path)| (id, Some(path)));
        let id: TaskId = id.parse().ok()?;
        match path {
            None => Some(Self::Task(id)),
            Some("result") => Some(Self::Result(id)),
            Some("log") => Some(Self::Log(id)),
            Some("journal") => Some(Self::Journal(id)),
            Some("steps") => Some(Self::Steps(id)),
            Some(path) => {
                let name =
                    path.strip_prefix("output/").filter(|name| !name.is_empty() && !name.contains('/'))?;
                Some(Self::Output(id, percent_decode(name)?))
            }
        }
    }

    /// The task that it belongs to, if it is of one.
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::Task(id)
            | Self::Result(id)
            | Self::Output(id, _)
            | Self::Log(id)
            | Self::Journal(id)
            | Self::Steps(id) => Some(*id),
            Self::State(..) => None,
        }
    }

    /// What to watch for changes behind it.
    pub fn key(&self) -> ResourceKey {
        match self {
            // A journal grows with its task's steps, and so does what is kept of their times.
            Self::Task(id) | Self::Journal(id) | Self::Steps(id) => ResourceKey::Task(*id),
            Self::Result(id) => ResourceKey::Result(*id),
            Self::Output(id, name) => ResourceKey::Output(*id, name.as_str().into()),
            Self::Log(id) => ResourceKey::Log(*id),
            Self::State(namespace, key) => ResourceKey::State(namespace.clone(), key.clone()),
        }
    }
}

impl std::fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Task(id) => f.write_str(&id.uri()),
            Self::Result(id) => write!(f, "{}/result", id.uri()),
            Self::Output(id, name) => f.write_str(&output_uri(*id, name)),
            Self::Log(id) => write!(f, "{}/log", id.uri()),
            Self::Journal(id) => write!(f, "{}/journal", id.uri()),
            Self::Steps(id) => write!(f, "{}/steps", id.uri()),
            Self::State(namespace, key) => f.write_str(&state_uri(namespace, key)),
        }
    }
}

/// Over pipes a listener's tasks are resources of this scheme, which no server has.
pub const TASK_STATUS_SCHEME: &str = "longhaul-task-status:";

/// The id of the task that a resource of that scheme stands for.
pub fn task_of(uri: &str) -> Option<&str> {
    uri.strip_prefix(TASK_STATUS_SCHEME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_reads_back_as_it_was_written() {
        let id = TaskId::from_bytes([9; 16]);
        for uri in [
            ResourceUri::Task(id),
            ResourceUri::Result(id),
            ResourceUri::Output(id, "a/b c%".to_owned()),
            ResourceUri::Log(id),
            ResourceUri::Journal(id),
            ResourceUri::Steps(id),
            ResourceUri::State("trips".to_owned(), "a/b c%ä".to_owned()),
        ] {
            assert_eq!(ResourceUri::parse(&uri.to_string()), Some(uri));
        }
    }

    #[test]
    fn what_is_none_of_ours_is_refused() {
        let id = TaskId::from_bytes([9; 16]);
        for wrong in [
            "task://",
            "task://1",
            "file:///etc/passwd",
            "state://trips",
            "state://trips/",
            "state:///key",
            "state://trips/a/b",
            "state://trips/%ff",
            &format!("task://{id}/"),
            &format!("task://{id}/output/"),
            &format!("task://{id}/output/a/b"),
            &format!("task://{id}/output/%ff"),
            &format!("task://{id}/results"),
            &format!("TASK://{id}"),
            &id.to_string(),
        ] {
            assert_eq!(ResourceUri::parse(wrong), None, "{wrong}");
        }
    }
}
