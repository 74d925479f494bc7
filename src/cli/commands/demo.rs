//! `longhaul demo`: a task that survives `kill -9`, shown over MCP with a server of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::api::{TaskDocument, TaskOutput};
use crate::cli::client::access::look_at;
use crate::cli::client::remote::{Remote, RemoteError};
use crate::cli::context::Context;
use crate::cli::examples;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::scratch::Scratch;
use crate::cli::server::guests;
use crate::cli::show;
use crate::cli::show::render::{Output, escape};
use crate::task::TaskId;

/// In the scratch folder.
const DATA: &str = "data";
const LOG: &str = "server.log";
const TOOL: &str = "long_running_agent";
const STEPS: u64 = 12;
const STEP_MS: u64 = 500;
/// How long a server may take to listen. Compiling a component is in it, and a debug build compiles slowly.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long the task may take besides its own steps.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn run(context: &Context) -> Result<Exit> {
    // The scratch folder and the server live in the future: dropped, it takes both with it.
    tokio::select! {
        shown = show_it(context) => shown,
        _ = tokio::signal::ctrl_c() => Err(CliError::failed("interrupted; its server and its scratch folder are gone")),
    }
}

async fn show_it(context: &Context) -> Result<Exit> {
    let output = context.output;
    let say = Narrator { output };
    say.line("Longhaul demo: a task that survives kill -9.")?;

    let component = find_component(say).await?;
    let scratch =
        Scratch::new("demo").map_err(|e| CliError::failed(format_args!("no scratch folder: {e}")))?;
    let mut server = Server::start(scratch.path(), &component).await?;
    say.line(format!("\n2. Start a server on a scratch store: pid {}, {}", server.pid, server.url))?;

    say.line(format!("\n3. Call the tool over MCP: {TOOL} steps={STEPS} step_ms={STEP_MS}"))?;
    let mut remote = Remote::connect(&server.url, None).await?;
    let asked = Instant::now();
    let id = remote.start(TOOL, &json!({ "steps": STEPS, "step_ms": STEP_MS }), "demo").await?;
    say.line(format!("   answered in {} ms with a link: {}", asked.elapsed().as_millis(), id.uri()))?;
    let mut watched = Watched::default();
    let before = watched.until(&mut remote, id, say, |task| done(task) >= STEPS / 2).await?;

    server.kill().await?;
    drop(remote);
    say.line(format!("\n4. kill -9 {}: the server had no chance to save anything.", server.pid))?;
    let kept = look_at(&scratch.path().join(DATA), id, context).await?;
    say.line(format!(
        "   on disk: {} of {STEPS} steps done, {} records in the task's journal, state {}",
        done(&kept),
        kept.steps,
        show::state(&kept)
    ))?;

    let restarted = Instant::now();
    server = Server::start(scratch.path(), &component).await?;
    say.line(format!(
        "\n5. Start it again on the same store: pid {}. The task goes on by itself.",
        server.pid
    ))?;
    let mut remote = Remote::connect(&server.url, None).await?;
    let ended = watched.until(&mut remote, id, say, TaskDocument::is_terminal).await?;
    let took = restarted.elapsed();
    if ended.state != "completed" {
        return Err(CliError::failed(show::why_it_ended(&ended)));
    }
    let result = show::result_json(&remote.result(&ended).await?);
    let log = TaskOutput { task_id: id, name: "log".to_owned(), offset: 0, limit: None };
    let log = remote.run(&log, true).await?.text.unwrap_or_default();
    remote.close().await;

    say.line("\n6. What that shows:")?;
    let shown = Shown { before: &before, kept: &kept, ended: &ended, log: &log, result: &result, took };
    let claims = shown.claims();
    for (claim, holds) in &claims {
        say.line(format!("   [{}] {claim}", if *holds { "ok" } else { "NO" }))?;
    }
    server.stop().await?;
    if output.json {
        output.json(
            &json!({ "task": ended, "result": result, "steps_before_kill": done(&kept), "claims": claims }),
        )?;
    }
    if let Some(folder) = examples::folder() {
        say.line(format!("\nServe this tool and its like: longhaul serve --tools {}", folder.display()))?;
    }
    match claims.iter().find(|(_, holds)| !holds) {
        None => Ok(Exit::Done),
        Some((claim, _)) => Err(CliError::failed(format_args!("the demo does not show that {claim}"))),
    }
}

/// What was seen.
struct Shown<'a> {
    /// The last that was reported before the kill.
    before: &'a TaskDocument,
    /// What was on disk after it.
    kept: &'a TaskDocument,
    ended: &'a TaskDocument,
    /// The tool writes a line a step.
    log: &'a str,
    result: &'a Value,
    /// From the restart to the end.
    took: Duration,
}

