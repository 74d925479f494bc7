//! Folders that a component is granted: a plain program reads and writes them, and is killed at every record and at both ends
//! of every operation. What is there in the end is what an undisturbed run leaves.

mod holder;
mod replayed;
mod unflushed;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Server, command, copy_folder, guest};

struct House {
    root: tempfile::TempDir,
    isolate: &'static str,
    runs: u64,
}

/// What a run left.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    log: String,
    files: BTreeMap<String, Vec<u8>>,
}

/// Where a run was.
struct Room {
    data: PathBuf,
    config: PathBuf,
    input: PathBuf,
    out: PathBuf,
}

impl House {
    fn new(isolate: &'static str) -> Self {
        let house = Self { root: tempfile::tempdir().expect("a folder"), isolate, runs: 0 };
        fs::create_dir(house.path("tools")).expect("a folder");
        fs::copy(guest("files_program"), house.path("tools/files_program.wasm")).expect("a copy");
        let room = house.room("template");
        assert!(house.start(&room, &[]).stop().success());
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The folders are granted so.
    fn grant(&self, room: &Room, out: &Path, access: &str) {
        let text = format!(
            "[engine]\nisolate = {:?}\n[grants.files_program]\nfiles = [\n\
             {{ slot = \"in\", at = \"/in\", access = \"read\", path = {:?} }},\n\
             {{ slot = \"out\", at = \"/out\", access = {access:?}, path = {out:?} }},\n]\n",
            self.isolate, room.input
        );
        fs::write(&room.config, text).expect("a configuration");
    }

    /// Folders of the same names each time: others would have to be approved.
    fn room(&self, name: &str) -> Room {
        let (input, out, config) = (self.path("input"), self.path("out"), self.path("longhaul.toml"));
        for folder in [&input, &out] {
            // There is none at first.
            let _ = fs::remove_dir_all(folder);
            fs::create_dir(folder).expect("a folder");
        }
        fs::write(input.join("input"), "some words").expect("written");
        let big: Vec<u8> = (0..300_000u32).map(|number| (number % 251) as u8).collect();
        fs::write(input.join("big"), big).expect("written");
        std::os::unix::fs::symlink("../longhaul.toml", input.join("link")).expect("linked");
        let room = Room { data: self.path(name), config, input, out };
        self.grant(&room, &room.out, "write");
        room
    }

    fn next_room(&mut self) -> Room {
        self.runs += 1;
        let room = self.room(&format!("run-{}", self.runs));
        copy_folder(&self.path("template"), &room.data);
        room
    }

    fn start(&self, room: &Room, variables: &[(&str, &str)]) -> Server {
        Server::start_granted_with(&room.data, &[self.path("tools")], &room.config, variables)
    }

    async fn undisturbed(&mut self) -> (Left, u64) {
        let room = self.next_room();
        let server = self.start(&room, &[]);
        let client = server.client();
        let id = client.start("files_program", json!({}), None).await.expect("a task");
        let document = client.ended(&id).await.expect("an end");
        assert_eq!(document["state"], "completed", "{document} {}", server.said());
        let log = client.read(&format!("task://{id}/log")).await.expect("a log");
        (Left { log, files: files(&room.out) }, document["steps"].as_u64().expect("a number"))
    }

    /// `None` where it ended first.
    async fn killed(&mut self, crash: &str) -> Option<Left> {
        let room = self.next_room();
        let mut server = self.start(&room, &[("LONGHAUL_CRASH", crash)]);
        let client = server.client();
        let started = client.start("files_program", json!({}), None).await;
        if let Ok(id) = &started
            && client.ended(id).await.is_ok()
        {
            return None;
        }
        let status = server.died().expect("it is dying");
        assert_eq!(status.code(), None, "killed, not ended: {}", server.said());
        let server = self.start(&room, &[]);
        let client = server.client();
        let tasks = client.structured("task_list", json!({})).await;
        let id = tasks["tasks"][0]["id"].as_str().unwrap_or_else(|| panic!("{tasks}")).to_owned();
        let document = client.ended(&id).await.expect("an end");
        assert_eq!(document["state"], "completed", "{crash}: {document} {}", server.said());
        let log = client.read(&format!("task://{id}/log")).await.expect("a log");
        Some(Left { log, files: files(&room.out) })
    }
}

/// How the one task ends that was open when its server was killed at `crash`, and what its log says.
async fn cut_off(house: &mut House, crash: &str, meanwhile: impl FnOnce(&House, &Room)) -> (Value, String) {
    let room = house.next_room();
    let mut server = house.start(&room, &[("LONGHAUL_CRASH", crash)]);
    // The server may die before its answer is out.
    let _ = server.client().start("files_program", json!({}), None).await;
    server.died().expect("it is dying");
    meanwhile(house, &room);
    let server = house.start(&room, &[]);
    let client = server.client();
    let tasks = client.structured("task_list", json!({})).await;
    let id = tasks["tasks"][0]["id"].as_str().unwrap_or_else(|| panic!("{tasks}")).to_owned();
    let document = client.ended(&id).await.expect("an end");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    (document, log)
}

fn is_failed(document: &Value, reason: &str, words: &str) {
    let states = (&document["state"], &document["reason"]);
    assert_eq!(states, (&json!("failed"), &json!(reason)), "{document}");
    assert!(document.to_string().contains(words), "{words}: {document}");
}

/// A file that replay reads again is another one then.
async fn diverges(isolate: &'static str) {
    let mut house = House::new(isolate);
    let (document, _) = cut_off(&mut house, "record:12", |_, room| {
        let mut big = fs::read(room.input.join("big")).expect("a file");
        big[0] ^= 1;
        fs::write(room.input.join("big"), big).expect("written");
    })
    .await;
    is_failed(&document, "diverged", "/in/big reads otherwise");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_reads_otherwise_under_a_replay_ends_its_task() {
    diverges("none").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_reads_otherwise_under_a_replay_ends_its_task_in_a_worker() {
    diverges("process").await;
}

/// What another program wrote meanwhile leaves open whether an append was done.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_may_be_done_or_not_is_an_unknown_outcome() {
    let mut house = House::new("none");
    // The first operation makes a folder, the second appends a line.
    let (document, _) = cut_off(&mut house, "op_intent:2", |_, room| {
        assert_eq!(fs::read(room.out.join("log")).expect("a file"), b"");
        fs::write(room.out.join("log"), "a line of another program\n").expect("written");
    })
    .await;
    is_failed(&document, "unknown_outcome", "append to /out/log was begun");
    assert!(document["error"]["next"].to_string().contains("task resolve"), "{document}");
}

/// What cannot be looked at is not taken for gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_in_a_folder_that_leads_elsewhere_by_now_is_an_unknown_outcome() {
    let mut house = House::new("none");
    // Before it a folder is made, nine pieces are appended, a file is renamed, linked and created.
    let (document, _) = cut_off(&mut house, "op_intent:14", |house, room| {
        assert!(room.out.join("made/linked").exists());
        fs::rename(room.out.join("made"), house.path("elsewhere")).expect("moved");
        std::os::unix::fs::symlink(house.path("elsewhere"), room.out.join("made")).expect("linked");
    })
    .await;
    is_failed(&document, "unknown_outcome", "remove /out/made/linked was begun");
    assert!(house.path("elsewhere/linked").exists());
}

/// A task has the folder that it began with, as long as its component is granted it.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_granted_any_more_is_not_written_again() {
    let mut house = House::new("none");
    let (reads_alone, _) = cut_off(&mut house, "op_intent:3", |house, room| {
        house.grant(room, &room.out, "read");
    })
    .await;
    is_failed(&reads_alone, "refused", "nothing outside of the server says that it may be held to write");
    // The second operation's, whose outcome is on disk.
    assert_eq!(fs::read(house.path("out/log")).expect("a file"), b"line ");

