//! `tool check`: an author sees what a kill would do to a tool before anybody runs it, and nothing leaves the machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Web, command, guest};

/// The interpreter with a manifest of its own, and a file of answers.
struct Bench {
    root: tempfile::TempDir,
    component: PathBuf,
}

impl Bench {
    fn new(manifest: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let component = root.path().join("interpreter.wasm");
        std::fs::copy(guest("interpreter"), &component).expect("a copy");
        std::fs::write(root.path().join("interpreter.toml"), manifest).expect("a manifest");
        Self { root, component }
    }

    fn check(&self, program: &Value, answers: &str) -> Checked {
        let file = self.root.path().join("answers.toml");
        std::fs::write(&file, answers).expect("written");
        check(self.root.path(), &self.component, &json!({ "program": program }), Some(&file))
    }
}

struct Checked {
    exit: i32,
    report: Value,
    said: String,
}

fn words<'a>(component: &'a Path, arguments: &'a str, answers: Option<&'a Path>) -> Vec<&'a str> {
    let mut words = vec!["tool", "check", component.to_str().expect("UTF-8"), "--args", arguments];
    if let Some(file) = answers {
        words.extend(["--answers", file.to_str().expect("UTF-8")]);
    }
    words
}

fn run(mut command: Command) -> Output {
    command.output().expect("longhaul runs")
}

fn check(data: &Path, component: &Path, arguments: &Value, answers: Option<&Path>) -> Checked {
    let arguments = arguments.to_string();
    let output = run(command(data, &words(component, &arguments, answers)));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Checked { exit: output.status.code().expect("it ended by itself"), report, said }
}

fn kinds(checked: &Checked) -> Vec<&str> {
    let problems = checked.report["problems"].as_array().expect("problems");
    problems.iter().map(|problem| problem["kind"].as_str().expect("a kind")).collect()
}

/// It asks a person, and goes on after every kill.
#[test]
fn a_tool_that_goes_on_from_anywhere_passes() {
    let root = tempfile::tempdir().expect("a folder");
    let answers = root.path().join("answers.json");
    let text = json!({"questions": [{"key": "price", "accept": {"confirm": true, "notes": "window"}}]});
    std::fs::write(&answers, text.to_string()).expect("written");
    let checked = check(root.path(), &guest("travel_agent"), &json!({}), Some(&answers));
    assert_eq!(checked.exit, 0, "{}", checked.said);
    let report = &checked.report;
    assert_eq!((&report["ok"], &report["problems"]), (&json!(true), &json!([])));
    assert_eq!(report["undisturbed"]["state"], "completed");
    let records = report["undisturbed"]["records"].as_u64().expect("a number");
    let of = |name: &str| report["interruptions"][name].as_u64().expect("a number");
    assert!(records > 3 && of("tried") >= records - 1, "{report}");
    assert!(of("resumed") == of("tried"), "{report}");
    assert_eq!(report["capabilities"]["used"], json!(["elicit"]));
    let memory =
        report["bounds"].as_array().expect("bounds").iter().find(|bound| bound["name"] == "memory_mib");
    assert!(memory.expect("memory")["percent"].as_u64().expect("a number") > 0, "{report}");
}

/// All that a file can play, in one program; its sleep of a day takes no time.
#[test]
fn everything_is_played_and_the_capabilities_are_told() {
    let manifest = "name = \"interpreter\"\n[capabilities]\nhttp = [\"https://api.example.com\"]\ntools = [\"helper\", \
                    \"idle\"]\nstate = [\"notes\"]\nelicit = true\nsample = true\n";
    let bench = Bench::new(manifest);
    let program = json!([
        {"op": "http", "request": {"method": "GET", "url": "https://api.example.com/page"}},
        {"op": "call", "tool": "helper", "arguments": {"n": 1}},
        {"op": "ask", "key": "size"},
        {"op": "sample", "prompt": "say something", "max_tokens": 10},
        {"op": "receive", "names": ["go"]},
        {"op": "receive", "names": ["never"], "timeout_ms": 3_600_000},
        {"op": "sleep", "ms": 86_400_000},
        {"op": "nap", "ms": 900},
        {"op": "state_put", "namespace": "notes", "entries": [{"key": "a", "value": 1}]},
        {"op": "clock2"}, {"op": "random", "bytes": 8}, {"op": "step", "name": "end"},
    ]);
    let answers = "[tools.helper]\nresult = { n = 2 }\n[[questions]]\nkey = \"size\"\naccept = { n = 7 }\n\
                   [[samples]]\ncontains = \"something\"\ntext = \"well\"\n[[messages]]\nname = \"go\"\n\
                   [[http]]\nrequest = \"GET https://api.example.com/*\"\nanswer = { status = 200, body = \"hello\" }\n";
    let checked = bench.check(&program, answers);
    assert_eq!(checked.exit, 0, "{}", checked.said);
    let capabilities = &checked.report["capabilities"];
    let used = json!(["elicit", "http https://api.example.com", "sample", "state notes", "tool helper"]);
    assert_eq!((&capabilities["used"], &capabilities["unused"]), (&used, &json!(["tool idle"])));
    let interruptions = &checked.report["interruptions"];
    assert!(interruptions["tried"].as_u64() > Some(15), "{interruptions}");
}

