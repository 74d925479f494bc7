//! Builds guests: a Cargo workspace whose packages become components for `wasm32-wasip2`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::launch::find_program;

pub const TARGET: &str = "wasm32-wasip2";
/// Where a guest workspace is built, should that not be its own `target/`.
const TARGET_DIR_VARIABLE: &str = "LONGHAUL_GUEST_TARGET_DIR";

/// A component that was just built. Its manifest, where it has one, was copied next to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltGuest {
    pub name: String,
    pub component: PathBuf,
    pub manifest: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error("{0} has no Cargo.toml, so there is nothing to build")]
    NoWorkspace(PathBuf),
    #[error("cannot run {program}: {source}; guests are built by cargo: https://rustup.rs installs it")]
    CannotRun { program: &'static str, source: io::Error },
    #[error(
        "the Rust target {TARGET} is not installed and there is no rustup to add it: install your distribution's \
         package with the standard library for it (Fedora: rust-std-static-{TARGET}, Arch: rust-wasm), or use \
         https://rustup.rs and `rustup target add {TARGET}`"
    )]
    NoTarget,
    #[error("`{command}` in {folder} failed{}: its own words are above", last_words(.output))]
    Failed { command: String, folder: PathBuf, output: String },
    #[error("cargo in {folder} answered what cannot be read: {source}")]
    Unreadable { folder: PathBuf, source: serde_json::Error },
    #[error("{folder} has no default member named '{name}'; it has: {have}")]
    NoPackage { folder: PathBuf, name: String, have: String },
    #[error("building {0} made no component: no default member is a cdylib or a program")]
    Nothing(PathBuf),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
}

fn last_words(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(" ({})", output.trim()) }
}

/// For people, before it begins.
pub fn what_is_built(workspace: &Path) -> String {
    format!("building {} (cargo build --release --target {TARGET})", workspace.display())
}

/// Whether a folder is one that [`build`] can build.
pub fn is_workspace(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file()
}

/// Whether the target is there for the toolchain that holds in `folder`.
pub fn target_installed(folder: &Path) -> Result<bool, GuestError> {
    let sysroot = output_of(folder, "rustc", &["--print", "sysroot"])?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).is_dir())
}

