use std::collections::HashMap;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::catalog::Reply;

/// A working folder, a home, and an environment.
struct Machine {
    cwd: TempDir,
    home: TempDir,
    env: HashMap<String, String>,
}

impl Machine {
    fn new() -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        let (cwd, home) = (folder(), folder());
        let env = [("HOME".to_owned(), home.path().to_string_lossy().into_owned())].into();
        Self { cwd, home, env }
    }

    /// One in the working folder, which is named.
    fn with_file(self, text: &str) -> Self {
        self.with_unnamed_file(text).with_env("LONGHAUL_CONFIG", FILE_NAME)
    }

    fn with_unnamed_file(self, text: &str) -> Self {
        fs::write(self.cwd.path().join(FILE_NAME), text).expect("written");
        self
    }

    fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn load_with(&self, overrides: Overrides) -> Result<Settings, ConfigError> {
        Settings::load(overrides, |name| self.env.get(name).cloned(), self.cwd.path())
    }

    fn load(&self) -> Settings {
        self.load_with(Overrides::default()).expect("settings")
    }

    fn refused(&self) -> String {
        self.load_with(Overrides::default()).expect_err("refused").to_string()
    }
}

#[test]
fn without_anything_said_the_defaults_hold() {
    let machine = Machine::new();
    let settings = machine.load();
    assert_eq!(settings.file, None);
    assert_eq!(settings.data, machine.home.path().join(".local/share/longhaul"));
    assert_eq!(settings.http.to_string(), "127.0.0.1:1919");
    assert!(settings.tool_paths.is_empty() && !settings.trust && settings.log.is_none());
    assert!(settings.mcp.task_tools && !settings.mcp.state_tools && !settings.answer_without_terminal);
    assert_eq!(settings.engine.live_instances, limits::MAX_LIVE_INSTANCES);
    assert_eq!(settings.engine.suspend_grace, Duration::from_millis(limits::SUSPEND_GRACE_MS));
    assert_eq!(settings.engine.isolate, Isolation::None);
    assert_eq!(settings.engine.retention, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!((settings.durability, settings.operator), (Durability::Standard, Operator::default()));
}

#[test]
fn a_file_says_everything_and_its_paths_start_at_its_folder() {
    let machine = Machine::new().with_file(
        r#"
        data = "~/work"
        http = "[::1]:0"
        tool_paths = ["tools", "/abs/a.wasm"]
        trust = true
        durability = "strict"
        ca_file = "own.pem"
        lock_file = "own.lock"
        log = "debug"
        [cli]
        answer_without_terminal = true
        [mcp]
        task_tools = false
        dedupe_seconds = 60
        state_tools = true
        allowed_hosts = ["box.lan:1919"]
        allowed_origins = ["https://app.example"]
        [engine]
        live_instances = 8
        suspend_grace_ms = 0
        isolate = "process"
        [folders]
        within = ["shared", "/srv"]
        [retention]
        days = 7
        [background]
        idle_seconds = 0
        [grants.travel]
        elicit = true
        files = [{ slot = "docs", at = "/docs", access = "read", path = "docs" }]
        secrets = [{ name = "k", host = "h", header = "x", from = "file:key" }]
        [grants.travel.limits]
        memory_mib = 512
        [tools.book_agent]
        reply = "inline"
        [components.a]
        prefix = "b"
        "#,
    );
    let settings = machine.load();
    let here = machine.cwd.path();
    assert_eq!(settings.file.as_deref(), Some(here.join(FILE_NAME).as_path()));
    assert_eq!(settings.data, machine.home.path().join("work"));
    assert_eq!(settings.tool_paths, [here.join("tools"), PathBuf::from("/abs/a.wasm")]);
    assert_eq!((settings.http.to_string().as_str(), settings.durability), ("[::1]:0", Durability::Strict));
    assert_eq!(settings.ca_file, Some(here.join("own.pem")));
    assert_eq!(settings.lock_file, Some(here.join("own.lock")));
    assert_eq!(settings.folders.within, [here.join("shared"), PathBuf::from("/srv")]);
    assert!(settings.answer_without_terminal, "the file alone gives this leave");
    assert!(settings.trust && !settings.mcp.task_tools && settings.mcp.state_tools);
    assert_eq!(settings.mcp.allowed_hosts, ["box.lan:1919"]);
    assert_eq!(settings.mcp.allowed_origins, ["https://app.example"]);
    assert_eq!((settings.engine.live_instances, settings.engine.suspend_grace), (8, Duration::ZERO));
    assert_eq!(settings.engine.isolate, Isolation::Process);
    assert_eq!(settings.engine.retention, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(settings.engine.background_idle, Duration::ZERO);
    let travel = &settings.operator.grants["travel"];
    assert!(travel.elicit && travel.limits.memory_mib == Some(512));
    assert_eq!(travel.files[0].path, here.join("docs").to_string_lossy());
    assert_eq!(travel.secrets[0].from, format!("file:{}", here.join("key").display()));
    assert_eq!(settings.operator.tools["book_agent"].reply, Some(Reply::Inline));
    assert_eq!(settings.operator.components["a"].prefix.as_deref(), Some("b"));
    assert_eq!(settings.operator.dedupe_seconds, Some(60));
}

#[test]
fn flags_go_before_variables_and_those_before_the_file() {
    let machine = Machine::new().with_file(
        "data = \"of-file\"\nhttp = \"127.0.0.1:1\"\ntool_paths = [\"of-file\"]\nlog = \"of-file\"\ntrust = true\n\
         [mcp]\ndedupe_seconds = 5",
    );
    let machine = machine
        .with_env("LONGHAUL_HTTP", "localhost:2")
        .with_env("LONGHAUL_TOOLS", "one:two")
        .with_env("LONGHAUL_TRUST", "0")
        .with_env("LONGHAUL_DATA", "")
        .with_env("LONGHAUL_MCP_ALLOWED_HOSTS", "a, b")
        .with_env("LONGHAUL_MCP_STATE_TOOLS", "on")
        .with_env("LONGHAUL_MCP_DEDUPE_SECONDS", "90")
        .with_env("LONGHAUL_ENGINE_LIVE_INSTANCES", "3")
        .with_env("LONGHAUL_ENGINE_SUSPEND_GRACE_MS", "7")
        .with_env("LONGHAUL_RETENTION_DAYS", "0");
    let here = |name: &str| machine.cwd.path().join(name);
    let settings = machine.load();
    assert_eq!(settings.data, here("of-file"), "an empty variable says nothing");
    assert_eq!(settings.http.to_string(), "127.0.0.1:2");
    assert_eq!(settings.tool_paths, [here("one"), here("two")]);
    assert!(!settings.trust && settings.mcp.state_tools);
    assert_eq!(settings.mcp.allowed_hosts, ["a", "b"]);
    assert_eq!(settings.operator.dedupe_seconds, Some(90), "the variable before the file");
    assert_eq!((settings.engine.live_instances, settings.engine.suspend_grace.as_millis()), (3, 7));
    assert_eq!(settings.engine.retention, None, "0 is for ever");
    let flags = Overrides {
        data: Some("of-flag".into()),
        http: Some("127.0.0.1:3".to_owned()),
        tool_paths: vec!["three".into()],
        trust: true,
        open_loopback: true,
        durability: Some("strict".to_owned()),
        log: Some("of-flag".to_owned()),
        config: None,
    };
    let settings = machine.load_with(flags).expect("settings");
    assert_eq!((settings.data, settings.http.port()), (here("of-flag"), 3));
    assert_eq!((settings.tool_paths, settings.log.as_deref()), (vec![here("three")], Some("of-flag")));
    assert!(settings.trust && settings.open_loopback && settings.durability == Durability::Strict);
}

#[test]
fn the_file_is_the_named_one_else_the_one_at_home_and_never_the_one_here() {
    let machine = Machine::new().with_unnamed_file("log = \"here\"");
    let here = machine.cwd.path().join(FILE_NAME);
    let settings = machine.load();
    assert_eq!((settings.file, settings.log, settings.unread), (None, None, Some(here.clone())));
    let at_home = machine.home.path().join(".config/longhaul");
    fs::create_dir_all(&at_home).expect("a folder");
    fs::write(at_home.join(FILE_NAME), "log = \"home\"").expect("written");
    let settings = machine.load();
    assert_eq!((settings.log.as_deref(), settings.unread.as_ref()), (Some("home"), Some(&here)));
    let elsewhere = machine.home.path().join("xdg/longhaul");
    fs::create_dir_all(&elsewhere).expect("a folder");
    fs::write(elsewhere.join(FILE_NAME), "log = \"xdg\"").expect("written");
    let xdg_home = machine.home.path().join("xdg").to_string_lossy().into_owned();
    let machine = machine.with_env("XDG_CONFIG_HOME", &xdg_home);
    assert_eq!(machine.load().log.as_deref(), Some("xdg"));
    fs::write(machine.cwd.path().join("other.toml"), "log = \"named\"").expect("written");
    let machine = machine.with_env("LONGHAUL_CONFIG", "other.toml");
    let settings = machine.load();
    assert_eq!((settings.log.as_deref(), settings.unread.as_ref()), (Some("named"), Some(&here)));
    let named = Overrides { config: Some(FILE_NAME.into()), ..Overrides::default() };
    let settings = machine.load_with(named).expect("settings");
    assert_eq!((settings.log.as_deref(), settings.unread), (Some("here"), None));
    let missing = Overrides { config: Some("none.toml".into()), ..Overrides::default() };
    let seen = machine.load_with(missing).expect_err("refused").to_string();
    assert!(seen.contains("none.toml: cannot be read"), "{seen}");
}

#[test]
fn whatever_lies_in_the_working_folder_is_not_even_opened() {
    // None of these could be read as settings.
    for make in [
        |here: &Path| fs::write(here, "no [ toml").expect("written"),
        |here: &Path| std::os::unix::fs::symlink("nowhere", here).expect("linked"),
        |here: &Path| fs::create_dir(here).expect("made"),
        |here: &Path| fs::write(here, "[servers.x]\ncommand = 'sh'\ndata = '/tmp'").expect("written"),
    ] {
        let machine = Machine::new();
        let here = machine.cwd.path().join(FILE_NAME);
        make(&here);
        let settings = machine.load();
        assert!(settings.servers.is_empty() && settings.file.is_none());
        assert_eq!(settings.data, machine.home.path().join(".local/share/longhaul"));
        assert_eq!(settings.unread, Some(here));
    }
}

#[test]
fn who_works_in_the_xdg_folder_is_told_nothing() {
    let machine = Machine::new().with_unnamed_file("");
    let config = machine.home.path().join(".config");
    fs::create_dir(&config).expect("a folder");
    std::os::unix::fs::symlink(machine.cwd.path(), config.join("longhaul")).expect("linked");
    assert_eq!(machine.load().unread, None);
}

#[test]
fn a_file_that_is_there_but_cannot_be_read_is_an_error() {
    let machine = Machine::new();
    let at_home = machine.home.path().join(".config/longhaul");
    fs::create_dir_all(&at_home).expect("a folder");
    std::os::unix::fs::symlink("nowhere", at_home.join(FILE_NAME)).expect("linked");
    assert!(machine.refused().contains("longhaul.toml: cannot be read"), "{}", machine.refused());
}

#[test]
fn what_a_server_is_begun_with_starts_at_the_files_folder_too() {
    let machine = Machine::new().with_file(
        "[servers.a]\ncommand = \"./own\"\n[servers.b]\ncommand = \"npx\"\n[servers.c]\ncommand = \"~/bin/c\"\n\
         [servers.d]\nurl = \"http://127.0.0.1:9/mcp\"\ntoken = \"file:secret\"",
    );
    let here = machine.cwd.path();
    let settings = machine.load();
    let command = |name: &str| settings.servers[name].command.clone().map(PathBuf::from);
    assert_eq!(command("a"), Some(here.join("./own")));
    assert_eq!(command("b"), Some("npx".into()), "it is looked up in PATH");
    assert_eq!(command("c"), Some(machine.home.path().join("bin/c")));
    assert!(settings.servers.values().all(|server| server.folder.as_deref() == Some(here)));
    assert_eq!(settings.servers["d"].token, Some(format!("file:{}", here.join("secret").display())));
}

#[test]
fn wrong_settings_are_told_with_their_place_and_what_is_allowed() {
    for (text, parts) in [
        ("dta = \"x\"", vec!["longhaul.toml, line 1, column 1", "unknown field `dta`", "`data`"]),
        ("[mcp]\nretention = 1", vec!["line 2", "unknown field `retention`", "`task_tools`"]),
        ("[mcp]\ndedupe_seconds = 99999999999", vec!["in `mcp.dedupe_seconds`", "from 0, which is off"]),
        ("\nhttp = \"here\"", vec!["line 2, column 8", "in `http`", "127.0.0.1:1919"]),
        ("durability = \"fast\"", vec!["in `durability`", "'fast' is neither standard nor strict"]),
        ("tools = [\"a.wasm\"]", vec!["line 1", "tool_paths = [...]"]),
        ("[tools.a]\ntitle = \"x\"", vec!["line 2, column 1", "tools.a", "unknown field `title`", "`reply`"]),
        ("[folders]\nwithin = [\"/\"]", vec!["line 2, column 10", "no folder to bind folders in"]),
        ("[folders]\nwithin = [\"/srv/../etc\"]", vec!["without '..'"]),
        ("[grants.a]\nhttp = [\"x\"]", vec!["line 2, column 8", "in `grants.a.http`", "no http pattern"]),
        (
            "[engine]\nisolate = \"container\"",
            vec!["engine.isolate", "'container' is neither none nor process"],
        ),
        ("[engine]\nlive_instances = 0", vec!["engine.live_instances", "0 is not from 1 to 512"]),
        ("[retention]\ndays = 40000", vec!["retention.days", "40000 is not from 1 to 36525, nor 0"]),
        ("[background]\nidle_seconds = 90000", vec!["background.idle_seconds", "not from 0 to 86400"]),
        ("trust = 1", vec!["in `trust`", "expected a boolean"]),
        ("[mcp]\nwait_seconds = 90000", vec!["mcp.wait_seconds", "90000 is not from 1 to 86400, nor 0"]),
        ("[mcp]\nlinks = \"none\"", vec!["mcp.links", "'none' is neither block nor text"]),
        ("[mcp]\ncall_hint = \"task wait\"", vec!["mcp.call_hint", "'task wait' is no name of a tool"]),
    ] {
        let seen = Machine::new().with_file(text).refused();
        for part in parts {
            assert!(seen.contains(part), "{part} in {seen}");
        }
    }
    for (name, value, part) in [
        ("LONGHAUL_HTTP", "example.com:80", "LONGHAUL_HTTP: 'example.com:80' is no address"),
        ("LONGHAUL_TRUST", "maybe", "LONGHAUL_TRUST: 'maybe' is neither true nor false"),
        ("LONGHAUL_ENGINE_LIVE_INSTANCES", "1e3", "is no whole number"),
        ("LONGHAUL_ENGINE_SUSPEND_GRACE_MS", "99999999", "is not from 0 to 3600000"),
        ("LONGHAUL_MCP_WAIT_SECONDS", "-4", "LONGHAUL_MCP_WAIT_SECONDS: '-4' is no whole number"),
        ("LONGHAUL_MCP_LINKS", "Text", "LONGHAUL_MCP_LINKS: 'Text' is neither block nor text"),
        ("LONGHAUL_MCP_CALL_HINT", "a/b c", "LONGHAUL_MCP_CALL_HINT: 'a/b c' is no name of a tool"),
    ] {
        let seen = Machine::new().with_env(name, value).refused();
        assert!(seen.contains(part), "{part} in {seen}");
    }
}

#[test]
fn what_answers_of_calls_look_like_is_said_in_the_file_or_by_variables() {
    let defaults = Machine::new().load().mcp;
    assert_eq!((defaults.wait, defaults.links, defaults.names), (None, Links::Block, OwnNames::default()));
    let file = "[mcp]\nwait_seconds = 9\nlinks = \"text\"\ncall_hint = \"lh-task-wait\"";
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let dashed = OwnNames::of_hint("lh-task-wait").expect("a name");
    let machine = Machine::new().with_file(file);
    let mcp = machine.load().mcp;
    assert_eq!((mcp.wait, mcp.links, mcp.names), (seconds(9), Links::Text, dashed.clone()));
    for (name, value, expected) in [
        ("LONGHAUL_MCP_WAIT_SECONDS", "4", (seconds(4), Links::Text, &dashed)),
        ("LONGHAUL_MCP_WAIT_SECONDS", "0", (None, Links::Text, &dashed)),
        ("LONGHAUL_MCP_LINKS", "block", (seconds(9), Links::Block, &dashed)),
        (
            "LONGHAUL_MCP_CALL_HINT",
            "task_wait",
            (seconds(9), Links::Text, &OwnNames::of_hint("task_wait").expect("a name")),
        ),
    ] {
        let mcp = Machine::new().with_file(file).with_env(name, value).load().mcp;
        assert_eq!((mcp.wait, mcp.links, &mcp.names), expected, "{name}={value}");
    }
}

#[test]
fn without_a_home_the_data_folder_must_be_named() {
    let homeless = Machine::new().with_env("HOME", "");
    assert!(homeless.refused().contains("--data DIR"));
    let relative = Machine::new().with_env("HOME", "").with_env("XDG_DATA_HOME", "relative");
    assert!(relative.refused().contains("--data DIR"));
    let named = Machine::new().with_env("HOME", "").with_env("XDG_DATA_HOME", "/data");
    assert_eq!(named.load().data, Path::new("/data/longhaul"));
}

#[test]
fn the_file_alone_says_which_walls_there_are() {
    let walls = |machine: &Machine| machine.load_with(Overrides::default()).map(|seen| seen.engine.walls);
    assert_eq!(walls(&Machine::new()), Ok(WallsWanted::On));
    for (text, wanted) in
        [("on", WallsWanted::On), ("required", WallsWanted::Required), ("off", WallsWanted::Off)]
    {
        let machine = Machine::new().with_file(&format!("[engine]\nwalls = \"{text}\""));
        assert_eq!(walls(&machine), Ok(wanted));
    }
    assert_eq!(walls(&Machine::new().with_env("LONGHAUL_ENGINE_WALLS", "off")), Ok(WallsWanted::On));
    let refused =
        walls(&Machine::new().with_file("[engine]\nwalls = \"most\"")).expect_err("refused").to_string();
    assert!(refused.contains("'most' is neither on, required nor off"), "{refused}");
}
