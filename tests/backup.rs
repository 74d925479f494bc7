//! Backups of a store that is in use: of a server under load that is killed, of one that cannot be asked; and what is
//! not taken for one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kill_random::{Job, check_result, program, submit_one};
use crate::support::{Client, Dice, Server, answer_of, command, guest, scale};

fn run(data: &Path, words: &[&str]) -> Output {
    command(data, words).stdin(Stdio::null()).output().expect("longhaul runs")
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// The file of a backup that is made now.
fn back_up(data: &Path, folder: &Path, source: &str) -> PathBuf {
    let made = answer_of(command(data, &["backup", folder.to_str().expect("text")]));
    assert_eq!(made["source"], source, "{made}");
    PathBuf::from(made["file"].as_str().expect("a file"))
}

fn restore(backup: &Path, data: &Path) -> Value {
    answer_of(command(data, &["restore", backup.to_str().expect("text")]))
}

/// Submits until the server is gone.
async fn load(client: Client, jobs: Arc<Mutex<Vec<Job>>>, worker: u64, round: u64) {
    let mut dice = Dice::new(0xbac0 ^ (round << 8) ^ worker.wrapping_mul(0x1_0001));
    for number in 0.. {
        let index = {
            let mut jobs = jobs.lock().expect("jobs");
            let key = format!("{round}-{worker}-{number}");
            jobs.push(Job { key, program: program(&mut dice), acknowledged: None });
            jobs.len() - 1
        };
        if !submit_one(&client, &jobs, index).await {
            return;
        }
    }
}

fn acknowledged(jobs: &Mutex<Vec<Job>>) -> Vec<String> {
    jobs.lock().expect("jobs").iter().filter_map(|job| job.acknowledged.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_under_load_is_backed_up_killed_and_goes_on_from_the_backup_with_all_that_was_acknowledged()
{
    let rounds = scale("LONGHAUL_BACKUPS", 4);
    let root = tempfile::tempdir().expect("a folder");
    let (mut data, backups) = (root.path().join("data-0"), root.path().join("backups"));
    let tools = [guest("interpreter")];
    let jobs: Arc<Mutex<Vec<Job>>> = Arc::default();
    let mut open_in_backups = 0;
    for round in 0..rounds {
        let server = Server::start(&data, &tools);
        let client = server.client();
        for id in acknowledged(&jobs) {
            let document = client.task(&id).await.expect("what the backup had is there");
            open_in_backups += usize::from(!matches!(document["state"].as_str(), Some("completed")));
        }
        let workers: Vec<_> =
            (0..3).map(|worker| tokio::spawn(load(client.clone(), jobs.clone(), worker, round))).collect();
        // Several, one after the other, while it works; the last one counts.
        let (mut file, mut known) = (PathBuf::new(), Vec::new());
        for number in 1..=3 {
            while acknowledged(&jobs).len() < known.len() + number {
                tokio::task::yield_now().await;
            }
            known = acknowledged(&jobs);
            let (from, to) = (data.clone(), backups.clone());
            let made = tokio::task::spawn_blocking(move || back_up(&from, &to, "running"));
            file = made.await.expect("made");
        }
        server.kill();
        for worker in workers {
            worker.await.expect("a worker");
        }
        // What came after the backup began may be gone, and its clients ask again.
        for job in jobs.lock().expect("jobs").iter_mut() {
            job.acknowledged = job.acknowledged.take().filter(|id| known.contains(id));
        }
        data = root.path().join(format!("data-{}", round + 1));
        restore(&file, &data);
    }
    assert_eq!(names(&backups).len() as u64, 3 * rounds, "{:?}", names(&backups));
    assert!(names(&backups).iter().all(|name| name.ends_with("Z.backup")));
    let server = Server::start(&data, &tools);
    let client = server.client();
    let count = jobs.lock().expect("jobs").len();
    for index in 0..count {
        assert!(submit_one(&client, &jobs, index).await, "the server serves");
    }
    let jobs = std::mem::take(&mut *jobs.lock().expect("jobs"));
    for job in jobs {
        let id = job.acknowledged.as_deref().expect("acknowledged in the end");
        let document = client.ended(id).await.expect("an end");
        assert_eq!(document["state"], "completed", "{document} {}", server.said());
        check_result(&client, id, &job).await;
    }
    let doctor = run(&data, &["doctor", "--check"]);
    let doctor: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let checksums = checksums(&doctor);
    assert_eq!(checksums["ok"], true, "{checksums}");
    println!(
        "{rounds} servers, {count} tasks, {open_in_backups} of them open when they were looked at again"
    );
    assert!(open_in_backups > 0, "a backup must have had open tasks");
}

fn checksums(doctor: &Value) -> Value {
    let checks = doctor["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["what"] == "checksums").expect("checksums are looked at").clone()
}

#[test]
fn a_stopped_store_is_backed_up_and_comes_back_as_it_was() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, backups, again) = (root.path().join("data"), root.path().join("b"), root.path().join("c/d"));
    let server = Server::start(&data, &[guest("text_stats")]);
    let called = server.longhaul(&["call", "analyze", "text=two words"]);
    server.longhaul(&["state", "put", "trips", "paris", "7"]);
    assert!(server.stop().success());
    let file = back_up(&data, &backups, "stopped");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&backups), mode(&file)), (0o700, 0o600));
    let file_words = file.to_str().expect("text");
    let checked = answer_of(command(&again, &["restore", "--check", file_words]));
    assert!(!again.exists(), "a check makes nothing");
    // The same bytes by stdout, and by a program.
    let mut to_stdout = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    to_stdout.args(["backup", "-", "--data"]).arg(&data).env("XDG_CONFIG_HOME", &data);
    let to_stdout = to_stdout.output().expect("longhaul runs");
    assert!(to_stdout.status.success(), "{}", stderr_of(&to_stdout));
    assert_eq!(to_stdout.stdout.len() as u64, checked["bytes"].as_u64().expect("a length"));
    let by_program = root.path().join("by-program");
    let mut program = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    program.args(["--json", "--data"]).arg(&data).env("XDG_CONFIG_HOME", &data);
    program.args(["backup", "--command", "dd", "status=none"]).arg(format!("of={}", by_program.display()));
    let program = program.output().expect("longhaul runs");
    assert!(program.status.success(), "{}", stderr_of(&program));
    assert_eq!(fs::read(&by_program).expect("written").len(), to_stdout.stdout.len());

    let restored = restore(&file, &again);
    assert_eq!(restored["digest"], checked["digest"]);
    assert_eq!(names(&again), ["longhaul.redb"]);
    let id = called["task"]["id"].as_str().expect("a task");
    assert_eq!(answer_of(command(&again, &["task", "show", id]))["state"], "completed");
    let server = Server::start(&again, &[guest("text_stats")]);
    assert_eq!(server.longhaul(&["state", "get", "trips", "paris"])["value"], 7);
    assert_eq!(server.longhaul(&["call", "analyze", "text=more"])["task"]["state"], "completed");
}

