use std::fs;
use std::os::unix::fs::PermissionsExt;

use clap::ValueEnum;

use super::clients::config_folder;
use super::*;
use crate::cli::args::HostClient;

mod files;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

/// A home without an owner.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn places(&self) -> Places {
        let home = self.0.path().to_owned();
        let config = config_folder(&home, None, false);
        Places { project: home.join("project"), home, config, claude: None, codex: None }
    }

    fn job(&self, client: HostClient, transport: &Transport) -> Job {
        Job {
            path: client.file(false, &self.places()).expect("a file"),
            format: client.format(),
            entry: client.entry(transport).expect("an entry"),
            force: false,
        }
    }

    /// A job for a host whose file is there.
    fn job_on(&self, client: HostClient, text: &str) -> Job {
        let job = self.job(client, &stdio());
        fs::create_dir_all(job.path.parent().expect("a folder")).expect("a folder");
        fs::write(&job.path, text).expect("a file");
        job
    }

    /// All that is in the folder of the file.
    fn siblings(&self, job: &Job) -> Vec<String> {
        let folder = fs::read_dir(job.path.parent().expect("a folder")).expect("a folder");
        let mut names: Vec<String> =
            folder.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn stdio() -> Transport {
    let args = ["serve", "--stdio", "--tools", "/a \"b\"/tools"].map(str::to_owned).to_vec();
    Transport::Stdio { command: "/opt/longhaul".to_owned(), args }
}

fn done(job: &Job) -> (Action, Option<PathBuf>, String) {
    let plan = job.plan().expect("a plan");
    let backup = plan.carry_out(NOW).expect("done");
    (plan.action, backup, fs::read_to_string(&job.path).expect("a file"))
}

#[test]
fn every_host_gets_its_file_in_its_own_words_and_a_second_time_changes_nothing() {
    let command = r#""command": "/opt/longhaul",
      "args": [
        "serve",
        "--stdio",
        "--tools",
        "/a \"b\"/tools"
      ]
    }
  }
}
"#;
    let of = |section: &str, kind: &str| {
        format!("{{\n  \"{section}\": {{\n    \"longhaul\": {{\n      {kind}{command}")
    };
    let typed = "\"type\": \"stdio\",\n      ";
    for (client, path, text) in [
        (HostClient::ClaudeCode, ".claude.json", of("mcpServers", typed)),
        (HostClient::ClaudeDesktop, ".config/Claude/claude_desktop_config.json", of("mcpServers", "")),
        (HostClient::VsCode, ".config/Code/User/mcp.json", of("servers", typed)),
        (HostClient::Cursor, ".cursor/mcp.json", of("mcpServers", typed)),
        (
            HostClient::Codex,
            ".codex/config.toml",
            "[mcp_servers.longhaul]\ncommand = \"/opt/longhaul\"\n\
             args = [\"serve\", \"--stdio\", \"--tools\", '/a \"b\"/tools']\n"
                .to_owned(),
        ),
    ] {
        let home = Home::new();
        let job = home.job(client, &stdio());
        assert_eq!(job.path, home.0.path().join(path));
        assert_eq!(done(&job), (Action::Created, None, text.clone()));
        assert_eq!(done(&job), (Action::Unchanged, None, text));
        assert_eq!(home.siblings(&job).iter().filter(|name| name.contains("longhaul")).count(), 0);
        let mode = fs::metadata(&job.path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "hosts keep secrets there");
    }
}

