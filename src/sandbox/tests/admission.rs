use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use wasmtime::component::Linker;

use crate::engine::InspectError;
use crate::limits;
use crate::sandbox::artifact::Code;
use crate::sandbox::cache::Cache;
use crate::sandbox::compile::Compile;
use crate::sandbox::config;
use crate::task::ComponentId;

fn refused(wat: &str) -> InspectError {
    let bytes = wat::parse_str(wat).unwrap();
    match Code::compile(&config::engine().unwrap(), &bytes) {
        Ok(_) => panic!("taken"),
        Err(error) => error,
    }
}

#[test]
fn what_is_no_component_is_told_so() {
    let error = refused("(module)");
    assert!(matches!(&error, InspectError::NotAComponent(text) if text.contains("wasm32-wasip2")), "{error}");
    let engine = config::engine().unwrap();
    assert!(matches!(Code::compile(&engine, b"#!/bin/sh"), Err(InspectError::NotAComponent(_))));
    let error = refused("(component (core module (func (result i32))))");
    assert!(matches!(&error, InspectError::Unsupported(text) if text.contains("not valid")), "{error}");
}

#[test]
fn a_module_is_told_what_makes_a_component_of_it() {
    let adapted = |module: &str, words: &[&str], never: &str| {
        let seen = refused(module).to_string();
        assert!(words.iter().all(|word| seen.contains(word)), "{seen}");
        assert!(!seen.contains(never), "{seen}");
    };
    let import =
        r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
    let reactor = format!(r#"(module {import} (func (export "run")))"#);
    adapted(
        &reactor,
        &["--adapt wasi_snapshot_preview1.reactor.wasm", "wasm-tools component new"],
        "command",
    );
    let command = format!(r#"(module {import} (func (export "_start")))"#);
    adapted(&command, &["--adapt wasi_snapshot_preview1.command.wasm"], "reactor");
    let plain = r#"(module (import "env" "f" (func)) (func (export "run")))"#;
    adapted(plain, &["wasm-tools component new", "wasm32-wasip2"], "--adapt");
}

#[test]
fn what_would_keep_the_compiler_busy_for_long_is_refused_before_it_begins() {
    let unsupported = |wat: &str, words: &str| {
        let error = refused(wat);
        assert!(matches!(&error, InspectError::Unsupported(text) if text.contains(words)), "{error}");
    };
    let half = "(func)".repeat(limits::MAX_COMPONENT_FUNCTIONS / 2 + 1);
    let many = format!("(component (core module {half}) (component (core module {half})))");
    unsupported(&many, "MAX_COMPONENT_FUNCTIONS");
    let long = "nop ".repeat(limits::MAX_FUNCTION_BYTES);
    unsupported(&format!("(component (core module (func {long})))"), "MAX_FUNCTION_BYTES");
}

#[test]
fn wasi_0_3_is_refused_by_name() {
    let error = refused(r#"(component (import "wasi:clocks/monotonic-clock@0.3.0" (instance)))"#);
    assert!(
        matches!(&error, InspectError::Unsupported(text) if text.contains("wasi:clocks/monotonic-clock@0.3.0") && text.contains("WASI 0.2")),
        "{error}"
    );
}

/// Refused as unsupported, in all these words.
#[track_caller]
fn asynchronous(wat: &str, words: &[&str]) {
    let error = refused(wat);
    let InspectError::Unsupported(seen) = &error else { panic!("{error}") };
    assert!(seen.contains("asynchronous part of the component model"), "{seen}");
    assert!(words.iter().all(|word| seen.contains(word)), "{seen}");
    assert!(!seen.contains("offset"), "{seen}");
}

/// A component with the plain function `plain`, and others.
fn with_plain(others: &str) -> String {
    format!(
        r#"(component
            (core module $m (memory (export "memory") 1) (func (export "get") (result i32) i32.const 7)
                (func (export "begin") (param i32 i32) (result i32) unreachable)
                (func (export "callback") (param i32 i32 i32) (result i32) unreachable)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                (func (export "none")) (func (export "put") (param i32))
                (func (export "same") (param i32) (result i32) local.get 0))
            (core instance $i (instantiate $m))
            (alias core export $i "memory" (core memory $memory))
            (func (export "plain") (result u32) (canon lift (core func $i "get")))
            {others})"#
    )
}

const IS_ASYNC: &str = "is async: a plain function may wait as long as it likes";
const IS_STREAM: &str = "uses a stream, which JSON cannot carry: a list<u8> or a string can be in its place";
const IS_FUTURE: &str = "uses a future, which JSON cannot carry: the value itself can be in its place";
const IS_ERROR_CONTEXT: &str = "uses an error-context, which JSON cannot carry: a string can be in its place";

#[tokio::test]
async fn asynchronous_functions_are_skipped_by_name_and_their_neighbour_is_a_tool() {
    use crate::engine::Runner;
    let sandbox = super::sandbox(super::NEVER_SUSPENDED);
    for (others, skipped) in [
        (
            r#"(type $f (func async))
               (func (export "fetch-all") (type $f) (canon lift (core func $i "none")))"#,
            vec![("fetch-all", IS_ASYNC)],
        ),
        (
            r#"(type $f (func async (param "from" string) (result string)))
               (core func $return (canon task.return (result string) (memory $memory)))
               (core func $wait (canon waitable-set.wait (memory $memory)))
               (func (export "begin") (type $f) (canon lift (core func $i "begin") async (memory $memory)
                   (realloc (func $i "realloc")) (callback (func $i "callback"))))"#,
            vec![("begin", IS_ASYNC)],
        ),
        (
            r#"(type $s' (stream u8)) (export $s "lines" (type $s'))
               (core func $new (canon stream.new $s))
               (func (export "tail-log") (result $s) (canon lift (core func $i "get")))"#,
            vec![("tail-log", IS_STREAM)],
        ),
        (
            r#"(type $s (future string)) (type $t (tuple $s))
               (func $later (param "when" $t) (result u32) (canon lift (core func $i "same")))
               (instance $log (export "later" (func $later)))
               (export "a:b/log@1.0.0" (instance $log))"#,
            vec![("a:b/log#later", IS_FUTURE)],
        ),
        (
            r#"(func (export "note") (param "why" error-context) (canon lift (core func $i "put")))
               (func (export "why") (result error-context) (canon lift (core func $i "get")))"#,
            vec![("note", IS_ERROR_CONTEXT), ("why", IS_ERROR_CONTEXT)],
        ),
    ] {
        let component = wat::parse_str(with_plain(others)).unwrap();
        let found = sandbox.inspect(component.into()).await.unwrap();
        let tools: Vec<_> = found.tools.iter().map(|tool| &*tool.definition.name).collect();
        assert_eq!(tools, ["plain"], "{others}");
        let found: Vec<_> =
            found.skipped.iter().map(|skipped| (&*skipped.export, &*skipped.reason)).collect();
        assert_eq!(found, skipped, "{others}");
    }
}

#[test]
fn asynchronous_parts_that_a_component_needs_are_refused_by_name() {
    asynchronous(
        r#"(component (type $s (stream u8)) (import "read" (func (param "from" $s))))"#,
        &["of its imported functions read uses a stream"],
    );
    asynchronous(
        &with_plain(
            r#"(import "other:host/feed@1.0.0" (instance (export "next" (func async (result u32)))))"#,
        ),
        &["of its imported functions other:host/feed@1.0.0#next is async", "plain one"],
    );
    let world = |name: &str| {
        with_plain(&format!(
            r#"(func $none async (canon lift (core func $i "none")))
               (instance $tools (export "call" (func $none)))
               (export "{name}" (instance $tools))"#
        ))
    };
    asynchronous(&world("longhaul:tool/tools@0.1.0"), &["longhaul:tool/tools@0.1.0#call is async"]);
    asynchronous(&world("wasi:cli/run@0.2.6"), &["wasi:cli/run@0.2.6#call is async"]);
    let many: String = (0..20).map(|n| format!(r#"(import "f{n}" (func (result $s)))"#)).collect();
    asynchronous(
        &with_plain(&format!("(type $s (stream u8)) {many}")),
        &["f0 uses a stream", "f7", "and 12 more"],
    );
}

#[test]
fn threads_are_refused_and_a_fault_next_to_asynchronous_parts_is_not_hidden() {
    const THREAD: &str = "(core func (canon thread.index))";
    asynchronous(
        &with_plain(THREAD),
        &["asynchronous built-ins (thread)", "without its toolchain's support"],
    );
    asynchronous(
        &with_plain(&format!("(core module $componentize_qjs_runtime.wasm) {THREAD}")),
        &["--backend-qjs-disable-async"],
    );
    for fault in ["(core module (func (result i32)))", "(component (core module (memory i64 1 1 shared)))"] {
        let seen = refused(&with_plain(&format!("(core func (canon task.cancel)) {fault}"))).to_string();
        assert!(seen.contains("is not valid") && seen.contains("are not the reason"), "{seen}");
        assert!(seen.contains("built-ins (task)"), "{seen}");
    }
}

#[test]
fn parts_are_put_aside_down_to_a_bounded_depth() {
    let nested = |levels: usize| {
        let (begin, end) = ("(component ".repeat(levels), ")".repeat(levels));
        format!("{begin}(core func (canon task.cancel)){end}")
    };
    let bytes = wat::parse_str(nested(limits::MAX_NESTED_COMPONENTS)).unwrap();
    Code::compile(&config::engine().unwrap(), &bytes).unwrap();
    let seen = refused(&nested(limits::MAX_NESTED_COMPONENTS + 1)).to_string();
    assert!(seen.contains("MAX_NESTED_COMPONENTS") && seen.contains("built-ins (task)"), "{seen}");
}

#[test]
fn asynchronous_builtins_of_a_toolchain_are_put_aside() {
    let engine = config::engine().unwrap();
    for wat in [
        "(component (core func (canon task.cancel)) (core func (canon waitable-set.new)) \
            (core func (canon context.get i32 0)))",
        "(component (component (core func (canon subtask.drop))) (core func (canon backpressure.inc)))",
        "(component (core module $m) (component (alias outer 1 $m (core module $n)) (core instance (instantiate $n))
            (core func (canon subtask.drop))) (core func (canon task.cancel)))",
    ] {
        Code::compile(&engine, &wat::parse_str(wat).unwrap()).unwrap_or_else(|error| panic!("{wat}: {error}"));
    }
}

#[test]
fn maps_and_lists_of_fixed_length_are_taken() {
    let wat = r#"(component
        (core module $m (memory (export "memory") 1) (func (export "get") (result i32) i32.const 8)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 64))
        (core instance $i (instantiate $m))
        (alias core export $i "memory" (core memory $memory))
        (type $m (map string u32))
        (type $l (list u8 4))
        (func (export "counts") (result $m) (canon lift (core func $i "get") (memory $memory)))
        (func (export "address") (result $l) (canon lift (core func $i "get") (memory $memory))))"#;
    let bytes = wat::parse_str(wat).unwrap();
    Code::compile(&config::engine().unwrap(), &bytes).unwrap();
}

