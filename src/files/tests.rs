//! What leads out of a folder, with both walls.

mod escape;
mod guarded;
mod held;
mod race;
mod special;
mod tree;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::act::Folder;
use super::call::{Answer, Call, FileError, FileKind, How, Named, Root};
use super::may_hold::MayHold;

/// A folder with something next to it that must stay as it is.
struct Place {
    base: tempfile::TempDir,
}

const SECRET: &str = "outside";

impl Place {
    fn new() -> Self {
        let base = tempfile::tempdir().expect("a folder");
        let place = Self { base };
        fs::create_dir_all(place.root().join("sub")).expect("made");
        fs::create_dir_all(place.outside()).expect("made");
        fs::write(place.outside().join("canary"), SECRET).expect("written");
        fs::write(place.root().join("in"), "inside").expect("written");
        let outside = place.outside();
        symlink(outside.join("canary"), place.root().join("absolute")).expect("linked");
        symlink("../outside/canary", place.root().join("relative")).expect("linked");
        symlink("relative", place.root().join("chained")).expect("linked");
        symlink(&outside, place.root().join("folder")).expect("linked");
        symlink("../outside", place.root().join("sub/up")).expect("linked");
        symlink("../outside/new", place.root().join("dangling")).expect("linked");
        symlink("/proc/self/cwd", place.root().join("magic")).expect("linked");
        symlink("in", place.root().join("good")).expect("linked");
        symlink("loop", place.root().join("loop")).expect("linked");
        place
    }

    fn root(&self) -> PathBuf {
        self.base.path().join("root")
    }

    fn outside(&self) -> PathBuf {
        self.base.path().join("outside")
    }

    fn open(&self, may_write: bool) -> Folder {
        Folder::open(&Root { path: self.root(), may_write }, &MayHold::anything()).expect("a folder")
    }

    fn check_outside(&self, what: &str) {
        let canary = fs::read_to_string(self.outside().join("canary")).expect("there");
        assert_eq!(canary, SECRET, "{what}");
        let names = fs::read_dir(self.outside()).expect("a list").count();
        assert_eq!(names, 1, "{what}");
    }
}

fn at(path: &str) -> Named {
    Named { path: path.to_owned(), identity: None }
}

/// Ways out of the folder.
const OUT: [&str; 14] = [
    "../outside/canary",
    "sub/../../outside/canary",
    "absolute",
    "relative",
    "chained",
    "folder/canary",
    "sub/up/canary",
    "sub/up/new",
    "dangling",
    "magic",
    "magic/in",
    "/etc/passwd",
    "../root/../outside/canary",
    "folder/",
];

/// Every call that follows what it is given.
fn calls(path: &str) -> Vec<Call> {
    let all = How { write: true, create: true, truncate: true, follow: true, ..How::default() };
    let file = at(path);
    vec![
        Call::Look { at: file.clone(), follow: true },
        Call::Open { path: path.to_owned(), how: How { follow: true, ..How::default() } },
        Call::Open { path: path.to_owned(), how: all },
        Call::Open { path: path.to_owned(), how: How { exclusive: true, ..all } },
        Call::Read { file: file.clone(), offset: 0, length: 100 },
        Call::Write { file: file.clone(), offset: 0, bytes: b"x".to_vec() },
        Call::Append { file: file.clone(), bytes: b"x".to_vec() },
        Call::SetSize { file: file.clone(), size: 0 },
        Call::SetTimes { at: file.clone(), follow: true, accessed: Some((1, 0)), modified: Some((1, 0)) },
        Call::Sync { file: file.clone() },
        Call::List { folder: file },
    ]
}

#[test]
fn nothing_leads_out_of_a_folder() {
    let place = Place::new();
    let folder = place.open(true);
    for path in OUT {
        for call in calls(path) {
            let shown = format!("{call:?}");
            let done = folder.act(call);
            assert!(done.is_err(), "{shown}: {done:?}");
            place.check_outside(&shown);
        }
    }
    for path in ["..", "../x", "sub/up/x", "folder/x", "/x", "sub/../../x", ".", "", "x/.."] {
        let path = path.to_owned();
        for call in [
            Call::MakeFolder { path: path.clone() },
            Call::RemoveFolder { path: path.clone() },
            Call::RemoveFile { path: path.clone() },
            Call::Rename { from: "in".to_owned(), to: path.clone() },
            Call::Rename { from: path.clone(), to: "out".to_owned() },
            Call::Link { from: "in".to_owned(), to: path.clone() },
            Call::Link { from: path.clone(), to: "out".to_owned() },
        ] {
            let shown = format!("{call:?}");
            let done = folder.act(call);
            assert!(done.is_err(), "{shown}: {done:?}");
            place.check_outside(&shown);
        }
    }
    assert!(place.root().join("in").exists());
}

