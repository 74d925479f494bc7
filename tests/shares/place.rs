//! Where a scenario takes place: a folder on a disk, tools, a server on its core, and callers with tokens.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use crate::cores::Cores;
use crate::support::{Server, export, guest, install};
use crate::wire::Caller;

pub struct Place {
    root: tempfile::TempDir,
    tools: Vec<PathBuf>,
    under: Vec<String>,
    pub server: Server,
}

/// So that a caller is known by its token alone, though all of them are this user's programs.
const NOT_THE_OWNERS: &str = "[mcp]\nallowed_hosts = [\"127.0.0.1\"]\nstate_tools = true\n";

impl Place {
    /// With these tables in its configuration.
    pub fn new(cores: &Cores, config: &str) -> Self {
        Self::with_tools(cores, config, 0)
    }

    /// With `quick` under so many more names: `quick0` and so on.
    pub fn with_tools(cores: &Cores, config: &str, more: usize) -> Self {
        // A folder of Cargo's, so that it is on a disk: /tmp is often memory, where a sync costs nothing.
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let tools = tools(root.path(), more);
        fs::write(config_file(root.path()), format!("{NOT_THE_OWNERS}{config}")).expect("a configuration");
        let under = cores.for_server();
        let server = start(root.path(), &under, &tools);
        Self { root, tools, under, server }
    }

    /// A principal that may call all tools, at an address of its own.
    pub fn caller(&self, name: &str, number: u8) -> Caller {
        self.caller_with(name, number, &[])
    }

    pub fn caller_with(&self, name: &str, number: u8, more: &[&str]) -> Caller {
        let words = [&["token", "new", name, "--tools", "*", "--state", "*"], more].concat();
        let made = self.server.longhaul(&words);
        let token = made["token"].as_str().expect("a token");
        Caller::new(&self.server.url, token, IpAddr::V4(Ipv4Addr::new(127, 0, 0, number)))
    }

    /// `kill -9`, and a new server on the same folder. It listens elsewhere.
    pub fn kill_and_restart(self) -> Self {
        let Self { root, tools, under, server } = self;
        server.kill();
        let server = start(root.path(), &under, &tools);
        Self { root, tools, under, server }
    }

    /// What the store takes of the disk.
    pub fn store_mib(&self) -> u64 {
        let file = self.root.path().join("data/longhaul.redb");
        fs::metadata(file).map_or(0, |file| file.len() >> 20)
    }
}

fn config_file(root: &Path) -> PathBuf {
    root.join("longhaul.toml")
}

fn start(root: &Path, under: &[String], tools: &[PathBuf]) -> Server {
    Server::start_under(under, &config_file(root), &root.join("data"), tools)
        .unwrap_or_else(|words| panic!("the server did not start: {words}"))
}

/// `quick` answers at once, `run_program` does what it is asked, `asker` is the same with leave to ask, `memory_hog` takes
/// memory until it gets no more, and `spin` computes.
fn tools(root: &Path, more: usize) -> Vec<PathBuf> {
    let quick = |name: &str| {
        let wat = export(name, "(result u32)", r#"(func (export "run") (result i32) i32.const 7)"#);
        install(root, name, &wat, "[limits]\nmemory_mib = 1\n")
    };
    let mut tools = vec![quick("quick")];
    tools.extend((0..more).map(|number| quick(&format!("quick{number}"))));
    let mut copy = |from: &str, name: &str, manifest: &str| {
        let path = root.join(format!("{name}.wasm"));
        fs::copy(guest(from), &path).expect("copied");
        let manifest = format!("name = \"{name}\"\nversion = \"0.1.0\"\n{manifest}\n");
        fs::write(path.with_extension("toml"), manifest).expect("written");
        tools.push(path);
    };
    copy("interpreter", "interpreter", "[capabilities]\nelicit = true\nsample = true\n");
    copy("memory_hog", "memory_hog", "[limits]\nmemory_mib = 64\n");
    copy("spin", "spin", "[limits]\nrun_seconds = 5\n");
    tools
}