#[tokio::test]
async fn an_import_that_nobody_offers_is_named() {
    let engine = config::engine().unwrap();
    let cache = Arc::new(Cache::<()>::new(engine.clone(), Linker::new(&engine), Compile::Here, 1));
    let wat = r#"(component (import "other:host/thing@1.0.0" (instance (export "f" (func)))))"#;
    let bytes: Arc<[u8]> = wat::parse_str(wat).unwrap().into();
    let id = ComponentId::of_bytes(&bytes);
    let error = cache.load(&id, || Ok(bytes)).await.err().unwrap();
    assert!(
        matches!(&error, InspectError::Unsupported(text) if text.contains("other:host/thing@1.0.0")),
        "{error}"
    );
}

const SMALL: &str = r#"(component
    (core module $m (func (export "f") (result i32) i32.const 7))
    (core instance $i (instantiate $m))
    (func (export "f") (result u32) (canon lift (core func $i "f"))))"#;

/// Loads [`SMALL`] with a cache of its own, as another process would, and says whether it was compiled.
async fn compiles(folder: &TempDir, key: [u8; 32]) -> bool {
    let engine = config::engine().unwrap();
    let cache = Arc::new(Cache::<()>::new(engine.clone(), Linker::new(&engine), Compile::Here, 1));
    cache.keep_in(&[folder.path().join("compiled"), folder.path().join("beside")], key);
    let bytes: Arc<[u8]> = wat::parse_str(SMALL).unwrap().into();
    let id = ComponentId::of_bytes(&bytes);
    let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = asked.clone();
    let load = move || {
        seen.store(true, std::sync::atomic::Ordering::SeqCst);
        Ok(bytes)
    };
    cache.load(&id, load).await.map(drop).unwrap();
    asked.load(std::sync::atomic::Ordering::SeqCst)
}

