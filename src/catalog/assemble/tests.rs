use std::path::Path;

use serde_json::json;

use super::*;
use crate::authority::Grant;
use crate::catalog::{Catalog, Reply, SkippedExport};
use crate::task::TaskLimits;

fn tool(name: &str, export: Option<&str>) -> InspectedTool {
    InspectedTool {
        definition: ToolDefinition::new(name, "By the component.", json!({"type": "object"})),
        binding: format!("binding of {}", export.unwrap_or(name)),
        export: export.map(str::to_owned),
    }
}

fn typed(names_and_exports: &[(&str, &str)]) -> Inspection {
    let tools = names_and_exports.iter().map(|(name, export)| tool(name, Some(export))).collect();
    Inspection { tools, ..Inspection::default() }
}

fn candidate(file: &str, manifest: &str, inspection: Inspection) -> Candidate {
    Candidate {
        name: file.to_owned(),
        id: ComponentId::of_bytes(file.as_bytes()),
        manifest: Manifest::parse(Path::new("a.toml"), manifest).expect("a manifest"),
        inspection,
        trusted: false,
        signed: None,
    }
}

fn operator(grants: &str, tools: &str, components: &str) -> Operator {
    Operator {
        grants: toml::from_str(grants).expect("grants"),
        tools: toml::from_str(tools).expect("tools"),
        components: toml::from_str(components).expect("components"),
        ..Operator::default()
    }
}

fn assembled(candidate: Candidate, operator: &Operator) -> Component {
    Component::assemble(candidate, operator).expect("a component")
}

fn refused(candidate: Candidate) -> String {
    Component::assemble(candidate, &Operator::default()).expect_err("refused").to_string()
}

fn names(component: &Component) -> Vec<&str> {
    component.tools.iter().map(|entry| entry.tool.definition.name.as_str()).collect()
}

#[test]
fn the_operator_goes_before_the_manifest_and_that_before_the_component() {
    let mut one = tool("one", None);
    one.definition.title = Some("One".into());
    one.definition.reply = Reply::Task;
    one.definition.inline_wait_seconds = Some(1);
    one.definition.dedupe_seconds = Some(1);
    one.definition.annotations = Annotations { read_only: Some(true), ..Annotations::default() };
    let inspection = Inspection { tools: vec![one, tool("two", None)], ..Inspection::default() };
    let manifest = r#"
        [tools.one]
        description = "By the manifest."
        reply = "inline"
        inline_wait_seconds = 2
        cancel_when_lost = true
        annotations = { destructive = false }
        [tools.two]
        cancel_when_lost = true
        [retry]
        attempts = 4
    "#;
    let over =
        operator("", "[one]\nreply = \"link\"\n[two]\ndedupe_seconds = 9\ncancel_when_lost = false", "");
    let over = Operator { dedupe_seconds: Some(120), ..over };
    let candidate = Candidate { trusted: true, ..candidate("a", manifest, inspection) };
    let component = assembled(candidate, &over);
    let one = &component.tools[0].tool.definition;
    assert_eq!((one.title.as_deref(), one.description.as_str()), (Some("One"), "By the manifest."));
    assert_eq!((one.reply, one.inline_wait_seconds, one.dedupe_seconds), (Reply::Link, Some(2), Some(1)));
    assert_eq!((one.annotations.read_only, one.annotations.destructive), (Some(true), Some(false)));
    let two = &component.tools[1].tool;
    assert_eq!(
        (two.definition.description.as_str(), two.definition.dedupe_seconds),
        ("By the component.", Some(9))
    );
    assert!(one.cancel_when_lost && !two.definition.cancel_when_lost);
    assert_eq!((two.binding.as_str(), two.retry.attempts), ("binding of two", 4));
}

#[test]
fn what_holds_for_all_tools_gives_way_to_what_is_said_of_one() {
    let tools =
        ["says_nothing", "by_component", "by_manifest", "by_operator", "off"].map(|name| tool(name, None));
    let mut inspection = Inspection { tools: tools.into(), ..Inspection::default() };
    inspection.tools[1].definition.dedupe_seconds = Some(1);
    let manifest = "[tools.by_manifest]\ndedupe_seconds = 2\n[tools.off]\ndedupe_seconds = 5";
    let over = operator("", "[by_operator]\ndedupe_seconds = 3\n[off]\ndedupe_seconds = 0", "");
    let over = Operator { dedupe_seconds: Some(60), ..over };
    let component = assembled(candidate("a", manifest, inspection), &over);
    let said: Vec<_> = component.tools.iter().map(|entry| entry.tool.definition.dedupe_seconds).collect();
    assert_eq!(said, [60, 1, 2, 3, 0].map(Some));
}