#[test]
fn what_is_torn_altered_or_there_already_is_refused_in_words_and_with_a_status() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, backups) = (root.path().join("data"), root.path().join("backups"));
    let server = Server::start(&data, &[guest("text_stats")]);
    let file = back_up(&data, &backups, "running");
    let whole = fs::read(&file).expect("read");
    let path = |name: &str, bytes: &[u8]| {
        let path = root.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    let other_user = path("open", &whole);
    fs::set_permissions(&other_user, fs::Permissions::from_mode(0o666)).expect("set");
    let fresh = root.path().join("fresh");
    for (backup, status, words) in [
        (path("torn", &whole[..whole.len() / 2]), 1, "incomplete"),
        (path("altered", &altered), 1, "damaged or was altered"),
        (path("foreign", b"something else, and long enough"), 1, "no backup of a longhaul store"),
        (root.path().join("missing"), 3, "there is no file"),
        (other_user, 4, "may be written by others"),
    ] {
        for check in [&["--check"][..], &[]] {
            let words_of = [&["restore", backup.to_str().expect("text")][..], check].concat();
            let refused = run(&fresh, &words_of);
            assert_eq!(refused.status.code(), Some(status), "{backup:?}: {}", stderr_of(&refused));
            assert!(stderr_of(&refused).contains(words), "{backup:?}: {}", stderr_of(&refused));
        }
        assert!(!fresh.exists() || names(&fresh).is_empty(), "{backup:?} leaves something");
    }
    // A store that is served, and one that is not.
    let over = |data: &Path| run(data, &["restore", file.to_str().expect("text")]);
    assert_eq!(over(&data).status.code(), Some(4), "{}", stderr_of(&over(&data)));
    assert!(server.stop().success());
    let before = fs::read(data.join("longhaul.redb")).expect("a store");
    let refused = over(&data);
    assert_eq!(refused.status.code(), Some(4), "{}", stderr_of(&refused));
    assert!(stderr_of(&refused).contains("there is a store already"), "{}", stderr_of(&refused));
    assert!(fs::read(data.join("longhaul.redb")).expect("a store") == before, "it was written over");
    // A target that fails leaves nothing that looks like a backup.
    for (words, status) in [
        (&["backup", "--command", "false"][..], 1),
        (&["backup", "--command", "/nonexistent/program"], 1),
        (&["backup", "-"], 2),
        (&["backup"], 2),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command.args(["--json", "--data"]).arg(&data).args(words).env("XDG_CONFIG_HOME", &data);
        let failed = command.output().expect("longhaul runs");
        assert_eq!(failed.status.code(), Some(status), "{words:?}: {}", stderr_of(&failed));
    }
    let nothing = root.path().join("nothing");
    assert_eq!(run(&nothing, &["backup", backups.to_str().expect("text")]).status.code(), Some(3));
    assert_eq!(names(&backups).len(), 1);
    let shared = root.path().join("shared");
    fs::create_dir(&shared).expect("made");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("set");
    assert_eq!(run(&data, &["backup", shared.to_str().expect("text")]).status.code(), Some(4));
    assert_eq!(names(&shared).len(), 0);
}

