use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn shell(script: &str) -> Program {
    Program {
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: Environment::Stated(vec![("WORD".into(), "said".into())]),
        folder: Some("/".into()),
        stderr: Stderr::Piped,
    }
}

fn programs(script: &str) -> Programs {
    [(Role::Worker, shell(script))].into()
}

/// Of this process, and of a launcher's: a test that was started again is one.
fn both(script: &str) -> Vec<Launch> {
    let launches = vec![Launch::here(programs(script))];
    #[cfg(target_os = "linux")]
    let launches = launches.into_iter().chain([by_launcher(&programs(script))]).collect();
    launches
}

#[cfg(target_os = "linux")]
const IS_LAUNCHER: &str = "LONGHAUL_TEST_IS_LAUNCHER";

#[cfg(target_os = "linux")]
fn by_launcher(programs: &Programs) -> Launch {
    let mut command = std::process::Command::new("/proc/self/exe");
    command.args(["--exact", "launch::tests::a_launcher_serves_where_a_test_asks_for_one", "--nocapture"]);
    command.env(IS_LAUNCHER, "1");
    Launch::launcher(command, programs).expect("a launcher")
}

/// Nothing by itself: the other tests start it as a process.
#[cfg(target_os = "linux")]
#[test]
fn a_launcher_serves_where_a_test_asks_for_one() {
    if std::env::var_os(IS_LAUNCHER).is_some() {
        let _ = launch_for_parent();
        std::process::exit(0);
    }
}

async fn said(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).await.expect("read");
    text
}

#[tokio::test]
async fn a_program_has_pipes_a_stated_environment_and_an_end() {
    for launch in both("read word; echo \"$word $WORD $HOME $PWD\"; echo oh >&2; exit 7") {
        let mut started = launch.start(&Role::Worker).await.expect("started");
        started.stdin.write_all(b"heard\n").await.expect("written");
        assert_eq!(said(&mut started.stdout).await, "heard said  /\n");
        assert_eq!(said(started.stderr.as_mut().expect("a pipe")).await, "oh\n");
        assert_eq!(started.running.ended().await, Ok(End::Code(7)));
        assert_eq!(started.running.ended().await, Ok(End::Code(7)), "again the same");
    }
}

#[tokio::test]
async fn what_is_asked_to_end_may_take_its_time_and_what_is_killed_does_not() {
    for launch in both("trap 'echo asked' TERM; echo ready; while ! read line; do :; done; exec cat") {
        let mut started = launch.start(&Role::Worker).await.expect("started");
        let mut ready = [0; 6];
        started.stdout.read_exact(&mut ready).await.expect("ready");
        started.running.stop(Stop::Ask);
        assert_eq!(started.stdout.read_exact(&mut ready).await.expect("asked"), 6);
        assert_eq!(&ready, b"asked\n");
        started.running.stop(Stop::Kill);
        assert_eq!(started.running.ended().await, Ok(End::Signal(9)));
    }
}

#[tokio::test]
async fn what_is_dropped_is_killed() {
    for launch in both("exec cat") {
        let Started { stdin, mut stdout, running, .. } = launch.start(&Role::Worker).await.expect("started");
        drop(running);
        // Its input is still open: only its death closes its output.
        assert_eq!(said(&mut stdout).await, "");
        drop(stdin);
    }
}

#[tokio::test]
async fn only_what_was_stated_is_started_and_a_refusal_says_why() {
    for launch in both("exit 0") {
        let refused = launch.start(&Role::Server("other".into())).await.expect_err("refused").to_string();
        assert!(
            refused.contains(r#"Server("other")"#) && refused.contains("when this server started"),
            "{refused}"
        );
    }
    let programs: Programs =
        [(Role::Worker, Program { program: "no-such-program-here".into(), ..shell("") })].into();
    let refused = Launch::here(programs).start(&Role::Worker).await.expect_err("refused").to_string();
    assert!(refused.contains("no folder of PATH has it"), "{refused}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_launcher_that_is_gone_is_spoken_of_and_nothing_is_started_instead() {
    let launch = by_launcher(&programs("exec cat"));
    let mut started = launch.start(&Role::Worker).await.expect("started");
    let pid = launch.launcher_pid().expect("a launcher");
    let launcher = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
    rustix::process::kill_process(launcher, rustix::process::Signal::KILL).expect("killed");
    launch.lost().await;
    let ended = LaunchError::LauncherEnded { pid };
    assert_eq!(started.running.ended().await, Err(ended.clone()));
    let refused = launch.start(&Role::Worker).await.map(|_| ());
    assert_eq!(refused, Err(ended.clone()));
    assert!(ended.to_string().contains("start the server again"));
}

/// As at `kill -9` of the server: its end of the socket is closed and nothing else is said.
#[cfg(target_os = "linux")]
#[test]
fn a_launcher_ends_with_its_server_and_all_that_it_started_with_it() {
    let launch = by_launcher(&programs("sleep 1000 & echo $!; exec cat"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut stdout, _stdin, pid) = runtime.block_on(async {
        let mut started = launch.start(&Role::Worker).await.expect("started");
        let mut line = [0; 1];
        started.stdout.read_exact(&mut line).await.expect("it has begun");
        let pid = started.running.pid;
        // Forgotten, it is not killed by this process.
        std::mem::forget(started.running);
        let stdout = started.stdout.into_blocking_fd().expect("a pipe");
        (std::fs::File::from(stdout), started.stdin.into_blocking_fd().expect("a pipe"), pid)
    });
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    drop(runtime);
    // The program and the one that it started both hold the pipe, and their input is open.
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut rest = String::new();
        let _ = std::io::Read::read_to_string(&mut stdout, &mut rest);
        let _ = done.send(());
    });
    ended.recv_timeout(Duration::from_secs(30)).expect("all have ended");
}
