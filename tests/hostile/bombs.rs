//! Components that cost more than they look: at the caps of this program and just below, to compile, to inspect, and to run.
//! Each is added to a running server, and ends by a bound that is named, or is served.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Added, Ground, scaled};
use crate::support::{Client, export};

/// What becomes of one.
enum Expected {
    /// It is served, and its tool gives this.
    Served,
    /// It is refused in these words.
    Refused(&'static str),
    /// Its task fails for this reason, with these words.
    Fails(&'static str, &'static str),
    /// The tool's own error, with these words.
    ToolError(&'static str),
}

use Expected::{Fails, Refused, Served, ToolError};

const SEVEN: &str = r#"(func (export "run") (result i32) i32.const 7)"#;

/// A tool `NAME` that gives 7, in a module that holds this as well.
fn with(name: &str, more: &str) -> String {
    export(name, "(result u32)", &format!("{SEVEN} {more}"))
}

/// The same, with this in the component around it.
fn around(name: &str, more: &str) -> String {
    with(name, "").replacen("(component", &format!("(component {more}"), 1)
}

fn repeated(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", part(number));
        text
    })
}

/// So many of `(open` inside each other.
fn inside(count: usize, open: &str) -> String {
    format!("{}{}", open.repeat(count), ")".repeat(count))
}