#[test]
fn what_may_be_read_alone_stays_as_it_is() {
    let place = Place::new();
    let folder = place.open(false);
    let mut writing = calls("in");
    writing.retain(Call::changes);
    writing.extend([
        Call::MakeFolder { path: "x".into() },
        Call::RemoveFolder { path: "sub".into() },
        Call::RemoveFile { path: "in".into() },
        Call::Rename { from: "in".into(), to: "x".into() },
        Call::Link { from: "in".into(), to: "x".into() },
    ]);
    assert!(writing.len() >= 11, "{}", writing.len());
    for call in writing {
        assert_eq!(folder.act(call.clone()), Err(FileError::ReadOnly), "{call:?}");
    }
    assert_eq!(fs::read_to_string(place.root().join("in")).expect("there"), "inside");
    let read = folder.act(Call::Read { file: at("good"), offset: 2, length: 3 });
    assert_eq!(read, Ok(Answer::Bytes(b"sid".to_vec())));
}

#[test]
fn files_are_made_written_and_moved_within_a_folder() {
    let place = Place::new();
    let folder = place.open(true);
    let how = How { write: true, create: true, exclusive: true, ..How::default() };
    let Ok(Answer::Seen(made)) = folder.act(Call::Open { path: "sub/new".into(), how }) else {
        panic!("not made")
    };
    let file = Named { path: "sub/new".into(), identity: Some(made.identity) };
    assert_eq!(folder.act(Call::Open { path: "sub/new".into(), how }), Err(FileError::Exist));
    assert_eq!(folder.act(Call::Append { file: file.clone(), bytes: b"abc".to_vec() }), Ok(Answer::Done));
    assert_eq!(
        folder.act(Call::Write { file: file.clone(), offset: 1, bytes: b"x".to_vec() }),
        Ok(Answer::Done)
    );
    assert_eq!(folder.act(Call::SetSize { file: file.clone(), size: 2 }), Ok(Answer::Done));
    assert_eq!(fs::read(place.root().join("sub/new")).expect("there"), b"ax");
    assert_eq!(folder.act(Call::Rename { from: "sub/new".into(), to: "moved".into() }), Ok(Answer::Done));
    let gone = folder.act(Call::Read { file: file.clone(), offset: 0, length: 1 });
    assert_eq!(gone, Err(FileError::Replaced));
    fs::write(place.root().join("sub/new"), "another").expect("written");
    assert_eq!(folder.act(Call::Read { file, offset: 0, length: 1 }), Err(FileError::Replaced));
    let Ok(Answer::Entries(entries)) = folder.act(Call::List { folder: at("") }) else { panic!("no list") };
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    assert!(names.contains(&"moved"));
    let kind = |name: &str| entries.iter().find(|entry| entry.name == name).map(|entry| entry.kind);
    assert_eq!((kind("sub"), kind("good")), (Some(FileKind::Folder), Some(FileKind::Link)));
    assert_eq!(folder.act(Call::ReadLink { path: "good".into() }), Ok(Answer::Text("in".into())));
    assert_eq!(folder.act(Call::ReadLink { path: "absolute".into() }), Err(FileError::NotPermitted));
}

#[test]
fn a_look_says_since_when_a_file_is_there() {
    let place = Place::new();
    let created = place.root().join("in").metadata().expect("there").created();
    let seen = place.open(false).act(Call::Look { at: at("in"), follow: false });
    match created.map(|created| created.duration_since(UNIX_EPOCH).expect("a time")) {
        Ok(since) => {
            let Ok(Answer::SeenSince(_, at)) = seen else { panic!("{seen:?}") };
            assert_eq!(at, (since.as_secs(), since.subsec_nanos()));
        }
        // Of a file system that does not keep it.
        Err(_) => assert!(matches!(seen, Ok(Answer::Seen(_))), "{seen:?}"),
    }
}

#[test]
fn a_special_file_is_neither_opened_nor_waited_for() {
    let place = Place::new();
    let fifo = place.root().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .expect("made");
    let folder = place.open(true);
    for call in calls("fifo") {
        if matches!(call, Call::Look { .. }) {
            continue;
        }
        assert!(folder.act(call.clone()).is_err(), "{call:?}");
    }
    for (path, error) in [
        ("loop", FileError::Loop),
        ("a\0b", FileError::Invalid),
        (&*"a".repeat(300), FileError::NameTooLong),
        (&*"a/".repeat(4_000), FileError::NameTooLong),
        ("in/x", FileError::NotDirectory),
        ("nothing", FileError::NoEntry),
    ] {
        let seen = folder.act(Call::Look { at: at(path), follow: true });
        assert_eq!(seen, Err(error), "{path:?}");
    }
}