/// What the manifest lacks is shown in its own terms.
#[test]
fn what_a_tool_asks_for_and_does_not_request_is_named() {
    let bench = Bench::new("name = \"interpreter\"\n");
    let refused = |step: Value| {
        let checked = bench.check(&json!([step]), "");
        checked.report["capabilities"]["refused"].clone()
    };
    let put = json!({"op": "state_put", "namespace": "vault", "entries": [{"key": "a", "value": 1}]});
    assert_eq!(refused(put), json!(["state = [\"vault\"]"]));
    assert_eq!(refused(json!({"op": "ask", "key": "size"})), json!(["elicit = true"]));
    let request = json!({"op": "http", "request": {"method": "GET", "url": "https://api.example.com/page"}});
    assert_eq!(refused(request), json!(["http = [\"https://api.example.com:443\"]"]));
    assert_eq!(refused(json!({"op": "nap", "ms": 1})), json!([]));
}

/// A server that says something else the second time: the author sees that a kill makes a difference.
#[test]
fn a_result_that_hangs_on_a_kill_is_found() {
    let bench = Bench::new("name = \"interpreter\"\n[capabilities]\nhttp = [\"https://api.example.com\"]\n");
    let program = json!([
        {"op": "http", "request": {"method": "GET", "url": "https://api.example.com/count"}},
        {"op": "step", "name": "end"},
    ]);
    let answers = "[[http]]\nrequest = \"GET https://api.example.com/count\"\n\
                   answers = [{ status = 200, body = \"1\" }, { status = 200, body = \"2\" }]\n";
    let checked = bench.check(&program, answers);
    assert_eq!(checked.exit, 1, "{}", checked.said);
    assert!(kinds(&checked).contains(&"result"), "{}", checked.said);
    let requests = checked.report["problems"].as_array().expect("problems").iter();
    let while_out = requests.filter(|problem| problem["request"] == "GET https://api.example.com/count");
    assert_eq!(while_out.count(), 1, "{}", checked.said);
    // In words.
    let arguments = json!({ "program": program }).to_string();
    let file = bench.root.path().join("answers.toml");
    let mut plain = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    plain.args(words(&bench.component, &arguments, Some(&file))).arg("--data").arg(bench.root.path());
    plain.env("XDG_CONFIG_HOME", bench.root.path());
    let output = run(plain);
    let text = String::from_utf8(output.stdout).expect("text");
    for words in [
        "killed while GET https://api.example.com/count was out: the result is another one",
        "not all went well",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

/// What is not safe and may have arrived is not sent again, unless the manifest allows it.
#[test]
fn an_unknown_outcome_is_found_and_what_its_author_can_write_about_it() {
    let manifest = |effects: &str| {
        format!(
            "name = \"interpreter\"\n[capabilities]\nhttp = [\"https://api.example.com\"]\n[effects]\n{effects}\n"
        )
    };
    let program = json!([
        {"op": "http", "request": {"method": "POST", "url": "https://api.example.com/pay", "body": "100"}},
        {"op": "step", "name": "paid"},
    ]);
    let answers = "[[http]]\nrequest = \"POST https://api.example.com/pay\"\nanswer = { status = 201 }\n";
    let fails = Bench::new(&manifest("")).check(&program, answers);
    assert_eq!((fails.exit, kinds(&fails)), (1, vec!["unknown_outcome"]), "{}", fails.said);
    let asks = Bench::new(&manifest("unknown_outcome = \"ask\"")).check(&program, answers);
    assert_eq!((asks.exit, kinds(&asks)), (1, vec!["unknown_outcome"]), "{}", asks.said);
    let honours = Bench::new(&manifest("idempotent_hosts = [\"api.example.com\"]")).check(&program, answers);
    assert_eq!(honours.exit, 0, "{}", honours.said);
    assert_eq!(honours.report["interruptions"]["sent_again"], 1);
}

/// Neither what is missing nor what is granted reaches a network.
#[test]
fn what_the_file_lacks_is_refused_by_the_entry_to_write_and_nothing_leaves() {
    let web = Web::start();
    let bench = Bench::new(&format!(
        "name = \"interpreter\"\n[capabilities]\nhttp = [{:?}]\ntools = [\"helper\"]\nelicit = true\nsample = true\n",
        web.url("")
    ));
    let lacks = |program: Value, entry: &str| {
        let checked = bench.check(&program, "");
        assert_eq!(checked.exit, 2, "{}", checked.said);
        assert!(checked.said.replace("\\\"", "\"").contains(entry), "{entry}: {}", checked.said);
    };
    let url = web.url("/page");
    lacks(
        json!([{"op": "http", "request": {"method": "GET", "url": url}}]),
        &format!("request = \"GET {url}\""),
    );
    lacks(json!([{"op": "call", "tool": "helper", "arguments": {}}]), "[tools.helper]");
    lacks(json!([{"op": "ask", "key": "size"}]), "key = \"size\"");
    lacks(json!([{"op": "sample", "prompt": "x", "max_tokens": 1}]), "[[samples]]");
    lacks(json!([{"op": "receive", "names": ["go"]}]), "name = \"go\"");
    assert_eq!(web.seen(), []);
    assert_eq!(web.connections(), 0);
}

/// A plain program that reads one folder and changes another one.
#[test]
fn each_run_has_folders_of_its_own() {
    let root = tempfile::tempdir().expect("a folder");
    let (component, given) = (root.path().join("files_program.wasm"), root.path().join("given"));
    std::fs::copy(guest("files_program"), &component).expect("a copy");
    let manifest = "name = \"files_program\"\n[capabilities]\nfiles = [\n\
                    { slot = \"in\", at = \"/in\", access = \"read\" },\n\
                    { slot = \"out\", at = \"/out\", access = \"write\" },\n]\n";
    std::fs::write(component.with_extension("toml"), manifest).expect("a manifest");
    std::fs::create_dir(&given).expect("a folder");
    std::fs::write(given.join("input"), "some words").expect("written");
    std::fs::write(given.join("big"), vec![7; 200_000]).expect("written");
    let check = |bind: &[String]| {
        let mut command = command(root.path(), &words(&component, "{}", None));
        for bind in bind {
            command.args(["--bind", bind]);
        }
        let output = run(command);
        let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default(), said)
    };
    let bind = |slot: &str| format!("{slot}={}", given.display());
    let (exit, report, said) = check(&[bind("in")]);
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!(report["undisturbed"]["state"], "completed");
    assert_eq!(report["capabilities"]["used"], json!(["files"]));
    assert!(report["interruptions"]["tried"].as_u64() > Some(20), "{report}");
    // It changes the copy alone.
    let (exit, _, said) = check(&[bind("in"), bind("out")]);
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!(std::fs::read_dir(&given).expect("listed").count(), 2);
    let (exit, report, said) = check(&[]);
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!(report["undisturbed"]["is_error"], true, "it finds nothing to read: {said}");
    let (exit, _, said) = check(&[bind("nope")]);
    assert!(exit == Some(2) && said.contains("no slot 'nope': it requests in, out"), "{said}");
}

/// What the manifest does not request is not granted, and the tool hears so.
#[test]
fn only_what_the_manifest_requests_is_granted() {
    let bench = Bench::new("name = \"interpreter\"\n");
    let program = json!([{"op": "http", "request": {"method": "GET", "url": "https://api.example.com/"}}]);
    let answers = "[[http]]\nrequest = \"GET https://api.example.com\"\nanswer = { status = 200 }\n";
    let checked = bench.check(&program, answers);
    assert_eq!(checked.exit, 0, "{}", checked.said);
    assert_eq!(checked.report["capabilities"]["used"], json!([]));
    assert_eq!(checked.report["undisturbed"]["requests"], 0);
}

#[test]
fn a_trap_and_bad_usage_have_their_own_exit_status() {
    let bench = Bench::new("name = \"interpreter\"\n");
    let traps = bench.check(&json!([{"op": "step", "name": "one"}, {"op": "trap"}]), "");
    assert_eq!(
        (traps.exit, traps.report["undisturbed"]["state"].as_str()),
        (1, Some("failed")),
        "{}",
        traps.said
    );
    assert!(kinds(&traps).is_empty(), "it fails the same way after every kill: {}", traps.said);
    let root = bench.root.path();
    for (arguments, answers, words) in [
        ("[1]", "", "no JSON object"),
        ("{", "", "no JSON"),
        ("{\"program\": 1}", "", "program"),
        ("{\"program\": []}", "[toys]\n", "toys"),
        ("{\"program\": []}", "[[questions]]\nkey = \"k\"\n", "accept, decline or cancel"),
    ] {
        let file = root.join("wrong.toml");
        std::fs::write(&file, answers).expect("written");
        let output = run(command(
            root,
            &[
                "tool",
                "check",
                bench.component.to_str().expect("UTF-8"),
                "--args",
                arguments,
                "--answers",
                file.to_str().expect("UTF-8"),
            ],
        ));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(words), "{arguments} {answers}: {said}");
    }
}