#[test]
fn hosts_over_http_get_the_address_and_no_token() {
    let near = Transport::http("http://127.0.0.1:1919/mcp").expect("an address");
    let far = Transport::http("https://far.example/mcp").expect("an address");
    let entry = |client: HostClient, transport| Value::Object(client.entry(transport).expect("an entry"));
    let url = "http://127.0.0.1:1919/mcp";
    assert_eq!(entry(HostClient::ClaudeCode, &near), json!({"type": "http", "url": url}));
    assert_eq!(entry(HostClient::VsCode, &near), json!({"type": "http", "url": url}));
    assert_eq!(entry(HostClient::Cursor, &near), json!({"url": url}));
    assert_eq!(entry(HostClient::Codex, &near), json!({"url": url}));
    let header = |value: &str| json!({"Authorization": format!("Bearer {value}")});
    assert_eq!(entry(HostClient::ClaudeCode, &far)["headers"], header("${LONGHAUL_TOKEN}"));
    assert_eq!(entry(HostClient::VsCode, &far)["headers"], header("${env:LONGHAUL_TOKEN}"));
    assert_eq!(entry(HostClient::Cursor, &far)["headers"], header("${env:LONGHAUL_TOKEN}"));
    assert_eq!(entry(HostClient::Codex, &far)["bearer_token_env_var"], "LONGHAUL_TOKEN");
    assert_eq!(HostClient::ClaudeDesktop.entry(&near).expect_err("no address").exit, Exit::Usage);
    for loopback in ["http://localhost:1/mcp", "http://[::1]:1919/mcp", "http://127.9.9.9/"] {
        assert!(
            matches!(Transport::http(loopback), Ok(Transport::Http { credential: Credential::None, .. })),
            "{loopback}"
        );
    }
    let credential = Credential::Key { helper: Some("/opt/longhaul key --headers --data /d".to_owned()) };
    let keyed = Transport::Http { url: url.to_owned(), credential };
    let helper =
        json!({"type": "http", "url": url, "headersHelper": "/opt/longhaul key --headers --data /d"});
    assert_eq!(entry(HostClient::ClaudeCode, &keyed), helper);
    let elsewhere = Transport::Http { url: url.to_owned(), credential: Credential::Key { helper: None } };
    assert_eq!(entry(HostClient::ClaudeCode, &elsewhere)["headers"], header("${LONGHAUL_KEY}"));
    assert_eq!(entry(HostClient::VsCode, &keyed)["headers"], header("${env:LONGHAUL_KEY}"));
    assert_eq!(entry(HostClient::Cursor, &keyed)["headers"], header("${env:LONGHAUL_KEY}"));
    assert_eq!(entry(HostClient::Codex, &keyed), json!({"url": url, "bearer_token_env_var": "LONGHAUL_KEY"}));
    for wrong in ["127.0.0.1:1919", "unix:/x", "file:///x", ""] {
        assert_eq!(Transport::http(wrong).expect_err("no address").exit, Exit::Usage, "{wrong}");
    }
}

#[test]
fn a_path_is_one_word_of_a_shell() {
    for (path, word) in [
        ("/opt/longhaul", "/opt/longhaul"),
        ("/my tools/x", "'/my tools/x'"),
        ("/it's/$HOME;x", r"'/it'\''s/$HOME;x'"),
        ("/a\nb", "'/a\nb'"),
    ] {
        assert_eq!(shell_word(path), word);
        let echoed = std::process::Command::new("sh").args(["-c", &format!("printf %s {word}")]).output();
        assert_eq!(echoed.expect("a shell").stdout, path.as_bytes());
    }
}

#[test]
fn a_hosts_file_stands_where_the_host_and_the_system_want_it() {
    let home = Path::new("/h");
    let config = config_folder(home, Some("/x".into()), true);
    let places = Places {
        home: home.to_owned(),
        config,
        claude: Some("/claude".into()),
        codex: Some("/codex".into()),
        project: "/p".into(),
    };
    let files = |project| -> Vec<Option<String>> {
        let file = |client: &HostClient| Some(client.file(project, &places).ok()?.display().to_string());
        HostClient::value_variants().iter().map(file).collect()
    };
    let support = "/h/Library/Application Support";
    let users = [
        "/claude/.claude.json".to_owned(),
        format!("{support}/Claude/claude_desktop_config.json"),
        format!("{support}/Code/User/mcp.json"),
        "/h/.cursor/mcp.json".to_owned(),
        "/codex/config.toml".to_owned(),
    ];
    assert_eq!(files(false), users.map(Some));
    let projects = [
        Some("/p/.mcp.json"),
        None,
        Some("/p/.vscode/mcp.json"),
        Some("/p/.cursor/mcp.json"),
        Some("/p/.codex/config.toml"),
    ];
    assert_eq!(files(true), projects.map(|path| path.map(str::to_owned)));
    assert_eq!(config_folder(home, Some("/x".into()), false), Path::new("/x"));
    assert_eq!(config_folder(home, None, false), Path::new("/h/.config"));
    for client in HostClient::value_variants() {
        let name = client.to_possible_value().expect("a name").get_name().to_owned();
        assert_eq!(name, client.name());
    }
}

