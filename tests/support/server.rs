use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cli::{answer_of, command};
use super::client::Client;

/// `longhaul serve` as a child process. Killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
    data: PathBuf,
    /// The owner's, from the data folder.
    key: String,
    log: PathBuf,
}

impl Server {
    /// Serves `tools` from the data folder on a port of the system's choice.
    pub fn start(data: &Path, tools: &[PathBuf]) -> Self {
        Self::start_with(data, tools, &[]).unwrap_or_else(|words| panic!("the server did not start: {words}"))
    }

    /// At the address of one that is gone, for clients that remember it.
    pub fn start_at(url: &str, data: &Path, tools: &[PathBuf]) -> Self {
        let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
        Self::launch(address, data, tools, &["--trust".as_ref()], &[])
            .unwrap_or_else(|words| panic!("it did not start: {words}"))
    }

    /// With variables in its environment; the error is what it said.
    pub fn start_with(data: &Path, tools: &[PathBuf], variables: &[(&str, &str)]) -> Result<Self, String> {
        Self::launch("127.0.0.1:0", data, tools, &["--trust".as_ref()], variables)
    }

    /// With what this configuration grants, and no more.
    pub fn start_granted(data: &Path, tools: &[PathBuf], configuration: &Path) -> Self {
        Self::start_granted_with(data, tools, configuration, &[])
    }

    /// The same with variables in its environment.
    pub fn start_granted_with(
        data: &Path,
        tools: &[PathBuf],
        configuration: &Path,
        variables: &[(&str, &str)],
    ) -> Self {
        let flags = ["--config".as_ref(), configuration.as_os_str()];
        Self::launch("127.0.0.1:0", data, tools, &flags, variables)
            .unwrap_or_else(|words| panic!("the server did not start: {words}"))
    }

    /// With these flags, and nothing that is trusted besides.
    #[allow(dead_code)]
    pub fn start_flagged(data: &Path, tools: &[PathBuf], flags: &[&str]) -> Self {
        let flags: Vec<&OsStr> = flags.iter().map(AsRef::as_ref).collect();
        Self::launch("127.0.0.1:0", data, tools, &flags, &[])
            .unwrap_or_else(|words| panic!("the server did not start: {words}"))
    }

    /// With this configuration, run by another program, such as `taskset -c 0`, that becomes the server.
    // Used by one of the two programs that have this module.
    #[allow(dead_code)]
    pub fn start_under(
        under: &[String],
        config: &Path,
        data: &Path,
        tools: &[PathBuf],
    ) -> Result<Self, String> {
        let program = env!("CARGO_BIN_EXE_longhaul");
        let command = match under.split_first() {
            None => Command::new(program),
            Some((first, words)) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
        };
        let flags = ["--trust".as_ref(), "--config".as_ref(), config.as_os_str()];
        Self::launch_as(command, "127.0.0.1:0", data, tools, &flags, &[])
    }

    fn launch(
        address: &str,
        data: &Path,
        tools: &[PathBuf],
        flags: &[&OsStr],
        variables: &[(&str, &str)],
    ) -> Result<Self, String> {
        let command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        Self::launch_as(command, address, data, tools, flags, variables)
    }

    fn launch_as(
        mut command: Command,
        address: &str,
        data: &Path,
        tools: &[PathBuf],
        flags: &[&OsStr],
        variables: &[(&str, &str)],
    ) -> Result<Self, String> {
        let log = data.with_extension("server.log");
        command.args(["serve", "--http", address, "--json", "--data"]).arg(data).args(flags);
        for tool in tools {
            command.arg("--tools").arg(tool);
        }
        // No configuration of the machine's owner.
        command.env("XDG_CONFIG_HOME", data).current_dir(std::env::temp_dir());
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&log).map_err(|error| error.to_string())?);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut stdout = BufReader::new(stdout);
        // Blocks until it listens, or has ended.
        stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        // All its tools are there only with the second line, which is an error where none is left.
        let mut loaded = String::new();
        stdout.read_line(&mut loaded).map_err(|error| error.to_string())?;
        if !loaded.contains("\"loaded\"") {
            line.clear();
        }
        match serde_json::from_str::<Value>(&line)
            .ok()
            .and_then(|seen| seen["url"].as_str().map(str::to_owned))
        {
            Some(url) => Ok(Self { child, url, data: data.to_owned(), key: key_of(data)?, log }),
            None => {
                let _ = child.wait();
                Err(fs::read_to_string(&log).unwrap_or_default())
            }
        }
    }

    // As above.
    #[allow(dead_code)]
    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// The same with the owner's key, as the command line has it.
    pub fn owner(&self) -> Client {
        self.client().with_key(&self.key)
    }

    /// The text of one of its own pages, such as `metrics`.
    pub async fn page(&self, name: &str) -> String {
        let url = self.url.replace("/mcp", &format!("/{name}"));
        reqwest::get(url).await.expect("an answer").text().await.expect("text")
    }

    /// What `longhaul …` answers that its owner talks to it by.
    pub fn longhaul(&self, words: &[&str]) -> Value {
        answer_of(command(&self.data, words))
    }

    /// The person's hand: `longhaul task answer`.
    pub fn answer(&self, task: &str, words: &[&str]) {
        self.longhaul(&[&["task", "answer", task], words].concat());
    }

    /// Resident memory, KiB.
    pub fn resident_kib(&self) -> u64 {
        self.kib_of("VmRSS:")
    }

    /// The most that it was ever, KiB.
    // As above.
    #[allow(dead_code)]
    pub fn most_resident_kib(&self) -> u64 {
        self.kib_of("VmHWM:")
    }

    /// Memory that is no file's, KiB.
    // As above.
    #[allow(dead_code)]
    pub fn own_kib(&self) -> u64 {
        self.kib_of("RssAnon:")
    }

    fn kib_of(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or_default()
    }

    // As above.
    #[allow(dead_code)]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and gone.
    pub fn kill(mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server was ours");
    }

    /// Waits until it has died by itself; `None` if it does not within a minute.
    pub fn died(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("the server was ours") {
                return Some(status);
            }
            // A child's end is no event that std can wait for with a bound.
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// SIGTERM, and its exit status.
    pub fn stop(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("the server is there");
        self.child.wait().expect("the server was ours")
    }

    /// Waits until this is among what it said on stderr.
    #[allow(dead_code)]
    pub async fn says(&self, words: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.said().contains(words) {
            assert!(Instant::now() < until, "it never said '{words}', but: {}", self.said());
            // A file that grows is no event.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it said on stderr.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// From the file that a server writes once it listens.
fn key_of(data: &Path) -> Result<String, String> {
    let text = fs::read_to_string(data.join("server.json")).map_err(|error| error.to_string())?;
    let info: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    info["key"].as_str().map(str::to_owned).ok_or_else(|| format!("no key in {text}"))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A copy of a data folder whose server is not running.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type") {
            kind if kind.is_dir() => copy_folder(&entry.path(), &target),
            kind if kind.is_file() => drop(fs::copy(entry.path(), target).expect("a copy")),
            _ => {}
        }
    }
}