/// What a connection gives at once, and the connection.
fn begin(data: &Path) -> (UnixStream, Vec<u8>) {
    let mut stream = UnixStream::connect(data.join("backup.sock")).expect("the server makes backups");
    let mut first = vec![0; 1_000];
    stream.read_exact(&mut first).expect("it begins");
    (stream, first)
}

#[test]
fn a_backup_whose_server_is_killed_or_whose_reader_stands_still_holds_nothing_up_and_is_none() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, fresh) = (root.path().join("data"), root.path().join("fresh"));
    let server = Server::start(&data, &[guest("interpreter"), guest("text_stats")]);
    // More than a socket takes by itself: the components are in it.
    let (mut stream, mut bytes) = begin(&data);
    let began = Instant::now();
    for number in 0..5 {
        let called = server.longhaul(&["call", "analyze", &format!("text=words {number}")]);
        assert_eq!(called["task"]["state"], "completed");
    }
    let other = back_up(&data, &root.path().join("backups"), "running");
    assert!(began.elapsed() < Duration::from_secs(60), "they waited for the reader");
    server.kill();
    // An error is as good as an end.
    let _ = stream.read_to_end(&mut bytes);
    assert!(bytes.len() < fs::metadata(&other).expect("there").len() as usize);
    let mut restoring = command(&fresh, &["restore", "-"]);
    restoring.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut restoring = restoring.spawn().expect("longhaul runs");
    restoring.stdin.take().expect("a pipe").write_all(&bytes).expect("written");
    let refused = restoring.wait_with_output().expect("ends");
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr_of(&refused).contains("incomplete"), "{}", stderr_of(&refused));
    assert!(names(&fresh).is_empty(), "{:?}", names(&fresh));
    restore(&other, &fresh);
}

/// A server that speaks to its own host alone.
struct Private {
    child: std::process::Child,
}

impl Private {
    fn start(data: &Path) -> Self {
        let mut server = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        server.args(["serve", "--stdio", "--private", "--data"]).arg(data).env("XDG_CONFIG_HOME", data);
        server.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = server.spawn().expect("longhaul runs");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let lines: Vec<String> = stderr
            .lines()
            .map(|line| line.expect("text"))
            .take_while(|line| !line.contains("serving on stdin"))
            .collect();
        assert!(child.try_wait().expect("ours").is_none(), "{lines:?}");
        Self { child }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_store_of_a_server_that_cannot_be_asked_is_looked_at_and_checked_and_left_as_it_is() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let server = Server::start(&data, &[guest("text_stats")]);
    let called = server.longhaul(&["call", "analyze", "text=two words"]);
    let id = called["task"]["id"].as_str().expect("a task").to_owned();
    assert!(server.stop().success());
    let private = Private::start(&data);
    let listed = answer_of(command(&data, &["task", "list"]));
    assert_eq!(listed["tasks"][0]["id"], json!(id));
    let shown = run(&data, &["task", "show", &id]);
    assert!(shown.status.success(), "{}", stderr_of(&shown));
    assert!(
        stderr_of(&shown).contains("--private") && stderr_of(&shown).contains("as it was just now"),
        "{}",
        stderr_of(&shown)
    );
    let doctor = run(&data, &["doctor", "--check"]);
    let doctor: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let checksums = checksums(&doctor);
    assert_eq!(checksums["ok"], true, "{checksums}");
    assert!(checksums["found"].as_str().expect("words").contains("as the running server reads them"));
    // What would change something is refused, as ever.
    let refused = run(&data, &["task", "cancel", &id]);
    assert_eq!(refused.status.code(), Some(1), "{}", stderr_of(&refused));
    let file = back_up(&data, &root.path().join("backups"), "running");
    assert!(file.exists());
    drop(private);
    // A socket that was left behind is no server.
    assert!(data.join("backup.sock").exists());
    back_up(&data, &root.path().join("backups"), "stopped");
}
