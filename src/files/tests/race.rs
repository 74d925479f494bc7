//! Names change places while calls run: a folder and a link out of the held one, a file and such a link, and a folder that is
//! moved out under a path with `..` in it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::super::call::{Answer, Call};
use super::guarded::{Guard, Guarded};
use super::tree::{
    CANARY, CREATE, READ, TRUNCATE, Tree, append, at, link, list, open, read, rename, times, write,
};

/// Calls behind each guard in a run that is part of every check.
const CALLS: usize = 3_000;
/// Of a long run (`LONGHAUL_LONG=1`), for each guard that has to hold.
const LONG: Duration = Duration::from_secs(200);

/// Does it without end.
struct Moving {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Moving {
    fn begin(tree: &Tree) -> Self {
        let swapped = [("in/turn", "in/reldir"), ("in/swap", "in/rel")]
            .map(|(one, other)| (tree.at(one), tree.at(other)));
        let moved = (tree.at("in/deep/inner"), tree.at("outside/inner"));
        let ends = Arc::new(AtomicBool::new(false));
        let ended = ends.clone();
        let thread = std::thread::spawn(move || {
            let mut moves = 0;
            while !ended.load(Ordering::Relaxed) {
                swapped.iter().for_each(exchange);
                fs::rename(&moved.0, &moved.1).expect("moved out");
                swapped.iter().for_each(exchange);
                fs::rename(&moved.1, &moved.0).expect("moved back");
                moves += 6;
            }
            moves
        });
        Self { ends, thread }
    }

    /// How often anything was moved. All is where it was.
    fn end(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("it moved")
    }
}

fn exchange((one, other): &(PathBuf, PathBuf)) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("swapped");
}

/// What is done where the names are now this and now that. `..` leads out of `inner` while that is outside.
fn calls() -> Vec<Call> {
    vec![
        read("turn/secret"),
        write("turn/secret"),
        append("turn/secret"),
        open("turn/secret", TRUNCATE),
        open("turn/new", CREATE),
        rename("turn/new", "turn/newer"),
        Call::RemoveFile { path: "turn/newer".into() },
        Call::MakeFolder { path: "turn/made".into() },
        Call::RemoveFolder { path: "turn/made".into() },
        link("turn/secret", "turn/second"),
        Call::RemoveFile { path: "turn/second".into() },
        list("turn"),
        times("turn/secret"),
        read("swap"),
        write("swap"),
        append("swap"),
        open("swap", TRUNCATE),
        times("swap"),
        read("deep/inner/../../secret"),
        write("deep/inner/../../secret"),
        open("deep/inner/../../secret", READ),
        list("deep/inner/../../outside"),
        Call::SetSize { file: at("deep/inner/../../secret"), size: 1 },
    ]
}

fn prepare(tree: &Tree) {
    for folder in ["in/turn", "in/deep", "in/deep/inner", "in/outside"] {
        fs::create_dir(tree.at(folder)).expect("a folder");
    }
    for file in ["in/turn/secret", "in/swap", "in/secret"] {
        fs::write(tree.at(file), "inside").expect("written");
    }
}

/// The contents of what lies outside: its folder's own times change with what moves through it.
fn outside(tree: &Tree) -> Vec<(PathBuf, String)> {
    let there = tree.outside().into_iter();
    let as_files = there.map(|(path, content, time)| {
        // Of files the times too.
        let time = if content.is_empty() { String::new() } else { format!("{time:?}") };
        (path, content + &time)
    });
    as_files.collect()
}

/// How often something came out, of how many calls.
async fn raced(guard: Guard) -> (usize, usize) {
    let tree = Tree::new();
    prepare(&tree);
    let folder = Guarded::new(guard, &tree.at("in"), true);
    let before = outside(&tree);
    let moving = Moving::begin(&tree);
    let is_long = std::env::var_os("LONGHAUL_LONG").is_some() && guard != Guard::Neither;
    let until = Instant::now() + if is_long { LONG } else { Duration::ZERO };
    let (mut done, mut answered, mut out) = (0, 0, 0);
    while done < CALLS || Instant::now() < until {
        for call in calls() {
            match folder.call(call).await {
                Ok(Answer::Bytes(bytes)) if bytes.starts_with(CANARY.as_bytes()) => out += 1,
                Ok(Answer::Entries(entries)) if entries.iter().any(|entry| entry.name == "link") => out += 1,
                Ok(_) => answered += 1,
                Err(_) => {}
            }
            done += 1;
        }
    }
    let moves = moving.end();
    out += usize::from(outside(&tree) != before);
    println!("{guard:?}: {done} calls, {answered} of them answered, {moves} moves, {out} came out");
    assert!(answered > 0, "{guard:?}: nothing was reached, so nothing could come out");
    (out, done)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_a_names_place_during_a_call_leads_nowhere() {
    for guard in Guard::here() {
        let (out, done) = raced(guard).await;
        if guard == Guard::Neither {
            assert!(out > 0, "of {done} calls none would have come out: the race is none");
        } else {
            assert_eq!(out, 0, "{guard:?}: of {done} calls");
        }
    }
}
