//! Manifests that mean harm, next to a good component that is added to a running server: each is refused with its file and
//! the place in it, before anything of it counts.

use super::{Added, Ground};
use crate::support::export;

/// A manifest, and words of its refusal.
type Hostile = (&'static str, Vec<u8>, &'static str);

/// A refusal is for a reader.
const LONGEST: usize = 16 * 1024;

fn repeated(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect()
}

fn hostile() -> Vec<Hostile> {
    let mut all: Vec<Hostile> = Vec::new();
    let mut add = |what, text: &str, words| all.push((what, text.as_bytes().to_vec(), words));
    for (what, text) in [
        ("a table that is not known", "[grants.x]\nelicit = true\n"),
        ("a key that is not known", "trusted = true\n"),
        ("a key of a tool", "[tools.go]\nauto_approve = true\n"),
        ("a capability", "[capabilities]\nsockets = true\n"),
        ("a bound", "[limits]\nhandles = 1000000\n"),
        ("an annotation", "[tools.go.annotations]\nsafe = true\n"),
        (
            "a key of a folder",
            "[capabilities]\nfiles = [{ slot = \"a\", at = \"/a\", access = \"read\", path = \"/\" }]\n",
        ),
        (
            "a source of a secret",
            "[capabilities]\nsecrets = [{ name = \"a\", host = \"a.b\", header = \"x\", from = \"env:A\" }]\n",
        ),
    ] {
        add(what, text, "unknown field");
    }
    for (what, name) in [
        ("a path as its name", "../other"),
        ("an absolute path as its name", "/etc/passwd"),
        ("a hidden file as its name", ".ssh"),
        ("a name with a zero", "a\\u0000b"),
        ("a name with a line", "a\\nb"),
        ("a name in other letters", "ho\\u0455tile"),
    ] {
        add(what, &format!("name = \"{name}\"\n"), "hostile.toml");
    }
    add("another's name", "name = \"quick\"\n", "grants go by the file's name");
    for at in ["../x", "/a/../../b", "relative", "/", "/proc/../etc", "/a//b", "/a\\u0000"] {
        let text =
            format!("[capabilities]\nfiles = [{{ slot = \"a\", at = \"{at}\", access = \"read\" }}]\n");
        add("a folder that leads elsewhere", &text, "hostile.toml");
    }
    for (what, request) in [
        ("a slot that is a path", "files = [{ slot = \"../a\", at = \"/a\", access = \"read\" }]"),
        ("an access that there is not", "files = [{ slot = \"a\", at = \"/a\", access = \"all\" }]"),
        ("any host", "http = [\"*\"]"),
        ("a host with a user", "http = [\"https://a@b.example\"]"),
        ("a host with a path", "http = [\"https://a.example/../x\"]"),
        ("another scheme", "http = [\"file:///etc/passwd\"]"),
        ("a variable with a value", "env = [\"PATH=/tmp\"]"),
        ("a header with a line", "secrets = [{ name = \"a\", host = \"a.b\", header = \"x\\r\\ny\" }]"),
        ("a secret for any host", "secrets = [{ name = \"a\", host = \"*\", header = \"x\" }]"),
        ("a namespace without a name", "state = [\"/other\"]"),
        ("a tool with a line", "tools = [\"a\\nb\"]"),
        ("an order in a request", "tools = [\"a\\u202eb\"]"),
        ("a text for a truth", "elicit = \"yes\""),
    ] {
        add(what, &format!("[capabilities]\n{request}\n"), "hostile.toml");
    }
    for number in ["-1", "0", "9223372036854775807", "99999999999999999999", "1e3", "nan", "true", "\"1\""] {
        add("no memory there is", &format!("[limits]\nmemory_mib = {number}\n"), "hostile.toml");
    }
    for (what, text) in [
        ("an end that is missing", "[tools.go\n"),
        ("a text without an end", "version = \"1\n"),
        ("a key twice", "version = \"1\"\nversion = \"2\"\n"),
        ("a table twice", "[limits]\nmemory_mib = 1\n[limits]\nmemory_mib = 2\n"),
        ("a value in the place of a table", "tools = 3\n"),
        ("JSON", "{\"name\": \"hostile\"}"),
        ("YAML", "name: hostile\n"),
        ("a lonely return", "version = \"1\"\rname = \"x\"\n"),
        ("an escape that is none", "version = \"\\q\"\n"),
        ("half a pair", "version = \"\\ud800\"\n"),
        ("hidden characters", "version = \"1\u{200b}\"\n"),
        ("two lines for one", "version = \"1\\n2\"\n"),
    ] {
        add(what, text, "hostile.toml");
    }
    add(
        "ten thousand tools",
        &repeated(10_000, |n| format!("[tools.t{n}]\ntitle = \"x\"\n")),
        "no such tool",
    );
    add("a tool that is a path", "[tools.\"../go\"]\n", "no tool name");
    add("one export twice", "[tools.a]\nexport = \"go\"\n[tools.b]\nexport = \"go\"\n", "two names");
    add("a huge text", &format!("[tools.go]\ndescription = \"{}\"\n", "a".repeat(300_000)), "300000 bytes");
    add("a huge file", &format!("# {}\n", "a".repeat(1 << 20)), "larger than");
    add("a huge number of keys", &repeated(60_000, |n| format!("k{n} = 1\n")), "unknown field");
    add(
        "a huge list",
        &format!("[capabilities]\nenv = [{}]\n", "\"A-\",".repeat(100_000)),
        "no name of an environment",
    );
    add(
        "lists in lists",
        &format!("version = {}{}\n", "[".repeat(50_000), "]".repeat(50_000)),
        "hostile.toml",
    );
    add("lists without an end", &format!("version = {}", "[".repeat(500_000)), "hostile.toml");
    add(
        "tables in tables",
        &format!("version = {}1{}\n", "{a=".repeat(50_000), "}".repeat(50_000)),
        "hostile.toml",
    );
    add("keys in keys", &format!("{}a = 1\n", "a.".repeat(250_000)), "hostile.toml");
    add("headers in headers", &format!("[{}a]\n", "a.".repeat(250_000)), "hostile.toml");
    add("a header at each depth", &repeated(700, |n| format!("[{}a]\n", "a.".repeat(n))), "hostile.toml");
    all.push(("no text", b"name = \"\xff\xfe\"\n".to_vec(), "not UTF-8"));
    all.push((
        "another encoding",
        "version = \"1\"".encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "hostile.toml",
    ));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_manifests_are_refused_with_their_place_and_the_next_one_is_read() {
    let ground = Ground::asking();
    let neighbour = ground.neighbour().await;
    let good = wat::parse_str(export("go", "", r#"(func (export "run"))"#)).expect("a component");
    let mut wrong = Vec::new();
    for (what, manifest, words) in hostile() {
        match ground.add("hostile", &good, &manifest).await {
            Added::Refused(why) if why.contains(words) && why.contains("hostile") && why.len() < LONGEST => {}
            Added::Refused(why) => {
                let shown: String = why.chars().take(400).collect();
                wrong.push(format!("{what}: {} bytes: {shown}", why.len()));
            }
            other => wrong.push(format!("{what}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(matches!(ground.add("hostile", &good, b"name = \"hostile\"\n").await, Added::Served));
    neighbour.was_served().await;
    ground.goes_on().await;
}