/// What is not ours stays to the byte: order, unknown keys, numbers that a parser would round, the layout.
#[test]
fn everything_else_in_a_json_file_stays_as_it_is() {
    for before in [
        "{\"z\": 0.10000000000000000555, \"mcpServers\": {}, \"a\": [1,  2]}",
        "{\n\t\"z\": {\"mcpServers\": {\"no\": \"}\\\"\"}},\n\t\"a\": 1e300\n}\n",
        "{\n    \"mcpServers\": {\n        \"other\": { \"command\": \"x\" }\n    },\n    \"é\": \"\\u00e9\"\n}",
        "{ }",
        "{\"mcpServers\":{\"other\":{\"command\":\"x\"}}}",
        "{\r\n  \"a\": 1\r\n}\r\n",
        "{\"mcpServers\": {}, \"x\": {\"mcpServers\": {\"longhaul\": 1}}}",
    ] {
        let home = Home::new();
        let job = home.job_on(HostClient::Cursor, before);
        let (action, backup, after) = done(&job);
        assert_eq!(action, Action::Added, "{before}");
        let there: Value = serde_json::from_str(&after).expect("JSON");
        assert_eq!(there["mcpServers"]["longhaul"], Value::Object(job.entry.clone()), "{after}");
        // Taking out what was put in gives what was there.
        let start = before.bytes().zip(after.bytes()).take_while(|(a, b)| a == b).count();
        assert!(after.ends_with(before[start..].trim_start()), "{before}\n{after}");
        let mut without = there.clone();
        without["mcpServers"].as_object_mut().expect("an object").remove("longhaul");
        let mut expected: Value = serde_json::from_str(before).expect("JSON");
        if expected.get("mcpServers").is_none() {
            expected["mcpServers"] = json!({});
        }
        assert_eq!(without, expected);
        assert_eq!(after.contains('\n') && before.contains("\r\n"), after.contains("\r\n"), "{after:?}");
        assert_eq!(fs::read_to_string(backup.expect("a copy")).expect("a file"), before);
        assert_eq!(done(&job).0, Action::Unchanged);
    }
}

#[test]
fn a_new_entry_is_laid_out_as_its_neighbours_are() {
    let home = Home::new();
    let before =
        "{\n    \"mcpServers\": {\n        \"other\": { \"command\": \"x\" }\n    },\n    \"k\": 0.10\n}\n";
    let mut job = home.job_on(HostClient::Cursor, before);
    job.entry = Map::from_iter([("url".to_owned(), json!("http://localhost:1/mcp"))]);
    let after = "{\n    \"mcpServers\": {\n        \"other\": { \"command\": \"x\" },\n        \"longhaul\": {\n            \
                 \"url\": \"http://localhost:1/mcp\"\n        }\n    },\n    \"k\": 0.10\n}\n";
    assert_eq!(done(&job).2, after);
    // What a person has added to it is theirs.
    let own = after.replace("/mcp\"\n", "/mcp\",\n            \"disabled\": true\n");
    fs::write(&job.path, &own).expect("a file");
    assert_eq!(done(&job), (Action::Unchanged, None, own));
}

#[test]
fn another_entry_of_the_name_gives_way_only_to_force_and_is_kept_in_a_copy() {
    for (client, before) in [
        (
            HostClient::Cursor,
            "{\n  \"mcpServers\": {\n    \"longhaul\": {\"url\": \"http://x/\"},\n    \"b\": {}\n  }\n}\n",
        ),
        (
            HostClient::Codex,
            "# mine\nmodel = \"m\"\n\n[mcp_servers.longhaul]\nurl = \"http://x/\"\n[mcp_servers.longhaul.env]\nA = \"1\"\n\n\
             # about b\n[mcp_servers.b]\ncommand = \"b\" # as ever\n",
        ),
    ] {
        let home = Home::new();
        let mut job = home.job_on(client, before);
        let refused = job.plan().expect_err("refused");
        assert_eq!(refused.exit, Exit::Refused);
        assert!(refused.message.contains("http://x/") && refused.message.contains("+ "), "{refused}");
        assert!(!refused.message.contains("about b"), "{refused}");
        assert_eq!(fs::read_to_string(&job.path).expect("a file"), before);
        job.force = true;
        let (action, backup, after) = done(&job);
        assert_eq!(action, Action::Replaced);
        assert!(!after.contains("http://x/") && after.contains("/opt/longhaul"), "{after}");
        if client == HostClient::Codex {
            assert!(after.starts_with("# mine\nmodel = \"m\"\n\n[mcp_servers.longhaul]\ncommand"), "{after}");
            assert!(
                after.ends_with("\n\n# about b\n[mcp_servers.b]\ncommand = \"b\" # as ever\n"),
                "{after}"
            );
        }
        let backup = backup.expect("a copy");
        assert_eq!(fs::read_to_string(&backup).expect("a file"), before);
        // A copy is never written over, and nothing is changed without one.
        fs::write(&job.path, before).expect("a file");
        let failed = job.plan().expect("a plan").carry_out(NOW).expect_err("there is a copy of that time");
        assert_eq!(failed.exit, Exit::Failed);
        assert_eq!(fs::read_to_string(&job.path).expect("a file"), before);
        assert_eq!(home.siblings(&job).len(), 2, "{:?}", home.siblings(&job));
    }
}

