use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::operation::{Audience, Caller, Operation, READS, REPLACES, shown_as_it_is};
use super::task_id;
use crate::catalog::{Annotations, ComponentFile};
use crate::engine::{
    Difference, EngineError, Move, Moved, Other, TaskEngine, Trial, TrialPage, TrialVerdict,
};
use crate::task::TaskId;

/// Which open tasks of a component would go on with another version of it: their journals are replayed with that, without
/// effects. Nothing is changed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolTry {
    /// The component's name.
    pub name: String,
    /// The version's file on the server's machine, an absolute path; without it the version that waits for approval, or is
    /// served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The version's digest, where it must be this one: as the first answer gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// `next` of the answer before.
    #[serde(default, with = "task_id::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub after: Option<TaskId>,
}

/// Move open tasks of a component to the version of it that is served, as far as they would go on with it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolMove {
    /// The component's name.
    pub name: String,
    /// The version's digest, where it must be this one: as the first answer gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// `next` of the answer before.
    #[serde(default, with = "task_id::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub after: Option<TaskId>,
}

/// Some tasks that were tried, or moved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrialsListed {
    pub name: String,
    /// Digest of the version with which they were tried.
    pub component: String,
    pub tasks: Vec<TrialDocument>,
    /// Where there are more: what the next request goes on behind.
    #[serde(default, with = "task_id::option", skip_serializing_if = "Option::is_none")]
    pub next: Option<TaskId>,
}

/// What a task came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialDocument {
    pub task_id: String,
    pub tool: String,
    /// Digest of the version that it has, or had.
    pub component: String,
    /// Records in its journal.
    pub steps: u64,
    pub verdict: TrialOutcome,
    /// Where it differs: the record's number, what the journal has there, and what the component does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// Why it would not go on otherwise, or was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialOutcome {
    GoesOn,
    Moved,
    /// It would go on, and did not stand still while it was tried.
    Busy,
    Differs,
    Fails,
    NotTried,
}

shown_as_it_is!(TrialsListed);

impl Operation for ToolTry {
    type Response = TrialsListed;

    const NAME: &'static str = "tool_try";
    const TITLE: &'static str = "Try a component with its open tasks";
    const DESCRIPTION: &'static str =
        "Replay the journals of a component's open tasks with another version of it, without effects.";
    const HINTS: Annotations = READS;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, _: &Caller<'_>) -> Result<TrialsListed, ApiError> {
        let Self { name, path, component, after } = self;
        let other = match path {
            Some(path) => of_file(engine, &name, path).await?,
            None => engine.other_version(&name).await?,
        };
        expect(&name, &other, component.as_deref())?;
        let TrialPage { tasks, next } = engine.try_tasks(&other, after).await?;
        Ok(listed(name, &other, tasks.into_iter().map(TrialDocument::from).collect(), next))
    }
}

impl Operation for ToolMove {
    type Response = TrialsListed;

    const NAME: &'static str = "tool_move";
    const TITLE: &'static str = "Move open tasks to another version of their component";
    const DESCRIPTION: &'static str = "Move open tasks of a component to the version of it that is served, as far as they would go on with it.";
    const HINTS: Annotations = REPLACES;
    const AUDIENCE: Audience = Audience::Owner;

    async fn run(self, engine: &TaskEngine, caller: &Caller<'_>) -> Result<TrialsListed, ApiError> {
        if !caller.is_person {
            return Err(ApiError::TakesAPerson("move tasks to another component".to_owned()));
        }
        let Self { name, component, after } = self;
        let other = engine.served_version(&name).await?;
        expect(&name, &other, component.as_deref())?;
        let TrialPage { tasks, next } = engine.move_tasks(caller.principal, &other, after).await?;
        Ok(listed(name, &other, tasks.into_iter().map(TrialDocument::from).collect(), next))
    }
}

async fn of_file(engine: &TaskEngine, name: &str, path: PathBuf) -> Result<Other, EngineError> {
    let refuse = |why: String| EngineError::NotTriable { name: name.to_owned(), why };
    if !path.is_absolute() {
        return Err(refuse(format!("{} is no absolute path", path.display())));
    }
    let file = ComponentFile::at(&path);
    let (bytes, requests) = engine.read_component(&file).await?;
    if file.name != name {
        return Err(refuse(format!("{} is a component '{}'", file.path.display(), file.name)));
    }
    engine.version_of_file(name, bytes, &requests).await
}

/// All answers together are of one version.
fn expect(name: &str, other: &Other, component: Option<&str>) -> Result<(), EngineError> {
    let now = other.component.id.as_str();
    match component {
        Some(expected) if expected != now => Err(EngineError::NotTriable {
            name: name.to_owned(),
            why: format!("it is {now} now, and was {expected}: begin again"),
        }),
        _ => Ok(()),
    }
}

fn listed(name: String, other: &Other, tasks: Vec<TrialDocument>, next: Option<TaskId>) -> TrialsListed {
    TrialsListed { name, component: other.component.id.to_string(), tasks, next }
}

impl From<Trial> for TrialDocument {
    fn from(trial: Trial) -> Self {
        let Trial { task, tool, component, records, verdict, .. } = trial;
        let mut document = Self {
            task_id: task.to_string(),
            tool,
            component: component.to_string(),
            steps: records,
            verdict: TrialOutcome::GoesOn,
            step: None,
            journal: None,
            guest: None,
            why: None,
        };
        match verdict {
            TrialVerdict::GoesOn => {}
            TrialVerdict::Differs(Difference { record, journal, guest }) => {
                document.verdict = TrialOutcome::Differs;
                (document.step, document.journal, document.guest) =
                    (Some(record), Some(journal), Some(guest));
            }
            TrialVerdict::Fails { words } => {
                (document.verdict, document.why) = (TrialOutcome::Fails, Some(words));
            }
            TrialVerdict::NotTried { words } => {
                (document.verdict, document.why) = (TrialOutcome::NotTried, Some(words));
            }
        }
        document
    }
}

impl From<Moved> for TrialDocument {
    fn from(moved: Moved) -> Self {
        let Moved { trial, moved, .. } = moved;
        let document = Self::from(trial);
        match moved {
            Move::Done => Self { verdict: TrialOutcome::Moved, ..document },
            Move::Busy => {
                let why = "it is at work, and did not stand still while it was tried".to_owned();
                Self { verdict: TrialOutcome::Busy, why: Some(why), ..document }
            }
            Move::Stays => document,
        }
    }
}