impl Shown<'_> {
    /// What is claimed, and whether it holds.
    fn claims(&self) -> Vec<(String, bool)> {
        let Self { before, kept, ended, log, result, took } = self;
        let (reported, on_disk) = (done(before), done(kept));
        let expected: Vec<String> =
            (1..=STEPS).map(|step| format!("info: step {step} of {STEPS} is done")).collect();
        let logged: Vec<&str> = log.lines().collect();
        let value = &result["structuredContent"];
        vec![
            (
                format!("nothing that was told is lost: {reported} steps were told, {on_disk} are on disk"),
                reported > 0 && on_disk >= reported && on_disk < STEPS,
            ),
            (
                format!("it is the same task, now at attempt {}", ended.attempt),
                ended.id == kept.id && ended.attempt > kept.attempt.min(before.attempt),
            ),
            (
                format!(
                    "steps 1 to {on_disk} were answered from the {} records of the journal, not run again; \
                     only steps {} to {STEPS} ran, and wrote {} more: {:.1} s, where all {STEPS} take {:.1} s",
                    kept.steps,
                    on_disk + 1,
                    ended.steps.saturating_sub(kept.steps),
                    took.as_secs_f64(),
                    Duration::from_millis(STEPS * STEP_MS).as_secs_f64(),
                ),
                // Run again, the first steps would have written their records once more.
                ended.steps > kept.steps
                    && ended.steps - kept.steps <= kept.steps * (STEPS - on_disk) / on_disk.max(1) + 1,
            ),
            (
                format!("the log has each of the {STEPS} steps once and in order: {} lines", logged.len()),
                logged == expected,
            ),
            (format!("the result is whole: {}", escape(&value.to_string())), value["steps"] == STEPS),
        ]
    }
}

fn done(task: &TaskDocument) -> u64 {
    task.progress.as_ref().map_or(0, |progress| progress.done)
}

/// What was reported of the task's progress, over all its servers.
#[derive(Default)]
struct Watched {
    last: u64,
}

impl Watched {
    /// Reads the task after each change and tells each new step, until `enough`.
    async fn until(
        &mut self,
        remote: &mut Remote,
        id: TaskId,
        say: Narrator,
        enough: impl Fn(&TaskDocument) -> bool,
    ) -> Result<TaskDocument> {
        let limit = Duration::from_millis(STEPS * STEP_MS) + PATIENCE;
        let watching = async {
            let mut changes = remote.watch(id).await?;
            loop {
                let task = remote.task(id).await?;
                let step = done(&task);
                if step != self.last {
                    self.last = step;
                    let message = task.message.as_deref().unwrap_or_default();
                    say.line(format!(
                        "   [{step:>2}/{STEPS}] {:24} attempt {}",
                        escape(message),
                        task.attempt
                    ))?;
                }
                if enough(&task) {
                    return Ok(task);
                }
                changes.next().await.map_err(RemoteError::from)?;
            }
        };
        match tokio::time::timeout(limit, watching).await {
            Ok(task) => task,
            Err(_) => Err(CliError::failed(format_args!("the task stood still for {} s", limit.as_secs()))),
        }
    }
}

/// Where the story goes: on stdout, or on stderr where stdout is for JSON.
#[derive(Clone, Copy)]
struct Narrator {
    output: Output,
}

impl Narrator {
    fn line(self, line: impl AsRef<str>) -> Result<()> {
        if self.output.json {
            eprintln!("{}", line.as_ref());
            return Ok(());
        }
        self.output.line(line)
    }
}

/// A `longhaul serve` of our own; killed when dropped.
struct Server {
    child: Child,
    pid: u32,
    url: String,
}

#[derive(Deserialize)]
struct Listening {
    url: String,
}

