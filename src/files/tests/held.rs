//! The process itself: what it refuses to hold, and what is left where it is killed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::super::call::{Answer, Call, Root};
use super::super::first::First;
use super::super::hold::{Manner, serve};
use super::super::may_hold::MayHold;
use super::super::pipe;
use super::super::servers::{FolderError, FolderServers};
use super::guarded::{Guard, Guarded, Start};
use super::tree::{Tree, append, at, read};
use crate::launch::{Environment, Launch, Program, Role, Stderr};
use crate::walls::{Wanted, tried};

const MIB: usize = 1024 * 1024;

fn manner(wanted: Wanted) -> Manner {
    Manner { wanted, may: MayHold::anything(), first: First::Stands, has_process: false }
}

/// The process of this test's own that holds the folder.
fn holder(folder: &Path) -> Pid {
    let there = folder.metadata().expect("a folder");
    let holds = |pid: i32| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| {
            file.path().metadata().is_ok_and(|open| (open.dev(), open.ino()) == (there.dev(), there.ino()))
        })
    };
    let parent = format!("PPid:\t{}\n", std::process::id());
    let pids = fs::read_dir("/proc").expect("there is one").flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_ours = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains(&parent))
    };
    pids.find(|pid| is_ours(pid) && holds(*pid)).and_then(Pid::from_raw).expect("a process holds it")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_is_said_to_be_gone_and_followed_by_another() {
    let tree = Tree::new();
    let folder = Guarded::new(Guard::Both, &tree.at("in"), true);
    let inside = Ok(Ok(Answer::Bytes(b"inside".to_vec())));
    assert_eq!(folder.try_call(read("file")).await, inside);
    let first = holder(&tree.at("in"));
    kill_process(first, Signal::KILL).expect("killed");
    let gone = folder.try_call(read("file")).await;
    assert!(matches!(gone, Err(FolderError::Gone { .. })), "{gone:?}");
    assert_eq!(folder.try_call(read("file")).await, inside);
    assert_ne!(holder(&tree.at("in")), first);
}

/// It dies with a part of the bytes on disk. Whether the call was done is not said to be known, and it is not; done again it
/// comes to the same, which is why a write at an offset needs no intent.
#[tokio::test(flavor = "multi_thread")]
async fn what_dies_in_the_middle_of_a_write_is_gone_and_the_same_write_again_makes_it_whole() {
    let tree = Tree::new();
    let path = tree.at("in/file");
    fs::write(&path, vec![b'o'; MIB]).expect("written");
    let whole = vec![b'n'; MIB];
    let call = || Call::Write { file: at("file"), offset: MIB as u64 / 2, bytes: whole.clone() };
    let part = MIB + 4_096;
    let start = Start { dies_behind: Some(part as u64), ..Start::from(Guard::Both) };
    let gone = Guarded::new(start, &tree.at("in"), true).try_call(call()).await;
    assert!(matches!(gone, Err(FolderError::Gone { .. })), "{gone:?}");
    let torn = fs::read(&path).expect("read");
    assert_eq!(torn, [vec![b'o'; MIB / 2], vec![b'n'; part - MIB / 2]].concat(), "it died in the middle");
    let again = Guarded::new(Guard::Both, &tree.at("in"), true).try_call(call()).await;
    assert_eq!(again, Ok(Ok(Answer::Done)));
    assert_eq!(fs::read(&path).expect("read"), [vec![b'o'; MIB / 2], whole].concat());
}

/// What it was asked might be under way still, and what comes after it find it done later: an append would be done twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_answer_has_ended_before_that_is_said() {
    let tree = Tree::new();
    let pid = tree.at("outside/pid");
    // It says that it holds the folder, and nothing more.
    let script = r#"echo $$ > "$0"; printf '\001\000\000\000\000'; exec sleep 600"#;
    let program = Program {
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into(), pid.clone().into()],
        environment: Environment::Stated(Vec::new()),
        folder: Some("/".into()),
        stderr: Stderr::Inherited,
    };
    let launch = Launch::here([(Role::Folder, program)].into());
    let servers = FolderServers::launched_with(launch, Duration::from_secs(3));
    let gone = servers.call(&Root { path: tree.at("in"), may_write: true }, append("file")).await;
    assert!(
        matches!(&gone, Err(FolderError::Gone { why, .. }) if why.contains("FOLDER_CALL_SECONDS")),
        "{gone:?}"
    );
    let pid = fs::read_to_string(&pid).expect("it has begun");
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "{pid} is there still");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_the_server_and_those_behind_links_are_held_by_no_process() {
    let tree = Tree::new();
    let start = || Start { apart: tree.at("outside"), ..Start::from(Guard::Both) };
    for (path, words) in [
        (tree.at("outside"), "bind another folder"),
        (tree.at("outside/empty"), "bind another folder"),
        (tree.at(""), "bind another folder"),
        ("/proc/self".into(), "the kernel's"),
        (tree.at("in/../in"), "'..'"),
        (tree.at("in/absdir"), "a link"),
        (tree.at("in/absdir/empty"), "a link"),
        (tree.at("in/none"), "not there"),
    ] {
        let refused = Guarded::new(start(), &path, false).try_call(read("secret")).await;
        let Err(FolderError::Unopened { why, .. }) = refused else { panic!("{path:?}: {refused:?}") };
        assert!(why.contains(words), "{path:?}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_without_landlock_holds_folders_within_the_first_wall_unless_all_are_required() {
    let tree = Tree::new();
    let without = |guard| Start { without_landlock: true, ..Start::from(guard) };
    let held = Guarded::new(without(Guard::Both), &tree.at("in"), true);
    assert_eq!(held.try_call(read("file")).await, Ok(Ok(Answer::Bytes(b"inside".to_vec()))));
    assert!(matches!(held.try_call(read("abs")).await, Ok(Err(_))));
    let refused = Guarded::new(without(Guard::Second), &tree.at("in"), true).try_call(read("file")).await;
    let Err(FolderError::Unopened { why, .. }) = refused else { panic!("{refused:?}") };
    assert!(why.contains("walls = \"required\"") && why.contains("no Landlock"), "{why}");
    if tried().is_whole() {
        let all = Guarded::new(Guard::Second, &tree.at("in"), true);
        assert_eq!(all.try_call(read("file")).await, Ok(Ok(Answer::Bytes(b"inside".to_vec()))));
    }
}

/// As at `kill -9` of the server.
#[test]
fn what_holds_a_folder_ends_where_its_pipe_does() {
    let tree = Tree::new();
    let root = pipe::frame(&Root { path: tree.at("in"), may_write: false }).expect("a frame");
    let mut said = Vec::new();
    serve(&root[..], &mut said, &manner(Wanted::Off)).expect("it ends");
    let ready = pipe::read::<Result<(), String>>(&mut &said[..]).expect("an answer");
    assert_eq!(ready, Some(Ok(())));
    serve(&b""[..], &mut Vec::new(), &manner(Wanted::Off)).expect("it ends without a folder too");
    for broken in [&b"\xff\xff\xff\xff"[..], b"\x02\0\0\0x", b"\x01\0\0\0\xff"] {
        assert!(serve(broken, &mut Vec::new(), &manner(Wanted::Off)).is_err(), "{broken:?}");
    }
}