#[test]
fn comments_of_a_toml_file_stay() {
    let home = Home::new();
    let before = "# one\nmodel = \"m\" # two\n\n[mcp_servers.other] # three\ncommand = \"x\"\n# four\n\n";
    let (action, _, after) = done(&home.job_on(HostClient::Codex, before));
    assert_eq!(action, Action::Added);
    assert!(after.starts_with(before.trim_end()), "{after}");
    assert!(after.contains("# four\n\n[mcp_servers.longhaul]\ncommand"), "{after}");
}

#[test]
fn a_file_that_cannot_be_edited_without_harm_is_left_and_the_block_is_shown() {
    for (client, text) in [
        (HostClient::VsCode, "{\"servers\": []}"),
        (HostClient::VsCode, "[]"),
        (HostClient::VsCode, "{\"servers\": {"),
        (HostClient::Codex, "mcp_servers = 1\n"),
        (HostClient::Codex, "model = \n"),
    ] {
        let home = Home::new();
        let mut job = home.job_on(client, text);
        job.force = true;
        let refused = job.plan().expect_err("refused");
        assert_eq!(refused.exit, Exit::Refused, "{text}");
        let block = refused.next.expect("a block");
        assert!(block.contains("/opt/longhaul") && block.contains("longhaul"), "{block}");
        assert_eq!(fs::read_to_string(&job.path).expect("a file"), text);
        assert_eq!(home.siblings(&job).len(), 1);
    }
}

#[test]
fn a_file_behind_a_link_stays_behind_it_with_its_permissions() {
    let home = Home::new();
    let job = home.job_on(HostClient::Cursor, "{}\n");
    let kept = home.0.path().join("dotfiles.json");
    fs::rename(&job.path, &kept).expect("moved");
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o640)).expect("set");
    std::os::unix::fs::symlink(&kept, &job.path).expect("a link");
    let (action, backup, after) = done(&job);
    assert_eq!(action, Action::Added);
    assert!(job.path.is_symlink());
    assert_eq!(fs::read_to_string(&kept).expect("a file"), after);
    for path in [&kept, &backup.expect("a copy")] {
        assert_eq!(fs::metadata(path).expect("a file").permissions().mode() & 0o777, 0o640);
    }
}

#[test]
fn what_the_host_wrote_meanwhile_is_not_lost() {
    let home = Home::new();
    let job = home.job_on(HostClient::Cursor, "{}\n");
    let plan = job.plan().expect("a plan");
    fs::write(&job.path, "{\"new\": 1}").expect("a file");
    let failed = plan.carry_out(NOW).expect_err("it was changed");
    assert!(failed.message.contains("changed meanwhile"), "{failed}");
    assert_eq!(fs::read_to_string(&job.path).expect("a file"), "{\"new\": 1}");
    assert!(home.siblings(&job).iter().all(|name| !name.ends_with(".new")));
}

#[test]
fn a_plan_that_is_not_carried_out_touches_nothing() {
    let home = Home::new();
    let job = home.job(HostClient::VsCode, &stdio());
    let plan = job.plan().expect("a plan");
    let shown = difference(plan.file.text(), &plan.text);
    assert!(shown.starts_with("from line 1:\n+ {\n") && shown.contains("+       \"command\""), "{shown}");
    assert_eq!(fs::read_dir(home.0.path()).expect("a folder").count(), 0);
}