impl Server {
    async fn start(folder: &Path, component: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| CliError::failed(format_args!("cannot start a server: {e}"));
        // An empty configuration: that of the person who runs this is not for the demo.
        let config = folder.join("longhaul.toml");
        std::fs::write(&config, "").map_err(failed)?;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["serve", "--json", "--http", "127.0.0.1:0"]);
        command
            .arg("--data")
            .arg(folder.join(DATA))
            .arg("--config")
            .arg(config)
            .arg("--tools")
            .arg(component);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LONGHAUL_"))
        {
            command.env_remove(name);
        }
        let log = folder.join(LOG);
        let words = std::fs::OpenOptions::new().create(true).append(true).open(&log).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(words).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let (Some(pid), Some(stdout)) = (child.id(), child.stdout.take()) else {
            return Err(CliError::failed("the server ended at once"));
        };
        let mut line = String::new();
        let read = tokio::time::timeout(START_PATIENCE, BufReader::new(stdout).read_line(&mut line)).await;
        match (read, serde_json::from_str::<Listening>(&line)) {
            (Ok(Ok(_)), Ok(Listening { url })) => Ok(Self { child, pid, url }),
            _ => {
                let words = std::fs::read_to_string(&log).unwrap_or_default();
                Err(CliError::failed(format_args!(
                    "the demo's server does not listen; it said:\n{}",
                    words.trim_end()
                )))
            }
        }
    }

    /// SIGKILL, and wait until the process is gone.
    async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.map_err(|e| CliError::failed(format_args!("cannot kill {}: {e}", self.pid)))
    }

    /// SIGTERM: the way a server is stopped in order.
    async fn stop(mut self) -> Result<()> {
        let failed = |why: String| CliError::failed(format_args!("the server does not stop in order: {why}"));
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| failed("it has no process id".to_owned()))?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|e| failed(e.to_string()))?;
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(failed(status.to_string())),
            Ok(Err(e)) => Err(failed(e.to_string())),
            Err(_) => Err(failed("it takes too long".to_owned())),
        }
    }
}

/// What came with this program, or else what its sources make.
async fn find_component(say: Narrator) -> Result<PathBuf> {
    if let Some(component) = examples::component(TOOL)? {
        say.line(format!("\n1. The tool {TOOL} came with this program: {}", component.display()))?;
        return Ok(component);
    }
    let workspace = find_workspace()?;
    say.line(format!(
        "\n1. Build the tool {TOOL} ({}). A cold build takes about a minute, later ones a second.",
        workspace.display()
    ))?;
    let began = Instant::now();
    let component = build(workspace).await?;
    say.line(format!("   built in {:.1} s: {}", began.elapsed().as_secs_f64(), component.display()))?;
    Ok(component)
}

/// The example tools next to the source that this binary was built from. Not those of the working folder: building runs
/// what is in a workspace, and whose that is has not been said.
fn find_workspace() -> Result<PathBuf> {
    if examples::of_a_package() {
        return Err(CliError::not_found(
            "the example tools of this program's package are not where it put them",
        )
        .next("unpack or install the whole package: bin/longhaul looks in ../share/longhaul-examples"));
    }
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools-wasm");
    if guests::is_workspace(&place) && place.join(TOOL).is_dir() {
        return Ok(place);
    }
    let place = place.display();
    Err(CliError::not_found(format_args!("the demo builds an example tool, and there is none in {place}"))
        .next("run it in a checkout of longhaul's repository: cargo run --release -- demo"))
}

async fn build(workspace: PathBuf) -> Result<PathBuf> {
    let built = tokio::task::spawn_blocking(move || {
        guests::build(&workspace, &[TOOL], &|line| eprintln!("   {line}"))
    });
    let built = built.await.map_err(CliError::failed)??;
    let component = built.into_iter().find(|guest| guest.name == TOOL).map(|guest| guest.component);
    component.ok_or_else(|| CliError::failed(format_args!("building {TOOL} made no component of that name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(done: u64, attempt: u32, steps: u64) -> TaskDocument {
        serde_json::from_value(json!({
            "id": "1", "uri": "task://1", "tool": TOOL, "component": "c", "state": "running", "attempt": attempt,
            "steps": steps, "created_at": "", "updated_at": "", "log_uri": "task://1/log",
            "progress": { "done": done, "total": STEPS },
        }))
        .expect("a document")
    }

    /// Which claims hold of a task that ended with these records and this log.
    fn verdict(records: u64, log: &[u64], result: u64) -> Vec<bool> {
        let line = |step: &u64| format!("info: step {step} of {STEPS} is done\n");
        let shown = Shown {
            before: &document(6, 1, 12),
            kept: &document(6, 1, 13),
            ended: &document(STEPS, 2, records),
            log: &log.iter().map(line).collect::<String>(),
            result: &json!({ "structuredContent": { "steps": result } }),
            took: Duration::ZERO,
        };
        shown.claims().into_iter().map(|(_, holds)| holds).collect()
    }

    #[test]
    fn a_claim_that_does_not_hold_is_seen() {
        let once: Vec<u64> = (1..=STEPS).collect();
        let twice: Vec<u64> = (1..=6).chain(1..=STEPS).collect();
        assert_eq!(verdict(25, &once, STEPS), [true; 5]);
        assert_eq!(verdict(38, &once, STEPS), [true, true, false, true, true]);
        assert_eq!(verdict(25, &twice, STEPS), [true, true, true, false, true]);
        assert_eq!(verdict(25, &once, 6), [true, true, true, true, false]);
    }
}
