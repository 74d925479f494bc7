//! The escape matrix: each way out, by each call, with both walls, with either alone, and with none, where it has to lead out:
//! a row that leads nowhere would prove nothing.

use std::fs;

use super::super::call::{Answer, Call, FileError, FileKind, How};
use super::guarded::{Guard, Guarded};
use super::tree::{
    CANARY, CREATE, EXCLUSIVE, READ, TRUNCATE, Tree, append, at, link, list, look, open, read, rename, times,
    write,
};

/// All that is done to one file by its path.
fn to_file(path: &str) -> Vec<Call> {
    vec![
        read(path),
        write(path),
        append(path),
        open(path, READ),
        open(path, CREATE),
        open(path, TRUNCATE),
        Call::SetSize { file: at(path), size: 1 },
        times(path),
        Call::Sync { file: at(path) },
    ]
}

/// All that is done in a folder, and to it.
fn in_folder(folder: &str) -> Vec<Call> {
    let within = |name: &str| format!("{folder}/{name}");
    let times_of_link =
        Call::SetTimes { at: at(&within("link")), follow: false, accessed: None, modified: Some((1, 0)) };
    vec![
        list(folder),
        open(folder, How { folder: true, ..READ }),
        times(folder),
        times_of_link,
        Call::Sync { file: at(folder) },
        Call::ReadLink { path: within("link") },
        Call::MakeFolder { path: within("new") },
        Call::MakeFolder { path: within("new/") },
        Call::RemoveFolder { path: within("empty") },
        Call::RemoveFile { path: within("secret") },
        rename(within("secret"), "stolen"),
        rename(within("empty"), "stolen"),
        rename("file", within("secret")),
        rename("dir", within("moved")),
        link(within("secret"), "stolen"),
        link("file", within("new")),
        open(&within("new"), CREATE),
        open(&within("new"), EXCLUSIVE),
    ]
}

