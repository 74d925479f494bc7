//! The programs that may be started: stated once, and then named by their role alone.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::limits::OWN_ARENA_KIB;

/// What a program is there for. A request names a role; only who states the programs says what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Compiles one component.
    Compiler,
    /// Runs guests.
    Worker,
    /// The command of `[servers.NAME]`.
    Server(String),
    /// Builds the workspace of guests in this folder.
    Build(OsString),
    /// Reads the files of one component, wherever they are.
    Reader,
    /// Holds a folder that tasks are granted. Which, its server says over the pipe: who has the grants is the server, and a
    /// folder that is bound while it runs is among them.
    Folder,
    /// Reads the secret from this source.
    Secret(String),
    /// Reads the secret from the source that its server names, where a person has bound that.
    BoundSecret,
}

/// All that may be started.
pub type Programs = BTreeMap<Role, Program>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// A path, or a name that is looked up in the absolute folders of `PATH`.
    pub program: OsString,
    pub arguments: Vec<OsString>,
    pub environment: Environment,
    /// Where it runs; where who starts it runs, unless it is named.
    pub folder: Option<OsString>,
    pub stderr: Stderr,
}

/// The variables that a program gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Environment {
    /// These, and no other.
    Stated(Vec<(OsString, OsString)>),
    /// Those that its starter has.
    Inherited,
}

impl Environment {
    /// For a program of ours: nothing of its starter's. The addresses that its allocator reserves count for the bounds that it
    /// puts on its own memory, so it takes them in small pieces, and only what it uses can be written.
    pub fn ours() -> Self {
        let allocator = [
            ("MIMALLOC_ARENA_RESERVE", OWN_ARENA_KIB.to_string()),
            ("MIMALLOC_ARENA_EAGER_COMMIT", "0".into()),
        ];
        Self::Stated(allocator.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Where a program's complaints go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stderr {
    /// To who had it started.
    Piped,
    /// To where the server's own go.
    Inherited,
}