fn only_file(folder: &TempDir) -> PathBuf {
    let files: Vec<_> =
        fs::read_dir(folder.path().join("compiled")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[tokio::test]
async fn compiled_code_is_used_again_unless_anybody_touched_it() {
    let folder = TempDir::new().unwrap();
    assert!(compiles(&folder, [1; 32]).await, "nothing is there yet");
    assert!(!compiles(&folder, [1; 32]).await, "the file is used");
    assert!(compiles(&folder, [2; 32]).await, "sealed with another key");
    assert!(!compiles(&folder, [2; 32]).await, "and replaced");

    let file = only_file(&folder);
    let good = fs::read(&file).unwrap();
    let mark = b"longhaul compiled code\n".len();
    for at in [mark, mark + 31, mark + 32, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&file, &bad).unwrap();
        assert!(compiles(&folder, [2; 32]).await, "a bit of byte {at} is turned");
        assert!(!compiles(&folder, [2; 32]).await, "and it is replaced");
    }
    for cut in [0, mark, mark + 31, good.len() - 1] {
        fs::write(&file, &good[..cut]).unwrap();
        assert!(compiles(&folder, [2; 32]).await, "cut off at {cut}");
    }
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(compiles(&folder, [2; 32]).await, "as a repository would have brought it");
    assert!(!compiles(&folder, [2; 32]).await, "and it is replaced");

    let left = |name: &str| file.with_file_name(format!("blake3-{}.{name}", "0a".repeat(32)));
    let of_before = [&[7; 32], &good[mark + 32..]].concat();
    for (name, contents) in [
        ("0123456789abcdef.compiled", &good[..]),
        ("0123456789abcdef.draft", &good[..40]),
        ("fedcba9876543210.compiled", &of_before),
        ("aaaaaaaaaaaaaaaa.compiled", &[]),
        ("bbbbbbbbbbbbbbbb.compiled", &[0; 100]),
    ] {
        fs::write(left(name), contents).unwrap();
        assert!(!compiles(&folder, [2; 32]).await);
        assert!(!left(name).exists(), "what another version left is cleared away: {name}");
    }
    assert!(!folder.path().join("beside").exists());
}

#[tokio::test]
async fn a_folder_that_is_not_ours_is_left_as_it_is_and_another_beside_it_is_used() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let named = format!("blake3-{}.0123456789abcdef.compiled", "0a".repeat(32));
    type Make<'a> = &'a dyn Fn(&Path);
    let foreign: [(&str, Make<'_>); 7] = [
        ("a project's file", &|compiled| fs::write(compiled.join("bundle.js"), "mine").unwrap()),
        ("one that ends like ours", &|compiled| fs::write(compiled.join("x.compiled"), "mine").unwrap()),
        ("one that is named like ours", &|compiled| fs::write(compiled.join(&named), "precious").unwrap()),
        ("a folder of such a name", &|compiled| fs::create_dir(compiled.join(&named)).unwrap()),
        ("a link of such a name", &|compiled| {
            fs::write(compiled.with_file_name("key"), "").unwrap();
            symlink("../key", compiled.join(&named)).unwrap();
        }),
        ("a link", &|compiled| {
            fs::remove_dir(compiled).unwrap();
            fs::create_dir(compiled.with_file_name("keep")).unwrap();
            symlink("keep", compiled).unwrap();
        }),
        ("a folder that others write", &|compiled| {
            fs::set_permissions(compiled, fs::Permissions::from_mode(0o777)).unwrap();
        }),
    ];
    for (what, make) in foreign {
        let folder = TempDir::new().unwrap();
        let compiled = folder.path().join("compiled");
        fs::create_dir(&compiled).unwrap();
        fs::set_permissions(&compiled, fs::Permissions::from_mode(0o755)).unwrap();
        make(&compiled);
        let listed = || {
            let names = fs::read_dir(&compiled).unwrap().map(|entry| entry.unwrap().file_name());
            let mode = fs::metadata(&compiled).unwrap().permissions().mode();
            (names.collect::<Vec<_>>(), mode)
        };
        let before = listed();
        assert!(compiles(&folder, [1; 32]).await, "{what}");
        assert!(!compiles(&folder, [1; 32]).await, "{what}: kept beside it");
        assert_eq!(listed(), before, "{what}");
        assert_eq!(fs::read_dir(folder.path().join("beside")).unwrap().count(), 1, "{what}");
    }
}

#[tokio::test]
async fn what_is_forgotten_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let engine = config::engine().unwrap();
    let cache = Arc::new(Cache::<()>::new(engine.clone(), Linker::new(&engine), Compile::Here, 1));
    cache.keep_in(&[folder.path().join("compiled")], [1; 32]);
    let bytes: Arc<[u8]> = wat::parse_str(SMALL).unwrap().into();
    let id = ComponentId::of_bytes(&bytes);
    let given = bytes.clone();
    cache.load(&id, move || Ok(given)).await.map(drop).unwrap();
    only_file(&folder);
    cache.forget(&id);
    assert_eq!(fs::read_dir(folder.path().join("compiled")).unwrap().count(), 0);
    let error = cache.load(&id, || Err("read again".to_owned())).await.err().unwrap();
    assert!(error.to_string().contains("read again"), "not in memory either: {error}");
}

