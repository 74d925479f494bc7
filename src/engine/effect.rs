//! What follows from a commit, as data: another process could read it. What each of them does is in `applied.rs`.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::engine::feed::{ResourceKey, TaskChange};
use crate::engine::link::Link;
use crate::engine::rows::{BlockRow, TokenRow};
use crate::task::{OpenQuestion, Spend, TaskId};

/// Version of the effects as they are encoded; a change of shape gets a new one.
const VERSION: u8 = 1;

impl Effect {
    /// The task with this link asks something else than before: the tasks above it hear of it, unless it was detached.
    pub fn notify_ancestors(link: Option<Link>) -> Option<Self> {
        link.filter(|link| !link.detached).map(|link| Self::AskedBelow { parent: link.parent })
    }

    /// So much was spent on what this question asked a model.
    pub fn paid(open: &OpenQuestion, spend: Spend) -> Option<Self> {
        let model = open.model.as_ref().filter(|_| spend != Spend::NOTHING)?.name.clone();
        Some(Self::ModelPaid { model, spend })
    }
}

/// The effects of one commit, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    #[serde(deserialize_with = "this_version")]
    version: u8,
    /// Names what its process has staged for this commit; 0 where that is nothing.
    pub staged: u64,
    pub list: Vec<Effect>,
}

/// One consequence of a commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Subscribers of the resource are notified.
    Changed(ResourceKey),
    /// Followers of the task get these changes.
    Happened(TaskId, Vec<TaskChange>),
    Counted(Counter),
    /// The task, which is new or reopened, is open, and runs once `after` is over.
    Opened {
        task: TaskId,
        after: Duration,
    },
    /// The task is open no more.
    Ended(TaskId),
    /// The task looks whether what it waits for is there.
    Wake(TaskId),
    /// The task's guest is asked to end.
    CancelRequested(TaskId),
    /// These children are wanted no more.
    Orphaned(Vec<TaskId>),
    /// The root of a tree of tasks has ended.
    RootEnded(TaskId),
    /// What is asked below `parent` has changed: followers of it, and of the tasks above it, are notified.
    AskedBelow {
        parent: TaskId,
    },
    /// Entries of shared state were written: their namespaces and keys. `number` names the write in its process;
    /// `expires` says that some of them have a time to live.
    StateWritten {
        number: u64,
        changed: Vec<(String, String)>,
        expires: bool,
    },
    TokenAdded {
        name: String,
        row: TokenRow,
    },
    /// By its hash.
    TokenRevoked([u8; 32]),
    /// A component, as it was named, takes no calls, and its tasks stand still.
    ComponentBlocked {
        name: String,
        row: BlockRow,
    },
    ComponentUnblocked(String),
    /// So much was spent on a model, or may have been.
    ModelPaid {
        model: String,
        spend: Spend,
    },
    /// Something of the task was written that its readers see, and that subscribers are not notified of.
    Rewritten(TaskId),
}

impl Effects {
    pub fn new(staged: u64, list: Vec<Effect>) -> Self {
        Self { version: VERSION, staged, list }
    }
}

fn this_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    match u8::deserialize(deserializer)? {
        VERSION => Ok(VERSION),
        other => Err(D::Error::custom(format!("effects of version {other}; this longhaul reads {VERSION}"))),
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counter {
    Submitted,
    Completed,
    Failed,
    Cancelled,
    Attempts,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::StatePattern;
    use crate::task::{ComponentId, LogLevel, Progress, QueuedReason, State};

    fn every_key(id: TaskId) -> Vec<Effect> {
        let name = || "a name".to_owned();
        let keys = [
            ResourceKey::Task(id),
            ResourceKey::Result(id),
            ResourceKey::Output(id, name().into()),
            ResourceKey::Log(id),
            ResourceKey::Tasks(name()),
            ResourceKey::Tools,
            ResourceKey::State(name(), name()),
        ];
        keys.into_iter().map(Effect::Changed).collect()
    }

    fn every_change() -> Vec<TaskChange> {
        let progress = Some(Progress { done: 1, total: Some(2) });
        vec![
            TaskChange::State(State::Queued(QueuedReason::Retry)),
            TaskChange::Progress { number: 1, progress, message: Some("half".to_owned()) },
            TaskChange::Line { number: 2, level: LogLevel::Warning, text: "a line".to_owned() },
            TaskChange::Output { name: "out".into() },
            TaskChange::Log,
            TaskChange::Questions,
            TaskChange::Lagged(3),
        ]
    }

    fn every_effect() -> Vec<Effect> {
        let id = TaskId::from_bytes([7; 16]);
        let row = TokenRow {
            hash: [1; 32],
            tools: vec!["*".to_owned()],
            state: vec![StatePattern::parse("n/key-*:read").expect("a pattern")],
            created_at: 5,
        };
        let rest = [
            Effect::Happened(id, every_change()),
            Effect::Counted(Counter::Submitted),
            Effect::Opened { task: id, after: Duration::from_millis(1_500) },
            Effect::Ended(id),
            Effect::Wake(id),
            Effect::CancelRequested(id),
            Effect::Orphaned(vec![id, id]),
            Effect::RootEnded(id),
            Effect::AskedBelow { parent: id },
            Effect::StateWritten {
                number: 9,
                changed: vec![("n".to_owned(), "k".to_owned())],
                expires: true,
            },
            Effect::TokenAdded { name: "me".to_owned(), row },
            Effect::TokenRevoked([2; 32]),
            Effect::ComponentBlocked {
                name: "c".to_owned(),
                row: BlockRow { at: 6, components: vec![ComponentId::of_closures("c", "1")] },
            },
            Effect::ComponentUnblocked("c".to_owned()),
            Effect::ModelPaid { model: "fast".to_owned(), spend: Spend { tokens: 3, cost: 4 } },
            Effect::Rewritten(id),
        ];
        every_key(id).into_iter().chain(rest).collect()
    }

    /// Its place in the enum, as postcard writes it.
    fn variant(effect: &Effect) -> u8 {
        postcard::to_stdvec(effect).expect("encoded")[0]
    }

    #[test]
    fn another_process_reads_every_effect_as_it_was() {
        let effects = Effects::new(3, every_effect());
        let mut variants: Vec<u8> = effects.list.iter().map(variant).collect();
        variants.dedup();
        assert_eq!(variants, (0..17).collect::<Vec<_>>(), "each is here");
        assert!(postcard::from_bytes::<Effect>(&[17; 64]).is_err(), "a variant is missing in this test");
        let bytes = postcard::to_stdvec(&effects).expect("encoded");
        assert_eq!(bytes[0], VERSION);
        assert_eq!(postcard::from_bytes::<Effects>(&bytes).expect("decoded"), effects);
    }

    #[test]
    fn effects_of_another_version_are_refused() {
        let mut bytes = postcard::to_stdvec(&Effects::new(0, Vec::new())).expect("encoded");
        bytes[0] += 1;
        assert!(postcard::from_bytes::<Effects>(&bytes).is_err());
    }
}