    fs::create_dir(house.path("other")).expect("a folder");
    let (elsewhere, _) = cut_off(&mut house, "op_intent:3", |house, room| {
        house.grant(room, &house.path("other"), "write");
    })
    .await;
    // It is not looked at any more, so that it does not say what became of the third.
    is_failed(&elsewhere, "unknown_outcome", "append to /out/log was begun");
    assert_eq!(fs::read_dir(house.path("other")).expect("a list").count(), 0);
}

/// A folder that cannot be held is said with what to do, and no fault of the server's.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_folder_cannot_be_held_is_refused_and_can_be_tried_again() {
    let mut house = House::new("none");
    let room = house.next_room();
    fs::remove_dir(&room.out).expect("removed");
    let server = house.start(&room, &[]);
    let client = server.client();
    let id = client.start("files_program", json!({}), None).await.expect("a task");
    let document = client.ended(&id).await.expect("an end");
    is_failed(&document, "refused", "it is not there; make it, or bind another");
    fs::create_dir(&room.out).expect("a folder");
    client.structured("task_retry", json!({ "task_id": id })).await;
    let document = client.ended(&id).await.expect("an end");
    assert_eq!(document["state"], "completed", "{document} {}", server.said());
    assert_eq!(fs::read(room.out.join("count")).expect("a file"), b"3");
    drop(server);

    for (name, words) in
        [("data", "bind another folder"), ("", "bind another folder"), ("link", "a link is on its way")]
    {
        let room = house.room(&format!("fresh-{name}"));
        let granted = house.path(if name == "data" { "fresh-data" } else { name });
        if name == "link" {
            std::os::unix::fs::symlink(&room.out, &granted).expect("linked");
        }
        house.grant(&room, granted.components().as_path(), "write");
        let server = house.start(&room, &[]);
        let client = server.client();
        let id = client.start("files_program", json!({}), None).await.expect("a task");
        let document = client.ended(&id).await.expect("an end");
        is_failed(&document, "refused", words);
        assert_eq!(files(&room.out).len(), 0);
    }
}