#[tokio::test]
async fn the_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    compiles(&folder, [1; 32]).await;
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.path().join("compiled")), 0o700);
    assert_eq!(mode(only_file(&folder)), 0o600);
}

#[tokio::test]
async fn an_inspection_says_what_made_a_component_and_what_follows() {
    use crate::engine::Runner;
    let sandbox = super::sandbox(super::NEVER_SUSPENDED);
    let inspected = async |parts: &str| {
        let wat = SMALL.replacen("(component", &format!("(component {parts}"), 1);
        sandbox.inspect(wat::parse_str(&wat).unwrap().into()).await.unwrap()
    };
    let plain = inspected("").await;
    assert_eq!((plain.toolchain.len(), plain.notes.len()), (0, 0));
    let draws =
        r#"(import "wasi:random/random@0.2.6" (instance (export "get-random-u64" (func (result u64)))))"#;
    let made = r#"(core module $p (@producers (processed-by "ComponentizeJS" "0.22.0")))"#;
    let monkey = inspected(&format!("{draws} {made}")).await;
    assert_eq!(monkey.toolchain, ["ComponentizeJS 0.22.0"]);
    assert!(monkey.notes[0].contains("draw anew in each task"), "{:?}", monkey.notes);
    assert_eq!(monkey.tools.len(), 1);
    let quick = inspected("(core module $componentize_qjs_runtime.wasm)").await;
    assert!(quick.notes[0].contains("the same in every task"), "{:?}", quick.notes);
}