/// Adds the target where it is missing; `tell` gets one line when that is done.
pub fn ensure_target(folder: &Path, tell: &dyn Fn(&str)) -> Result<(), GuestError> {
    if target_installed(folder)? {
        return Ok(());
    }
    tell(&format!("the Rust target {TARGET} is missing: running `rustup target add {TARGET}`"));
    let mut rustup = clean_command(folder, "rustup");
    rustup.args(["target", "add", TARGET]).stdin(Stdio::null()).stdout(Stdio::null());
    match rustup.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(GuestError::Failed {
            command: format!("rustup target add {TARGET}"),
            folder: folder.to_owned(),
            output: status.to_string(),
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(GuestError::NoTarget),
        Err(source) => Err(GuestError::CannotRun { program: "rustup", source }),
    }
}

/// Builds the default members of the workspace in `folder`, or only `packages` where some are named. Cargo
/// speaks on stderr. Blocks for as long as that takes.
pub fn build(folder: &Path, packages: &[&str], tell: &dyn Fn(&str)) -> Result<Vec<BuiltGuest>, GuestError> {
    if !is_workspace(folder) {
        return Err(GuestError::NoWorkspace(folder.to_owned()));
    }
    ensure_target(folder, tell)?;
    let selected = selected_packages(folder, packages)?;
    let artifacts = run_cargo_build(folder, packages)?;
    let mut guests = Vec::new();
    for artifact in artifacts {
        let Some(package) = selected.iter().find(|package| package.id == artifact.package_id) else {
            continue;
        };
        let is_component = artifact.target.kind.iter().any(|kind| kind == "cdylib" || kind == "bin");
        let wasm = artifact.filenames.into_iter().find(|file| file.extension() == Some(OsStr::new("wasm")));
        if let (true, Some(component)) = (is_component, wasm) {
            let manifest = copy_manifest(package, &artifact.target.name, &component)?;
            guests.push(BuiltGuest { name: artifact.target.name, component, manifest });
        }
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    if guests.is_empty() { Err(GuestError::Nothing(folder.to_owned())) } else { Ok(guests) }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_default_members: Vec<String>,
    workspace_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Artifact {
    package_id: String,
    target: ArtifactTarget,
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct ArtifactTarget {
    name: String,
    kind: Vec<String>,
}

fn selected_packages(folder: &Path, names: &[&str]) -> Result<Vec<Package>, GuestError> {
    let text = output_of(folder, "cargo", &["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: Metadata = serde_json::from_str(&text)
        .map_err(|source| GuestError::Unreadable { folder: folder.to_owned(), source })?;
    let members =
        if names.is_empty() { &metadata.workspace_default_members } else { &metadata.workspace_members };
    let (members, _): (Vec<_>, Vec<_>) =
        metadata.packages.into_iter().partition(|package| members.contains(&package.id));
    if let Some(name) = names.iter().find(|name| members.iter().all(|package| package.name != **name)) {
        let have: Vec<&str> = members.iter().map(|package| package.name.as_str()).collect();
        return Err(GuestError::NoPackage {
            folder: folder.to_owned(),
            name: (*name).to_owned(),
            have: have.join(", "),
        });
    }
    Ok(members
        .into_iter()
        .filter(|package| names.is_empty() || names.contains(&package.name.as_str()))
        .collect())
}

fn run_cargo_build(folder: &Path, packages: &[&str]) -> Result<Vec<Artifact>, GuestError> {
    let mut cargo = clean_command(folder, "cargo");
    cargo.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    packages.iter().for_each(|name| {
        cargo.args(["-p", name]);
    });
    cargo.stdin(Stdio::null()).stdout(Stdio::piped());
    let not_run = |source| GuestError::CannotRun { program: "cargo", source };
    let mut child = cargo.spawn().map_err(not_run)?;
    let mut artifacts = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // One JSON document after another: those with `reason: compiler-artifact` name what was made.
        for message in
            serde_json::Deserializer::from_reader(BufReader::new(stdout)).into_iter::<serde_json::Value>()
        {
            let message =
                message.map_err(|source| GuestError::Unreadable { folder: folder.to_owned(), source })?;
            if message.get("reason").and_then(serde_json::Value::as_str) == Some("compiler-artifact") {
                artifacts.push(
                    serde_json::from_value(message)
                        .map_err(|source| GuestError::Unreadable { folder: folder.to_owned(), source })?,
                );
            }
        }
    }
    let status = child.wait().map_err(not_run)?;
    if !status.success() {
        return Err(GuestError::Failed {
            command: format!("cargo build --release --target {TARGET}"),
            folder: folder.to_owned(),
            output: status.to_string(),
        });
    }
    Ok(artifacts)
}

/// `NAME.toml` of the package's folder, copied next to the component so that the two travel together.
fn copy_manifest(package: &Package, name: &str, component: &Path) -> Result<Option<PathBuf>, GuestError> {
    let sibling = component.with_extension("toml");
    let folder = package.manifest_path.parent().unwrap_or(Path::new("."));
    let written = [name, &package.name].map(|stem| folder.join(format!("{stem}.toml")));
    let file = |path: &Path, source| GuestError::File { path: path.to_owned(), source };
    match written.iter().find(|path| path.is_file()) {
        Some(path) => {
            fs::copy(path, &sibling).map_err(|e| file(path, e))?;
            Ok(Some(sibling))
        }
        // What an earlier build left must not request anything any more.
        None => match fs::remove_file(&sibling) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(file(&sibling, e)),
            _ => Ok(None),
        },
    }
}

fn output_of(folder: &Path, program: &'static str, args: &[&str]) -> Result<String, GuestError> {
    let output = clean_command(folder, program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| GuestError::CannotRun { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(GuestError::Failed {
        command: format!("{program} {}", args.join(" ")),
        folder: folder.to_owned(),
        output,
    })
}

/// A command that runs in `folder` as if typed there: what an outer `cargo run` or `cargo test` set for its own
/// build (its toolchain, flags, target folder) does not hold for the guests'.
fn clean_command(folder: &Path, program: &str) -> Command {
    // Where no absolute folder of PATH has it, the system says that it is not there.
    let found = find_program(program, std::env::var_os("PATH").as_deref());
    let mut command = Command::new(found.unwrap_or_else(|| Path::new("/").join(program)));
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        if disturbs(&name) {
            command.env_remove(name);
        }
    }
    if let Some(target) = std::env::var_os(TARGET_DIR_VARIABLE) {
        command.env("CARGO_TARGET_DIR", target);
    }
    command
}

fn disturbs(name: &OsString) -> bool {
    const NAMES: [&str; 12] = [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_MAKEFLAGS",
        "MAKEFLAGS",
        "OUT_DIR",
        "TARGET",
    ];
    const PREFIXES: [&str; 8] = [
        "CARGO_BIN_",
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_CRATE_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_TARGET_",
    ];
    let name = name.to_string_lossy();
    NAMES.contains(&name.as_ref())
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name.starts_with("CARGO_PROFILE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_build_does_not_reach_the_guests() {
        for name in
            ["RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_PKG_NAME", "RUSTUP_TOOLCHAIN", "CARGO_BUILD_TARGET"]
        {
            assert!(disturbs(&name.into()), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "CARGO_NET_OFFLINE", "RUSTC_WRAPPER"] {
            assert!(!disturbs(&name.into()), "{name}");
        }
    }

    #[test]
    fn a_manifest_travels_with_its_component_and_a_stale_one_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let package = Package {
            id: String::new(),
            name: "text-stats".to_owned(),
            manifest_path: folder.path().join("package/Cargo.toml"),
        };
        let component = folder.path().join("text_stats.wasm");
        let sibling = folder.path().join("text_stats.toml");
        fs::create_dir(folder.path().join("package")).expect("a folder");
        fs::write(&sibling, "stale").expect("written");
        assert_eq!(copy_manifest(&package, "text_stats", &component).expect("done"), None);
        assert!(!sibling.exists());
        fs::write(folder.path().join("package/text_stats.toml"), "name = \"x\"").expect("written");
        assert_eq!(copy_manifest(&package, "text_stats", &component).expect("done"), Some(sibling.clone()));
        assert_eq!(fs::read_to_string(sibling).expect("there"), "name = \"x\"");
    }

    #[test]
    fn a_folder_without_cargo_toml_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = build(folder.path(), &[], &|_| ()).expect_err("nothing to build");
        assert!(error.to_string().contains("no Cargo.toml"), "{error}");
    }
}