/// A slot that nothing is bound to is said with what binds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_without_a_folder_is_said_with_the_lines_that_bind_one() {
    for isolate in ["none", "process"] {
        let house = House::new(isolate);
        let room = house.room("fresh");
        let asked = |slot: &str, access: &str| {
            format!("{{ slot = {slot:?}, at = \"/{slot}\", access = {access:?} }}")
        };
        let manifest =
            format!("[capabilities]\nfiles = [{}, {}]\n", asked("in", "read"), asked("out", "write"));
        fs::write(house.path("tools/files_program.toml"), manifest).expect("written");
        let out = format!("{{ slot = \"out\", at = \"/out\", access = \"write\", path = {:?} }}", room.out);
        let config = format!("[engine]\nisolate = {isolate:?}\n[grants.files_program]\nfiles = [{out}]\n");
        fs::write(&room.config, config).expect("written");
        let server = house.start(&room, &[]);
        let client = server.client();
        let id = client.start("files_program", json!({}), None).await.expect("a task");
        let document = client.ended(&id).await.expect("an end");
        assert_eq!(document["state"], "completed", "{document}");
        let message = document["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("no folder is bound to the slot in, so that /in is not there"),
            "{document}"
        );
        let said = server.said();
        let line = "files = [{ slot = \"in\", at = \"/in\", access = \"read\", path = \"FOLDER\" }]";
        assert!(said.contains(&format!("[grants.files_program]\n{line}")), "{said}");
    }
}