#[test]
fn a_manifest_renames_typed_exports() {
    let inspection = || typed(&[("count_words", "demo:text/stats@1.0.0#count-words"), ("run", "run")]);
    let manifest = "[tools.words]\nexport = \"demo:text/stats#count-words\"\n[tools.go]\nexport = \"run\"";
    let component = assembled(candidate("a", manifest, inspection()), &Operator::default());
    assert_eq!(names(&component), ["words", "go"]);
    let seen = refused(candidate("a", "[tools.x]\nexport = \"demo:text/stats#words\"", inspection()));
    assert!(
        seen.contains("\"demo:text/stats#words\" x")
            && seen.contains("there are: demo:text/stats@1.0.0#count-words, run"),
        "{seen}"
    );
    for export in ["run", "a:b/c#run", "longhaul:tool/tools@0.1.0#call"] {
        let own = Inspection { tools: vec![tool("book", None), tool("pay", None)], ..Inspection::default() };
        let seen = refused(candidate("a", &format!("[tools.x]\nexport = \"{export}\""), own));
        assert!(seen.contains("are its own definitions, which no export names: book, pay"), "{seen}");
    }
    let seen = refused(candidate("a", "[tools.words]\n", inspection()));
    assert!(seen.contains("[tools.words]") && seen.contains("there are: count_words, run"), "{seen}");
    let twice = "[tools.x]\nexport = \"run\"\n[tools.y]\nexport = \"run\"";
    assert!(refused(candidate("a", twice, inspection())).contains("two names"));
    let versions = typed(&[("go", "a:b/c@1.0.0#go"), ("go", "a:b/c@2.0.0#go")]);
    let seen = refused(candidate("a", "[tools.x]\nexport = \"a:b/c#go\"", versions.clone()));
    assert!(seen.contains("which version") && seen.contains("a:b/c@2.0.0#go"), "{seen}");
    let exact = "[tools.x]\nexport = \"a:b/c@2.0.0#go\"";
    assert_eq!(names(&assembled(candidate("a", exact, versions), &Operator::default())), ["go", "x"]);
}

#[test]
fn a_name_for_an_export_that_is_no_tool_says_why() {
    let reason = "returns a resource, which JSON cannot carry".to_owned();
    let skipped = vec![SkippedExport { export: "a:b/c#open".into(), reason }];
    let inspection = Inspection { skipped: skipped.clone(), ..typed(&[("go", "a:b/c#go")]) };
    let seen = refused(candidate("a", "[tools.x]\nexport = \"a:b/c#open\"", inspection));
    assert!(seen.contains("it returns a resource"), "{seen}");
    let seen = refused(candidate("a", "", Inspection { skipped, ..Inspection::default() }));
    assert!(seen.contains("no function that could be a tool\n  a:b/c#open returns a resource"), "{seen}");
}

#[test]
fn typed_exports_that_meet_get_their_interface_in_front() {
    let inspection = typed(&[
        ("run", "demo:x/first-one@0.1.0#run"),
        ("run", "demo:x/second#run"),
        ("other", "demo:x/second#other"),
    ]);
    let component = assembled(candidate("a", "", inspection.clone()), &Operator::default());
    assert_eq!(names(&component), ["first_one_run", "second_run", "other"]);
    // Where a manifest has settled it, nothing else is renamed.
    let manifest = "[tools.go]\nexport = \"demo:x/second#run\"";
    let component = assembled(candidate("a", manifest, inspection), &Operator::default());
    assert_eq!(names(&component), ["run", "go", "other"]);
    let same = typed(&[("run", "a:x/i#run"), ("run", "b:x/i#run")]);
    let seen = refused(candidate("a", "", same));
    for part in ["'i_run'", "in a.toml:\n[tools.NAME]\nexport = \"b:x/i#run\""] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
    let own = Inspection { tools: vec![tool("go", None), tool("Go", None)], ..Inspection::default() };
    assert!(refused(candidate("a", "", own)).contains("'Go' and 'go'"));
}

#[test]
fn a_name_that_no_client_takes_is_refused_with_the_line_to_write() {
    let long = "x".repeat(65);
    let seen = refused(candidate("a", "", typed(&[(&long, "a:b/c#x")])));
    assert!(seen.contains(&long) && seen.contains("[tools.NAME]\nexport = \"a:b/c#x\""), "{seen}");
}

#[test]
fn a_plain_command_takes_its_files_name() {
    let inspection = || Inspection { tools: vec![tool("", None)], ..Inspection::default() };
    let component = assembled(candidate("web-digest.v2", "", inspection()), &Operator::default());
    assert_eq!(names(&component), ["web_digest_v2"]);
    let component =
        assembled(candidate("web_digest", "name = \"Web-Digest\"", inspection()), &Operator::default());
    assert_eq!((component.name.as_str(), names(&component)), ("Web-Digest", vec!["Web_Digest"]));
    let seen = refused(candidate("a b", "", inspection()));
    assert!(seen.contains("'a b' is no component name"), "{seen}");
}

