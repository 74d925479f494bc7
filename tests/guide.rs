//! docs/plugins-from-strangers.md: each block of commands is run, in their order and in a folder of its own, and what follows
//! it as text is what it prints. An approval that asks is answered by naming the digest that it shows.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{Web, guest};

/// The page that the guide fetches.
const PAGES: &str = "127.0.0.1:8000";

struct Reader {
    folder: tempfile::TempDir,
    web: Web,
    server: Option<Child>,
    servers: usize,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Reader {
    fn new() -> Self {
        let reader = Self {
            folder: tempfile::tempdir().expect("a folder"),
            web: Web::start(),
            server: None,
            servers: 0,
        };
        let plugins = reader.folder.path().join("plugins");
        fs::create_dir(&plugins).expect("a folder");
        fs::copy(guest("fetch"), plugins.join("fetch.wasm")).expect("a copy");
        let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools-wasm/test-guests/fetch/policy.yaml");
        let policy = reader.here(&fs::read_to_string(policy).expect("a policy"));
        fs::write(plugins.join("policy.yaml"), policy).expect("written");
        let bin = reader.folder.path().join("bin");
        fs::create_dir(&bin).expect("a folder");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_longhaul"), bin.join("longhaul")).expect("a link");
        let configuration = "[cli]\nanswer_without_terminal = true\n";
        fs::write(reader.folder.path().join("longhaul.toml"), configuration).expect("written");
        reader
    }

    /// The guide's page as it is here.
    fn here(&self, text: &str) -> String {
        text.replace(PAGES, &format!("127.0.0.1:{}", self.web.port))
    }

    fn shell(&self, line: &str) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(["-euc", line]).current_dir(folder).stdin(Stdio::null());
        command.env("PATH", format!("{}:{path}", folder.join("bin").display()));
        command.env("LONGHAUL_DATA", folder.join("data")).env("LONGHAUL_HTTP", "127.0.0.1:0");
        command.env("LONGHAUL_CONFIG", folder.join("longhaul.toml")).env_remove("LONGHAUL_URL");
        command
    }

    /// What a line prints, on stdout and stderr.
    fn run(&mut self, line: &str) -> String {
        let line = &self.here(line);
        if line.starts_with("longhaul serve ") {
            return self.serve(line);
        }
        let line = match line.strip_prefix("longhaul tool approve ") {
            Some(asked) => format!("{line} --digest {}", self.digest(asked)),
            None => line.clone(),
        };
        let output = self.shell(&line).output().expect("sh runs");
        let said = String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned();
        assert!(output.status.success(), "{line}\n{said}");
        said
    }

    /// What the list has of the component that is named first.
    fn digest(&self, asked: &str) -> String {
        let name = asked.split(' ').next().unwrap_or_default();
        let listed = self.shell("longhaul tool approve --json").output().expect("sh runs");
        let listed: Value = serde_json::from_slice(&listed.stdout).expect("a list");
        let waiting = listed["waiting"].as_array().expect("a list").iter();
        let found = waiting.filter(|waiting| waiting["name"] == name);
        found
            .map(|waiting| waiting["digest"].as_str().expect("a digest").to_owned())
            .next()
            .expect("it waits")
    }

    /// In the place of the one before; what it says until it listens.
    fn serve(&mut self, line: &str) -> String {
        self.stop();
        self.servers += 1;
        let log = self.folder.path().join(format!("server-{}.log", self.servers));
        let mut command = self.shell(&format!("exec {line} --json"));
        command.stderr(File::create(&log).expect("a log")).stdout(Stdio::piped());
        let mut server = command.spawn().expect("sh runs");
        let mut stdout = BufReader::new(server.stdout.take().expect("stdout"));
        self.server = Some(server);
        // It listens, and then all its components are there; each is an end of the file where it has ended.
        let mut lines = String::new();
        for _ in 0..2 {
            stdout.read_line(&mut lines).expect("a line");
        }
        let said = fs::read_to_string(&log).expect("a log");
        assert!(lines.contains("\"loaded\""), "{line}\n{said}");
        said
    }

    fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Whether a line of the guide is there: `...` stands for any text.
fn is_there(expected: &str, said: &str) -> bool {
    let fits = |line: &str| {
        let mut rest = line;
        expected.split("...").map(str::trim).filter(|part| !part.is_empty()).all(|part| {
            let found = rest.find(part).map(|at| at + part.len());
            found.inspect(|end| rest = &rest[*end..]).is_some()
        })
    };
    said.lines().any(fits)
}

#[test]
fn the_guide_to_a_strangers_plugin_does_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/plugins-from-strangers.md");
    let mut guide = String::new();
    File::open(path).and_then(|mut file| file.read_to_string(&mut guide)).expect("the guide");
    let mut reader = Reader::new();
    let (mut said, mut block, mut commands, mut compared) = (String::new(), "", 0, 0);
    for line in guide.lines() {
        match (block, line) {
            ("", "```sh") => (block, said) = ("sh", String::new()),
            ("", "```text") => block = "text",
            ("", other) => assert!(!other.starts_with("```"), "a block that nothing checks: {other}"),
            (_, "```") => block = "",
            ("sh", command) => {
                commands += 1;
                said.push_str(&reader.run(command));
            }
            (_, expected) => {
                compared += 1;
                assert!(is_there(&reader.here(expected), &said), "{expected}\nis not in\n{said}");
            }
        }
    }
    assert!(commands > 10 && compared > 20, "{commands} commands, {compared} lines");
    assert_eq!(reader.web.seen().len(), 2, "what was refused was not sent");
}
