use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use wasmtime::component::Linker;

use crate::engine::InspectError;
use crate::limits;
use crate::sandbox::cache::Cache;
use crate::sandbox::{admit, config};
use crate::task::ComponentId;

fn refused(wat: &str) -> InspectError {
    let bytes = wat::parse_str(wat).unwrap();
    match admit::compile(&config::engine().unwrap(), &bytes) {
        Ok(_) => panic!("taken"),
        Err(error) => error,
    }
}

#[test]
fn what_is_no_component_is_told_so() {
    let error = refused("(module)");
    assert!(matches!(&error, InspectError::NotAComponent(text) if text.contains("wasm32-wasip2")), "{error}");
    let engine = config::engine().unwrap();
    assert!(matches!(admit::compile(&engine, b"#!/bin/sh"), Err(InspectError::NotAComponent(_))));
    let mut broken = wat::parse_str("(component (core module (func (result i32))))");
    if let Ok(bytes) = &mut broken {
        assert!(matches!(admit::compile(&engine, bytes), Err(InspectError::NotAComponent(_))));
    }
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

#[test]
fn asynchronous_functions_are_refused_as_such() {
    let error = refused(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (type $t (func async))
            (func (export "f") (type $t) (canon lift (core func $i "f"))))"#,
    );
    assert!(matches!(&error, InspectError::Unsupported(text) if text.contains("asynchronous")), "{error}");
}

#[tokio::test]
async fn an_import_that_nobody_offers_is_named() {
    let engine = config::engine().unwrap();
    let cache = Arc::new(Cache::<()>::new(engine.clone(), Linker::new(&engine), 1));
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
    let cache = Arc::new(Cache::<()>::new(engine.clone(), Linker::new(&engine), 1));
    cache.keep_in(folder.path().join("compiled"), key);
    let bytes: Arc<[u8]> = wat::parse_str(SMALL).unwrap().into();
    let id = ComponentId::of_bytes(&bytes);
    let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = asked.clone();
    let load = move || {
        told.store(true, std::sync::atomic::Ordering::SeqCst);
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
    for at in [0, 31, 32, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&file, &bad).unwrap();
        assert!(compiles(&folder, [2; 32]).await, "a bit of byte {at} is turned");
        assert!(!compiles(&folder, [2; 32]).await, "and it is replaced");
    }
    fs::write(&file, &good[..20]).unwrap();
    assert!(compiles(&folder, [2; 32]).await, "cut off");
    let left = file.with_file_name("blake3-00.0123456789abcdef.compiled");
    fs::write(&left, b"of another version").unwrap();
    assert!(!compiles(&folder, [2; 32]).await);
    assert!(!left.exists(), "what another version left is cleared away");
}

#[tokio::test]
async fn what_is_forgotten_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let engine = config::engine().unwrap();
    let cache = Arc::new(Cache::<()>::new(engine.clone(), Linker::new(&engine), 1));
    cache.keep_in(folder.path().join("compiled"), [1; 32]);
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