#[test]
fn a_manifest_cannot_take_anothers_name_and_with_it_its_grant() {
    let seen = refused(candidate("evil", "name = \"travel\"", typed(&[("x", "x")])));
    for part in ["'evil'", "name = \"travel\"", "name = \"evil\"", "travel.wasm"] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
}

#[test]
fn the_operator_prefixes_and_renames() {
    let inspection = typed(&[("run", "a:b/c#run"), ("stop", "a:b/c#stop")]);
    let over = operator(
        "",
        "[halt]\nexport = \"a:b/c#stop\"\n[py_run]\nreply = \"inline\"\n[run]\nreply = \"task\"",
        "[a]\nprefix = \"py\"",
    );
    let manifest = "[tools.run]\ntitle = \"Run\"\n[tools.stop]\ntitle = \"Stop\"";
    let component = assembled(candidate("a", manifest, inspection.clone()), &over);
    assert_eq!(names(&component), ["py_run", "halt"]);
    let [run, halt] = [0, 1].map(|index| &component.tools[index].tool.definition);
    assert_eq!((run.reply, run.title.as_deref()), (Reply::Inline, Some("Run")));
    assert_eq!(halt.title.as_deref(), Some("Stop"));
    let catalog = Catalog::default().with(component).expect("fits");
    assert_eq!(over.unused(&catalog), ["[tools.run]"]);
    let over = operator("", "", "[a]\nprefix = \"py-\"");
    assert_eq!(names(&assembled(candidate("a", "", inspection), &over)), ["py-run", "py-stop"]);
}

const REQUESTS: &str = r#"
    [capabilities]
    http = ["https://api.example.com"]
    files = [{ slot = "docs", at = "/docs", access = "read" }, { slot = "out", at = "/out", access = "write" }]
    env = ["LANG"]
    elicit = true
    sample = true
    [limits]
    memory_mib = 64
    questions = 3
"#;

fn with_requests(trusted: bool, grants: &str) -> Holdings {
    let candidate = Candidate { trusted, ..candidate("a", REQUESTS, typed(&[("x", "x")])) };
    let component = assembled(candidate, &operator(grants, "", ""));
    assert_eq!(component.tools[0].tool.grant, component.holdings.grant);
    assert_eq!(component.tools[0].tool.limits, component.holdings.limits);
    component.holdings
}

#[test]
fn an_untrusted_component_holds_what_the_operator_grants_and_nothing_else() {
    let nothing = with_requests(false, "[b]\nelicit = true");
    assert!(nothing.grant.is_empty());
    assert_eq!(nothing.denied, nothing.requested);
    assert!(!nothing.requested.is_empty());
    let some = with_requests(false, "[a]\nelicit = true\nstate = [\"trips\"]");
    assert!(some.grant.elicit && !some.grant.sample && some.grant.http.is_empty());
    assert_eq!(some.grant.state.len(), 1, "granted, though not requested");
    assert!(!some.denied.elicit && some.denied.sample && some.denied.http.len() == 1);
}

#[test]
fn a_trusted_component_holds_what_it_requests_but_for_what_is_bound_to_nothing() {
    let trusted = with_requests(true, "");
    assert!(trusted.grant.elicit && trusted.grant.sample && trusted.grant.files.is_empty());
    assert_eq!(trusted.denied, Grant { files: trusted.requested.files.clone(), ..Grant::default() });
    let docs = "{ slot = \"docs\", at = \"/docs\", access = \"read\", path = \"/srv\" }";
    let bound = with_requests(true, &format!("[a]\nfiles = [{docs}]\nenv = [\"TZ\"]"));
    assert_eq!(bound.grant.files.len(), 1);
    assert_eq!(bound.grant.env, ["TZ", "LANG"]);
    assert_eq!(bound.denied.files.len(), 1);
    assert_eq!(bound.denied.files[0].slot, "out");
}

#[test]
fn the_operator_has_the_last_word_on_bounds() {
    let limits = with_requests(false, "[a.limits]\nmemory_mib = 512\nrun_seconds = 5").limits;
    assert_eq!((limits.memory_mib, limits.run_seconds, limits.questions), (512, 5, 3));
    assert_eq!(limits.total_seconds, TaskLimits::default().total_seconds);
}

#[test]
fn a_component_with_too_many_tools_or_a_bad_one_is_refused_by_name() {
    let many = (0..=limits::MAX_TOOLS_PER_COMPONENT).map(|n| tool(&format!("t{n}"), None)).collect();
    let seen = refused(candidate("a", "", Inspection { tools: many, ..Inspection::default() }));
    assert!(seen.contains("257 tools, 256 at most"), "{seen}");
    let mut bad = tool("x", None);
    bad.definition.input_schema = json!({"type": "object", "$ref": "http://127.0.0.1/"});
    let seen = refused(candidate("a", "", Inspection { tools: vec![bad], ..Inspection::default() }));
    assert!(
        seen.contains("component 'a'") && seen.contains("tool 'x'") && seen.contains("http://127.0.0.1/"),
        "{seen}"
    );
}
