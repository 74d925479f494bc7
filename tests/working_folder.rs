//! The folder that a host happens to be in, such as a cloned repository, decides nothing; and a token goes only to an
//! address that came with it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const TOKEN: &str = "lh_secret_of_this_test";

/// A home, and a repository next to it that is the working folder.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["home/.config/longhaul", "repo"] {
            fs::create_dir_all(root.path().join(folder)).expect("made");
        }
        Self { root }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.root.path().join(name), text).expect("written");
    }

    fn has(&self, name: &str) -> bool {
        self.root.path().join(name).exists()
    }

    fn longhaul(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command.args(words).env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("HOME", self.root.path().join("home")).current_dir(self.root.path().join("repo"));
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.longhaul(words).output().expect("longhaul runs")
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The head of a request, in small letters.
fn head_of(stream: TcpStream) -> String {
    let mut head = String::new();
    let mut lines = BufReader::new(stream);
    while lines.read_line(&mut head).is_ok_and(|read| read > 2) {}
    head.to_ascii_lowercase()
}

#[test]
fn a_file_in_the_working_folder_is_named_once_and_heeded_never() {
    let machine = Machine::new();
    machine.write(
        "repo/longhaul.toml",
        "data = \"d\"\nhttp = \"nonsense!!\"\n[servers.x]\ncommand = \"touch\"\nargs = [\"ran\"]",
    );
    for words in [["task", "list", "--json"], ["doctor", "--json", "--check"], ["audit", "list", "--json"]] {
        let output = machine.run(&words);
        let (seen, shown) = (stderr(&output), String::from_utf8_lossy(&output.stdout).into_owned());
        assert_eq!(seen.matches("is not read").count(), 1, "{words:?}: {seen}");
        let place = machine.root.path().join("repo/longhaul.toml").canonicalize().expect("there");
        assert!(seen.contains(&format!("longhaul --config {} ", place.display())), "{seen}");
        assert!(serde_json::from_str::<Value>(shown.trim()).is_ok(), "stdout is for JSON alone: {shown}");
    }
    assert!(!machine.has("repo/d") && !machine.has("repo/ran"));
    // Named, it holds, and there is nothing to say.
    let named = machine.run(&["task", "list", "--config", "longhaul.toml"]);
    assert!(
        stderr(&named).contains("nonsense!!") && !stderr(&named).contains("is not read"),
        "{}",
        stderr(&named)
    );
}

#[test]
fn a_servers_command_runs_where_its_file_lies_and_never_from_the_working_folder() {
    let machine = Machine::new();
    let config = machine.root.path().join("home/.config/longhaul");
    for (place, words) in [("repo/teller", "here"), ("home/.config/longhaul/bin/teller", "there")] {
        let file = machine.root.path().join(place);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(
            &file,
            format!("#!/bin/sh\necho {words} $(pwd) >> {}\n", machine.root.path().join("ran").display()),
        )
        .expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("set");
    }
    // By its name alone, which only the working folder's relative entry of PATH would lead to; and by a path.
    machine.write(
        "home/.config/longhaul/longhaul.toml",
        "[servers.a]\ncommand = \"teller\"\n[servers.b]\ncommand = \"bin/teller\"",
    );
    let path =
        std::env::join_paths([Path::new("."), Path::new("/usr/bin"), Path::new("/bin")]).expect("a path");
    let mut server = machine.longhaul(&["serve", "--http", "127.0.0.1:0", "--json"]);
    let mut server =
        server.env("PATH", path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
    let mut line = String::new();
    let mut said = BufReader::new(server.stdout.take().expect("a pipe"));
    said.read_line(&mut line).expect("it listens");
    said.read_line(&mut String::new()).expect("it has looked at all");
    let _ = server.kill();
    let _ = server.wait();
    assert!(line.contains("\"url\""), "{line}");
    let ran = fs::read_to_string(machine.root.path().join("ran")).unwrap_or_default();
    let wanted = format!("there {}", config.canonicalize().expect("a folder").display());
    assert!(!ran.is_empty() && ran.lines().all(|line| line == wanted), "{ran}");
}

#[test]
fn a_tools_name_does_not_build_what_lies_in_the_working_folder() {
    let machine = Machine::new();
    for name in ["book_agent", "demo", "tools-wasm"] {
        fs::create_dir(machine.root.path().join("repo").join(name)).expect("made");
        machine.write(&format!("repo/{name}/Cargo.toml"), "not even a manifest");
        let output = machine.run(&["tool", "inspect", name]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(&format!("longhaul tool inspect ./{name}")), "{}", stderr(&output));
    }
    // As long as it is not said.
    let output = machine.run(&["tool", "inspect", "./demo"]);
    assert!(stderr(&output).contains("building ./demo"), "{}", stderr(&output));
}

#[test]
fn a_token_goes_to_no_address_out_of_a_file() {
    let machine = Machine::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    listener.set_nonblocking(true).expect("set");
    let address = listener.local_addr().expect("an address").to_string();
    machine.write("home/.config/longhaul/longhaul.toml", &format!("http = \"{address}\""));
    for words in [
        &["task", "list"][..],
        &["tool", "list"],
        &["call", "book_agent"],
        &["token", "list"],
        &["state", "list", "trips"],
    ] {
        let mut command = machine.longhaul(words);
        let output = command.env("LONGHAUL_TOKEN", TOKEN).output().expect("longhaul runs");
        assert_eq!(output.status.code(), Some(4), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(&format!("--url http://{address}/mcp")), "{}", stderr(&output));
        assert!(listener.accept().is_err(), "{words:?} connected");
    }
    let flag = machine.run(&["task", "list", "--token", TOKEN]);
    assert!(flag.status.code() == Some(4) && listener.accept().is_err());
}

#[test]
fn a_token_goes_to_the_address_that_came_with_it_and_not_to_one_that_the_client_remembers() {
    for (named, is_sent) in [(true, true), (false, false)] {
        let machine = Machine::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let remembered = json!({ "tasks": [
            { "server": url, "tool": "book_agent", "arguments": {}, "key": "k", "id": null },
        ] });
        fs::create_dir_all(machine.root.path().join("home/.local/state/longhaul")).expect("made");
        machine.write("home/.local/state/longhaul/client.json", &remembered.to_string());
        let mut client = machine.longhaul(&["client"]);
        if named {
            client.args(["--url", &url]);
        }
        client.env("LONGHAUL_TOKEN", TOKEN).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut client = client.spawn().expect("longhaul runs");
        let (stream, _) = listener.accept().expect("it connects");
        let head = head_of(stream);
        let _ = client.kill();
        let mut seen = String::new();
        let _ = client.stderr.take().expect("a pipe").read_to_string(&mut seen);
        let _ = client.wait();
        assert_eq!(head.contains(&format!("authorization: bearer {TOKEN}")), is_sent, "{head}");
        assert_eq!(seen.contains(&format!("the token is not sent to {url}")), !is_sent, "{seen}");
    }
}

#[test]
fn an_entry_for_a_host_names_what_the_hosts_own_variables_would_not_lead_to() {
    let machine = Machine::new();
    machine.write("repo/longhaul.toml", "");
    machine.write("repo/own.toml", "");
    let repo = machine.root.path().join("repo").canonicalize().expect("a folder");
    let args = |words: &[&str], variables: &[(&str, &Path)]| {
        let mut command = machine.longhaul(&["install", "--client", "cursor", "--dry-run", "--json"]);
        let output = command.args(words).envs(variables.iter().copied()).output().expect("longhaul runs");
        let seen: Value = serde_json::from_slice(&output.stdout).expect("one document");
        seen["entry"]["args"].clone()
    };
    assert_eq!(args(&[], &[]), json!(["serve", "--stdio"]), "the file that lies here is not written into it");
    let own = json!(["serve", "--stdio", "--config", repo.join("own.toml")]);
    assert_eq!(args(&["--config", "own.toml"], &[]), own);
    assert_eq!(args(&[], &[("LONGHAUL_CONFIG", Path::new("own.toml"))]), own);
    let here = args(&["--config", "longhaul.toml"], &[]);
    assert_eq!(here, json!(["serve", "--stdio", "--config", repo.join("longhaul.toml")]));
    let xdg = repo.join("share");
    let data = args(&[], &[("XDG_DATA_HOME", &xdg)]);
    assert_eq!(data, json!(["serve", "--stdio", "--data", xdg.join("longhaul")]));
}