fn ways_out(tree: &Tree) -> Vec<Call> {
    let absolute = |name: &str| tree.at(name).display().to_string();
    let files = [
        "../outside/secret",
        "dir/../../outside/secret",
        "abs",
        "rel",
        "chain",
        "absdir/secret",
        "reldir/secret",
        "up/outside/secret",
        "magic",
        "magicdir/secret",
        &absolute("outside/secret"),
    ];
    let folders = [
        "../outside",
        "dir/../../outside",
        "absdir",
        "reldir",
        "up/outside",
        "up/outside/.",
        "magicdir",
        &absolute("outside"),
    ];
    let to_files = files.iter().flat_map(|path| to_file(path));
    to_files.chain(folders.iter().flat_map(|path| in_folder(path))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_leads_out_of_a_folder_by_any_way_with_either_wall_alone() {
    let mut wrong = Vec::new();
    for guard in Guard::here() {
        let tree = Tree::new();
        let folder = Guarded::new(guard, &tree.at("in"), true);
        for call in ways_out(&tree) {
            tree.reset();
            let before = tree.outside();
            let answer = folder.try_call(call.clone()).await;
            let stolen = tree.at("in/stolen").symlink_metadata().is_ok();
            let as_it_was = tree.outside() == before && !stolen;
            let right = match (guard, &answer) {
                (Guard::Neither, answer) => matches!(answer, Ok(Ok(_))),
                (_, Ok(Err(_))) => as_it_was,
                _ => false,
            };
            if !right {
                wrong.push(format!("{guard:?}: {call:?}: {answer:?}, as it was: {as_it_was}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// No wall does it: what is created is no link's target.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_created_where_a_link_leads() {
    for guard in Guard::here() {
        let tree = Tree::new();
        let folder = Guarded::new(guard, &tree.at("in"), true);
        let before = tree.outside();
        for path in ["dangling", "danglingabs"] {
            for how in [CREATE, EXCLUSIVE, How { follow: false, ..CREATE }] {
                let answer = folder.call(open(path, how)).await;
                assert!(answer.is_err(), "{guard:?}: {path}: {answer:?}");
                assert_eq!(tree.outside(), before, "{guard:?}: {path}");
            }
        }
    }
}

/// Of what the kernel has no second wall for: the first alone keeps a guest from it.
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_outside_is_not_even_looked_at() {
    let tree = Tree::new();
    for guard in [Guard::Both, Guard::First, Guard::Neither] {
        let folder = Guarded::new(guard, &tree.at("in"), true);
        for path in ["../outside/secret", "abs", "rel", "chain", "absdir", "up", "magic", "absinner"] {
            let answer = folder.call(look(path)).await;
            match guard {
                Guard::Neither => assert!(answer.is_ok(), "{path}: {answer:?}"),
                _ => assert_eq!(answer, Err(FileError::NotPermitted), "{guard:?}: {path}"),
            }
        }
        let inner = folder.call(look("inner")).await;
        let seen = inner.as_ref().ok().and_then(Answer::stat).map(|stat| (stat.kind, stat.size));
        assert_eq!(seen, Some((FileKind::File, 6)), "{guard:?}: {inner:?}");
    }
}

/// In the folder that is only read.
fn changes() -> Vec<Call> {
    vec![
        write("file"),
        append("file"),
        open("new", CREATE),
        open("new", EXCLUSIVE),
        open("file", TRUNCATE),
        Call::SetSize { file: at("file"), size: 1 },
        times("file"),
        times("dir"),
        Call::MakeFolder { path: "new".into() },
        Call::RemoveFolder { path: "empty".into() },
        Call::RemoveFile { path: "file".into() },
        rename("file", "new"),
        link("file", "new"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_to_read_is_changed_by_no_call_with_either_wall_alone() {
    let mut wrong = Vec::new();
    for guard in Guard::here() {
        let tree = Tree::new();
        let folder = Guarded::new(guard, &tree.at("read"), false);
        for call in changes() {
            tree.reset();
            let times = |name: &str| tree.at(name).metadata().and_then(|there| there.modified()).ok();
            let before = ["read", "read/dir", "read/file"].map(times);
            let answer = folder.try_call(call.clone()).await;
            let right = match guard {
                Guard::Neither => matches!(answer, Ok(Ok(_))),
                Guard::Second => matches!(answer, Ok(Err(_))),
                Guard::Both | Guard::First => answer == Ok(Err(FileError::ReadOnly)),
            };
            let same = fs::read_to_string(tree.at("read/file")).is_ok_and(|text| text == "inside")
                && ["read", "read/dir", "read/file"].map(times) == before;
            if !right || guard != Guard::Neither && !same {
                wrong.push(format!("{guard:?}: {call:?}: {answer:?}, as it was: {same}"));
            }
        }
        tree.reset();
        assert_eq!(folder.call(read("file")).await, Ok(Answer::Bytes(b"inside".to_vec())), "{guard:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// It is the operator's to bind another file system. The second wall lets what is mounted in a folder through.
#[tokio::test(flavor = "multi_thread")]
async fn a_mount_within_a_folder_is_not_entered() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    let tree = Tree::new();
    let mounted = tree.at("in/empty");
    if let Err(error) = mount("files", &mounted, "tmpfs", MountFlags::empty(), None) {
        eprintln!("not tried: only who may mount can try it ({error})");
        return;
    }
    fs::write(mounted.join("there"), CANARY).expect("written");
    let mut answers = Vec::new();
    for guard in [Guard::Both, Guard::First, Guard::Neither] {
        let folder = Guarded::new(guard, &tree.at("in"), true);
        for call in [read("empty/there"), open("empty/new", CREATE), list("empty")] {
            answers.push((guard, folder.try_call(call).await));
        }
    }
    unmount(&mounted, UnmountFlags::empty()).expect("unmounted");
    for (guard, answer) in answers {
        match guard {
            Guard::Neither => assert!(matches!(answer, Ok(Ok(_))), "{answer:?}"),
            _ => assert_eq!(answer, Ok(Err(FileError::NotPermitted)), "{guard:?}"),
        }
    }
}
