//! What is neither file nor folder, and what takes an open file's place.

use std::fs;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::call::{Answer, Call, FileError, FileKind, Named};
use super::guarded::{Guard, Guarded};
use super::tree::{CREATE, READ, TRUNCATE, Tree, append, look, open, read, rename, times, write};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_neither_file_nor_folder_is_seen_and_never_opened() {
    let tree = Tree::new();
    let _socket = UnixListener::bind(tree.at("in/socket")).expect("a socket");
    mknodat(CWD, tree.at("in/fifo"), FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    let mut names = vec!["socket", "fifo"];
    // Of memory that reads as zeros.
    let zero = rustix::fs::makedev(1, 5);
    match mknodat(CWD, tree.at("in/zero"), FileType::CharacterDevice, Mode::RWXU, zero) {
        Ok(()) => names.push("zero"),
        Err(error) => eprintln!("a device is not tried: {error}"),
    }
    for guard in [Guard::Both, Guard::First] {
        let folder = Guarded::new(guard, &tree.at("in"), true);
        for name in &names {
            let calls = [READ, CREATE, TRUNCATE].map(|how| open(name, how));
            for call in calls.into_iter().chain([read(name), write(name), append(name), times(name)]) {
                let shown = format!("{guard:?}: {call:?}");
                assert_eq!(folder.call(call).await, Err(FileError::NotPermitted), "{shown}");
            }
            let seen = folder.call(look(name)).await;
            let kind = seen.as_ref().ok().and_then(Answer::stat).map(|stat| stat.kind);
            assert_eq!(kind, Some(FileKind::Other), "{seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_moved_out_is_not_written_on_and_another_in_its_place_not_taken_for_it() {
    for guard in Guard::here() {
        let tree = Tree::new();
        let folder = Guarded::new(guard, &tree.at("in"), true);
        let Ok(Answer::Seen(opened)) = folder.call(open("file", CREATE)).await else { panic!("not opened") };
        let known = || Named { path: "file".to_owned(), identity: Some(opened.identity) };
        let calls = || {
            [
                Call::Read { file: known(), offset: 0, length: 10 },
                Call::Write { file: known(), offset: 0, bytes: b"x".to_vec() },
                Call::Append { file: known(), bytes: b"x".to_vec() },
                Call::SetSize { file: known(), size: 0 },
            ]
        };
        fs::rename(tree.at("in/file"), tree.at("outside/moved")).expect("moved out");
        for call in calls() {
            assert_eq!(folder.call(call.clone()).await, Err(FileError::Replaced), "{guard:?}: {call:?}");
        }
        fs::write(tree.at("in/file"), "another").expect("written");
        for call in calls() {
            assert_eq!(folder.call(call.clone()).await, Err(FileError::Replaced), "{guard:?}: {call:?}");
        }
        for (file, text) in [("in/file", "another"), ("outside/moved", "inside")] {
            assert_eq!(fs::read_to_string(tree.at(file)).expect("read"), text, "{guard:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_behind_both_walls_does_all_that_it_is_for() {
    let tree = Tree::new();
    let folder = Guarded::new(Guard::Both, &tree.at("in"), true);
    let done = [
        open("dir/new", CREATE),
        write("dir/new"),
        append("dir/new"),
        times("dir/new"),
        times("dir"),
        Call::MakeFolder { path: "dir/folder".into() },
        rename("dir/new", "dir/folder/moved"),
        super::tree::link("dir/folder/moved", "second"),
        Call::Sync { file: super::tree::at("second") },
        Call::Sync { file: super::tree::at("dir") },
        Call::RemoveFile { path: "dir/folder/moved".into() },
        Call::RemoveFolder { path: "dir/folder".into() },
    ];
    for call in done {
        let answer = folder.call(call.clone()).await;
        assert!(answer.is_ok(), "{call:?}: {answer:?}");
    }
    assert_eq!(folder.call(read("second")).await, Ok(Answer::Bytes(b"changedmore".to_vec())));
}
