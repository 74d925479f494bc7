use std::fs;
use std::path::{Path, PathBuf};
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
    cache.keep_in(&[folder.path().join("compiled"), folder.path().join("beside")], key);
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
    let cache = Arc::new(Cache::<()>::new(engine.clone(), Linker::new(&engine), 1));
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