/// What costs the compiler much for each byte.
fn to_compile() -> Vec<(&'static str, String, Expected)> {
    let functions = scaled(9_999) as usize;
    // A local each, in pairs that the compiler has to keep apart.
    let live =
        repeated(4_000, |n| format!("(local.set {n} (i64.mul (local.get {}) (i64.const {n})))", n / 2));
    let used = repeated(4_000, |n| format!("(local.set 0 (i64.xor (local.get 0) (local.get {n})))"));
    let deep = |count: usize| format!("(func {} {})", "block ".repeat(count), "end ".repeat(count));
    let branches = format!(
        "(func (param i32) {} {} {})",
        "block ".repeat(200),
        repeated(500, |n| format!("local.get 0 br_if {} ", n % 200)),
        "end ".repeat(200)
    );
    let table = format!(
        "(func (param i32) (block (block (block (br_table {} (local.get 0))))))",
        repeated(60_000, |n| format!("{} ", n % 3))
    );
    vec![
        ("functions", with("functions", &"(func)".repeat(functions)), Served),
        ("locals", with("locals", &format!("(func (local {}))", "v128 ".repeat(40_000)).repeat(8)), Served),
        (
            "more_locals",
            with("more_locals", &format!("(func (local {}))", "i32 ".repeat(60_000))),
            Refused("locals"),
        ),
        ("alive", with("alive", &format!("(func (local {}) {live} {used})", "i64 ".repeat(4_000))), Served),
        ("deep_blocks", with("deep_blocks", &deep(20_000)), Served),
        ("branches", with("branches", &branches.repeat(10)), Served),
        ("br_table", with("br_table", &table), Served),
        (
            "data",
            with("data", &format!(r#"(memory 200) (data (i32.const 0) "{}")"#, "a".repeat(8 << 20))),
            Served,
        ),
        (
            "elements",
            with(
                "elements",
                &format!(
                    "(func $f) (table 90000 funcref) (elem (i32.const 0) func {})",
                    "$f ".repeat(90_000)
                ),
            ),
            Served,
        ),
        ("modules", around("modules", &"(core module (func))".repeat(900)), Served),
        ("more_modules", around("more_modules", &"(core module)".repeat(1_100)), Refused("modules")),
        ("deep_components", around("deep_components", &inside(90, "(component ")), Served),
    ]
}

/// What costs the server much when it looks at it.
fn to_inspect() -> Vec<(&'static str, String, Expected)> {
    // Each type names the one before it twice.
    let doubled = repeated(17, |n| format!(r#"(type $t{} (tuple $t{n} $t{n}))"#, n + 1));
    let doubled = format!("(type $t0 (tuple u8 u8)) {doubled}");
    let deep =
        format!("(type $t0 (list u8)) {}", repeated(80, |n| format!("(type $t{} (list $t{n}))", n + 1)));
    let taking = |types: &str, last: usize, name: &str| {
        format!(
            r#"(component {types}
                (core module $m (memory (export "memory") 1) (func (export "take") (param i32 i32))
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable) {SEVEN})
                (core instance $i (instantiate $m))
                (func (export "take") (param "what" (list $t{last}))
                    (canon lift (core func $i "take") (memory $i "memory") (realloc (func $i "realloc"))))
                (func (export "{name}") (result u32) (canon lift (core func $i "run"))))"#
        )
    };
    let exported = |count: usize, name: &str| {
        let more = repeated(count, |n| format!(r#"(export "f{n}" (func $f))"#));
        format!(
            r#"(component (core module $m {SEVEN}) (core instance $i (instantiate $m))
                (func $f (result u32) (canon lift (core func $i "run"))) (export "{name}" (func $f)) {more})"#
        )
    };
    let many = repeated(450, |n| {
        format!(r#"(instance $x{n} (export "f" (func $f))) (export "a:b/c@{n}.0.0" (instance $x{n}))"#)
    });
    let tool = r#"(export "interfaces""#;
    let interfaces = exported(0, "interfaces").replacen(tool, &format!("{many} {tool}"), 1);
    let name = "a".repeat(90_000);
    vec![
        // The other function is no tool, and this one is.
        ("doubled", taking(&doubled, 17, "doubled"), Served),
        ("deep_types", taking(&deep, 80, "deep_types"), Served),
        ("tools", exported(300, "tools"), Refused("MAX_TOOLS_PER_COMPONENT")),
        ("exports", exported(20_000, "exports"), Refused("MAX_TOOLS_PER_COMPONENT")),
        ("interfaces", interfaces, Refused("MAX_TOOLS_PER_COMPONENT")),
        ("long_name", exported(0, &name), Refused("MAX_EXTERN_NAME_BYTES")),
        (
            "imports",
            around("imports", &repeated(900, |n| format!(r#"(import "wasi:io/poll@0.2.{n}" (instance))"#))),
            Served,
        ),
        (
            "unknown",
            around("unknown", r#"(import "evil:host/escape@6.6.6" (instance (export "f" (func))))"#),
            Refused("evil:host/escape"),
        ),
        (
            "instances",
            {
                let instances = repeated(300, |n| format!("(core instance $j{n} (instantiate $n))"));
                around("instances", &format!("(core module $n (func (export \"f\"))) {instances}"))
            },
            Fails("limit", "MAX_CORE_INSTANCES"),
        ),
    ]
}

/// What costs much to run.
fn to_run() -> Vec<(&'static str, String, Expected)> {
    // A list of so many texts, each of which is the same 64 KiB.
    let aliased = |name: &str, texts: u32| {
        format!(
            r#"(component
                (core module $m (memory (export "memory") 32)
                    (func (export "run") (result i32) (local $n i32)
                        (loop $next
                            (i32.store (i32.add (i32.const 131072) (i32.shl (local.get $n) (i32.const 3))) (i32.const 0))
                            (i32.store (i32.add (i32.const 131076) (i32.shl (local.get $n) (i32.const 3))) (i32.const 65536))
                            (local.set $n (i32.add (local.get $n) (i32.const 1)))
                            (br_if $next (i32.lt_u (local.get $n) (i32.const {texts}))))
                        (i32.store (i32.const 1048576) (i32.const 131072))
                        (i32.store (i32.const 1048580) (i32.const {texts}))
                        i32.const 1048576))
                (core instance $i (instantiate $m))
                (func (export "{name}") (result (list string)) (canon lift (core func $i "run") (memory $i "memory"))))"#
        )
    };
    let text = |name: &str, realloc: &str, after: &str, options: &str| {
        format!(
            r#"(component
                (core module $m (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc})
                    (func (export "after") (param i32) {after})
                    (func (export "run") (param i32 i32) (result i32) i32.const 8))
                (core instance $i (instantiate $m))
                (func (export "{name}") (param "text" (option string)) (result string)
                    (canon lift (core func $i "run") (memory $i "memory") (realloc (func $i "realloc")) {options})))"#
        )
        .replace("(param i32 i32) (result i32) i32.const 8", "(param i32 i32 i32) (result i32) i32.const 8")
    };
    let between = r#"(type $t (func)) (table 2 funcref) (elem (i32.const 0) $a $b)
        (func $a (call_indirect (type $t) (i32.const 1))) (func $b (call_indirect (type $t) (i32.const 0)))
        (func (export "run") (call $a))"#;
    let spin = "(loop br 0)";
    let limit = Fails("limit", "run_seconds = 1");
    vec![
        ("aliased", aliased("aliased", 20_000), Fails("limit", "MAX_HOSTCALL_BYTES")),
        ("large_result", aliased("large_result", 20), ToolError("result_kib")),
        ("realloc_spins", text("realloc_spins", &format!("{spin} unreachable"), "", ""), limit),
        ("realloc_beyond", text("realloc_beyond", "i32.const -8", "", ""), Fails("trap", "")),
        (
            "after_spins",
            text("after_spins", "i32.const 64", spin, r#"(post-return (func $i "after"))"#),
            Fails("limit", "run_seconds = 1"),
        ),
        ("between", export("between", "", between), Fails("trap", "call stack exhausted")),
        (
            "start_traps",
            export("start-traps", "", r#"(func $s unreachable) (start $s) (func (export "run"))"#),
            Fails("trap", "unreachable"),
        ),
        (
            "grow_and_fill",
            export(
                "grow-and-fill",
                "",
                r#"(memory 1) (func (export "run") (loop
                    (drop (memory.grow (i32.const 16)))
                    (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536)))
                    (br 0)))"#,
            ),
            Fails("limit", "run_seconds = 1"),
        ),
    ]
}

const MANIFEST: &str = "[limits]\nmemory_mib = 32\nrun_seconds = 1\nresult_kib = 64\n";
const MARGIN: Duration = Duration::from_secs(30);
/// A refusal is for a reader.
const LONGEST: usize = 16 * 1024;

/// What is wrong with how it ended.
async fn explode(ground: &Ground, (name, wat, expected): &(&str, String, Expected)) -> Result<(), String> {
    let began = Instant::now();
    // In kebab case, as components have names.
    let wat = wat.replace(&format!("\"{name}\""), &format!("\"{}\"", name.replace('_', "-")));
    let bytes = wat::parse_str(&wat).map_err(|error| error.to_string())?;
    let added = ground.add(name, &bytes, MANIFEST.as_bytes()).await;
    println!("{name}: {} bytes, judged in {:?}", bytes.len(), began.elapsed());
    match (added, expected) {
        (Added::Refused(why), Refused(words)) if why.contains(words) && why.len() < LONGEST => Ok(()),
        (Added::Served, Served | Fails(..) | ToolError(_)) => {
            let takes_text = wat.contains(r#"(param "text""#);
            let arguments = if takes_text { json!({ "text": "abc" }) } else { json!({}) };
            run(&ground.server.client(), name, arguments, expected).await
        }
        (added, _) => Err(format!("{added:?}").chars().take(600).collect()),
    }
}

async fn run(client: &Client, tool: &str, arguments: Value, expected: &Expected) -> Result<(), String> {
    let began = Instant::now();
    let task = client.start(tool, arguments, None).await.map_err(|error| format!("{error:?}"))?;
    let ended = client.ended(&task).await.map_err(|error| format!("{error:?}"))?;
    let words = ended["error"]["message"].as_str().unwrap_or_default();
    let took = began.elapsed();
    let is_right = match expected {
        Fails(reason, part) => ended["reason"] == *reason && words.contains(part),
        _ => {
            let result = client.call("task_result", json!({ "task_id": task }), json!({})).await;
            let result = result.map_err(|error| format!("{error:?}"))?;
            match expected {
                ToolError(part) => result["isError"] == true && result.to_string().contains(part),
                _ => result["structuredContent"]["result"] == 7,
            }
        }
    };
    if is_right && took < MARGIN { Ok(()) } else { Err(format!("after {took:?}: {ended}")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bomb_ends_by_a_bound_that_is_named_beside_an_honest_caller() {
    let ground = Ground::trusting();
    let neighbour = ground.neighbour().await;
    let mut wrong = Vec::new();
    for bomb in to_inspect().into_iter().chain(to_run()).chain(to_compile()) {
        if let Err(why) = explode(&ground, &bomb).await {
            println!("{}: {why}", bomb.0);
            wrong.push(format!("{}: {why}", bomb.0));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    neighbour.was_served().await;
    ground.goes_on().await;
}