/// The configuration has nothing of it: a person binds the folders while the server runs, and they are what it gets then,
/// and after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn folders_that_are_bound_at_an_approval_are_there_at_once() {
    let house = House::new("process");
    let room = house.room("fresh");
    let asked =
        |slot: &str, access: &str| format!("{{ slot = {slot:?}, at = \"/{slot}\", access = {access:?} }}");
    let manifest = format!("[capabilities]\nfiles = [{}, {}]\n", asked("in", "read"), asked("out", "write"));
    fs::write(house.path("tools/files_program.toml"), manifest).expect("written");
    let config = "[engine]\nisolate = \"process\"\n[cli]\nanswer_without_terminal = true\n";
    fs::write(&room.config, config).expect("written");
    // What a person binds is kept where the server cannot write.
    let home = house.path("config");
    let variables = [("XDG_CONFIG_HOME", home.to_str().expect("a text"))];
    let server = house.start(&room, &variables);
    let approve = |words: &[&str]| {
        let config = room.config.to_str().expect("a text");
        let words = [&["--config", config, "tool", "approve", "files_program"], words].concat();
        let output = command(&room.data, &words).envs(variables).output().expect("longhaul runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let bind = |slot: &str, folder: &Path| format!("{slot}={}", folder.display());
    let (input, out) = (bind("in", &room.input), bind("out", &room.out));
    let (_, said) = approve(&["--bind", &input, "--bind", &out]);
    let digest = said.rsplit_once("--digest ").unwrap_or_else(|| panic!("{said}")).1.trim().to_owned();
    for (folder, why) in [
        (room.data.clone(), "bind another folder"),
        (house.root.path().to_owned(), "bind another folder"),
        (room.config.clone(), "is no folder"),
    ] {
        let (done, said) = approve(&["--digest", &digest, "--bind", &bind("in", &folder)]);
        assert!(!done && said.contains(why) && !said.contains("bound:"), "{said}");
    }
    let (done, said) = approve(&["--bind", &bind("nope", &room.out)]);
    let is_refused_at_once = said.contains("no slot 'nope'") && !said.contains("bound:");
    assert!(!done && is_refused_at_once, "{said}");
    let bindings = home.join("longhaul/bindings.toml");
    let stale = "0".repeat(digest.len());
    let (done, said) = approve(&["--digest", &stale, "--bind", &input, "--bind", &out]);
    assert!(!done && said.contains("taken out") && !bindings.exists(), "{said}");
    let (done, said) = approve(&["--digest", &digest, "--bind", &input, "--bind", &out]);
    assert!(done && said.contains("it may use: files:in files:out"), "{said}");
    let ends = async |server: &Server| {
        let client = server.client();
        let id = client.start("files_program", json!({}), None).await.expect("a task");
        client.ended(&id).await.expect("an end")
    };
    let document = ends(&server).await;
    assert_eq!(document["state"], "completed", "{document} {}", server.said());
    let written = files(&room.out);
    assert_eq!(written["count"], b"3");
    server.kill();
    fs::remove_dir_all(&room.out).expect("removed");
    fs::create_dir(&room.out).expect("made");
    let server = house.start(&room, &variables);
    assert_eq!(ends(&server).await["state"], "completed", "{}", server.said());
    assert_eq!(files(&room.out), written);

    // What is in the file no more is not held, whatever the server has in its store.
    server.kill();
    fs::remove_file(bindings).expect("it was written");
    let server = house.start(&room, &variables);
    is_failed(&ends(&server).await, "refused", "longhaul tool approve NAME --bind");
}

/// What is read of folders is bounded over the whole task.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_reads_without_end_meets_its_bound() {
    let mut house = House::new("none");
    let room = house.next_room();
    let huge = fs::File::create(room.input.join("huge")).expect("a file");
    huge.set_len(257 * 1024 * 1024).expect("a size");
    let server = house.start(&room, &[]);
    let client = server.client();
    let id = client.start("files_program", json!({}), None).await.expect("a task");
    let document = client.ended(&id).await.expect("an end");
    is_failed(&document, "limit", "MAX_FILE_READ_BYTES");
}

/// All files of a folder, by their paths in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).expect("a list") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("within").display().to_string();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

async fn killed_everywhere(isolate: &'static str, record_step: usize) {
    let mut house = House::new(isolate);
    let (undisturbed, records) = house.undisturbed().await;
    assert!(undisturbed.files.contains_key("log"), "{undisturbed:?}");
    assert_eq!(undisturbed.files["log"], b"line 0\nline 1\nend\n");
    assert_eq!(undisturbed.files["once"], b"1");
    assert_eq!(undisturbed.files["count"], b"3");
    assert_eq!(undisturbed.files["made/whole"], b"S*ME WORDS");
    let long: Vec<u8> = (0..150_000u32).rev().map(|number| (number % 251) as u8).collect();
    assert!(undisturbed.files["long"] == long, "it is written back in reverse");
    assert_eq!(undisturbed.files.len(), 5, "{:?}", undisturbed.files.keys());
    for line in [
        "input: some words",
        "out: [\"count\", \"log\", \"long\", \"made\", \"once\"]",
        "read-only: Err(ReadOnlyFilesystem)",
        "out of it: true",
        "again: Err(AlreadyExists)",
    ] {
        assert!(undisturbed.log.lines().any(|it| it == line), "{line}: {}", undisturbed.log);
    }
    let mut kills = 0;
    // Where guests run makes no difference to a record: in workers each third is enough, and each operation.
    for (point, step) in [("record", record_step), ("op_intent", 1), ("op_done", 1)] {
        for number in (1..=records).step_by(step) {
            let crash = format!("{point}:{number}");
            let Some(left) = house.killed(&crash).await else { break };
            assert_eq!(left, undisturbed, "killed at {crash}");
            kills += 1;
        }
    }
    println!("files_program, {isolate}: {kills} kills at {records} records and its operations");
    assert!(kills * 10 * record_step as u64 >= records * 8, "too few were reached: {kills} of {records}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_writes_files_survives_a_kill_at_every_record() {
    killed_everywhere("none", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_writes_files_survives_kills_in_a_worker() {
    killed_everywhere("process", 3).await;
}
