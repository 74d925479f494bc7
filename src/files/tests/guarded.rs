//! A folder behind walls, in a process of its own, as the tests have it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::call::{Answer, Call, FileError, Root};
use super::super::first::First;
use super::super::hold::{Manner, serve};
use super::super::may_hold::MayHold;
use super::super::servers::{FolderError, FolderServers};
use crate::launch::{Environment, Launch, Program, Programs, Role, Stderr};
use crate::walls::{self, Wanted};

const GUARD: &str = "LONGHAUL_TEST_GUARD";
const APART: &str = "LONGHAUL_TEST_APART";
const WITHOUT_LANDLOCK: &str = "LONGHAUL_TEST_WITHOUT_LANDLOCK";
const DIES_BEHIND: &str = "LONGHAUL_TEST_DIES_BEHIND_BYTES";

/// Which walls stand around what is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    Both,
    First,
    Second,
    /// That the rows would lead out, were there no walls.
    Neither,
}

impl Guard {
    const ALL: [Self; 4] = [Self::Both, Self::First, Self::Second, Self::Neither];

    fn manner(self) -> (Wanted, First) {
        match self {
            Self::Both => (Wanted::On, First::Stands),
            Self::First => (Wanted::Off, First::Stands),
            Self::Second => (Wanted::Required, First::Out),
            Self::Neither => (Wanted::Off, First::Out),
        }
    }

    /// Those that this system has.
    pub fn here() -> Vec<Self> {
        let standing = walls::tried();
        if standing.is_whole() {
            return Self::ALL.to_vec();
        }
        eprintln!("the second wall is not tried alone, since {standing}");
        Self::ALL.into_iter().filter(|guard| *guard != Self::Second).collect()
    }
}

/// How a process is started that holds a folder for a test.
pub struct Start {
    pub guard: Guard,
    /// A folder that it never holds.
    pub apart: PathBuf,
    /// As on a system that has no Landlock.
    pub without_landlock: bool,
    /// It is killed by the write that would make a file longer.
    pub dies_behind: Option<u64>,
}

impl From<Guard> for Start {
    fn from(guard: Guard) -> Self {
        Self { guard, apart: "/nowhere".into(), without_landlock: false, dies_behind: None }
    }
}

impl Start {
    pub fn servers(&self) -> FolderServers {
        FolderServers::launched(Launch::here(self.programs()))
    }

    fn programs(&self) -> Programs {
        let test = "files::tests::guarded::a_folder_is_held_where_a_test_asks_for_it";
        // What the test's own runner says goes elsewhere.
        let script = format!(r#"exec "$0" --exact {test} --nocapture --test-threads=1 3>&1 >/dev/null"#);
        let own = std::env::current_exe().expect("this program");
        let mut variables = vec![
            (GUARD.into(), format!("{:?}", self.guard).into()),
            (APART.into(), self.apart.clone().into()),
        ];
        if self.without_landlock {
            variables.push((WITHOUT_LANDLOCK.into(), "1".into()));
        }
        if let Some(bytes) = self.dies_behind {
            variables.push((DIES_BEHIND.into(), bytes.to_string().into()));
        }
        let program = Program {
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into(), own.into()],
            environment: Environment::Stated(variables),
            folder: Some("/".into()),
            stderr: Stderr::Inherited,
        };
        [(Role::Folder, program)].into()
    }
}

/// Nothing by itself: the other tests start it as a process.
#[test]
fn a_folder_is_held_where_a_test_asks_for_it() {
    let Ok(name) = std::env::var(GUARD) else { return };
    let guard = Guard::ALL.into_iter().find(|guard| format!("{guard:?}") == name).expect("a guard");
    let (wanted, first) = guard.manner();
    if std::env::var_os(WITHOUT_LANDLOCK).is_some() {
        walls::take_landlock_away();
    }
    if let Ok(bytes) = std::env::var(DIES_BEHIND) {
        let most = Some(bytes.parse().expect("a number"));
        let maximum = getrlimit(Resource::Fsize).maximum;
        setrlimit(Resource::Fsize, Rlimit { current: most, maximum }).expect("a bound");
    }
    let apart = std::env::var_os(APART).map(PathBuf::from).into_iter().collect();
    let may = MayHold { apart, ..MayHold::anything() };
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned().expect("stdin"));
    let to = OpenOptions::new().write(true).open("/proc/self/fd/3").expect("the pipe");
    let held = serve(stdin, to, &Manner { wanted, may, first, has_process: true });
    std::process::exit(i32::from(held.is_err()));
}

/// One folder behind walls.
#[derive(Clone)]
pub struct Guarded {
    servers: FolderServers,
    root: Root,
}

impl Guarded {
    pub fn new(start: impl Into<Start>, path: &Path, may_write: bool) -> Self {
        Self { servers: start.into().servers(), root: Root { path: path.to_owned(), may_write } }
    }

    pub async fn try_call(&self, call: Call) -> Result<Result<Answer, FileError>, FolderError> {
        self.servers.call(&self.root, call).await
    }

    pub async fn call(&self, call: Call) -> Result<Answer, FileError> {
        self.try_call(call).await.unwrap_or_else(|error| panic!("{error}"))
    }
}
