//! From `--tools PATH` to component files: a component, a folder of them, or a workspace that is built first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::guests::{self, GuestError};
use crate::cli::exit::{CliError, Result};
use crate::cli::show::render::bytes;
use crate::limits;

/// A component's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentFile {
    /// The file's name without `.wasm`.
    pub name: String,
    pub component: PathBuf,
    /// `NAME.toml` next to it.
    pub manifest: Option<PathBuf>,
    /// Built here from source: its operator's own.
    pub own: bool,
}

/// Every component that the paths name, in their order; a folder's by name. Blocks while a workspace is built.
pub fn find(paths: &[PathBuf], tell: &dyn Fn(&str)) -> Result<Vec<ComponentFile>> {
    let mut found: Vec<ComponentFile> = Vec::new();
    for path in paths {
        for file in find_at(path, tell)? {
            if !found.iter().any(|there| there.component == file.component) {
                found.push(file);
            }
        }
    }
    Ok(found)
}

/// The component's bytes; one that is larger than any may be is not read.
pub fn read(file: &ComponentFile) -> Result<Arc<[u8]>> {
    let path = &file.component;
    let size = fs::metadata(path).map_err(|e| unreadable(path, &e))?.len();
    if size > limits::MAX_COMPONENT_BYTES as u64 {
        let limit = bytes(limits::MAX_COMPONENT_BYTES as u64);
        return Err(CliError::failed(format_args!(
            "{} is {}; a component has at most {limit}",
            path.display(),
            bytes(size)
        )));
    }
    Ok(fs::read(path).map_err(|e| unreadable(path, &e))?.into())
}

fn find_at(path: &Path, tell: &dyn Fn(&str)) -> Result<Vec<ComponentFile>> {
    let kind = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if kind.is_file() {
        return Ok(vec![with_manifest(path)]);
    }
    if guests::is_workspace(path) {
        tell(&format!("building {} (cargo build --release --target {})", path.display(), guests::TARGET));
        let built = guests::build(path, &[], tell)?;
        return Ok(built.into_iter().map(ComponentFile::from).collect());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| unreadable(path, &e))? {
        let file = entry.map_err(|e| unreadable(path, &e))?.path();
        if file.extension().is_some_and(|extension| extension == "wasm") && file.is_file() {
            found.push(with_manifest(&file));
        }
    }
    if found.is_empty() {
        return Err(CliError::failed(format_args!(
            "{} has neither a .wasm file nor a Cargo.toml: there are no tools in it",
            path.display()
        ))
        .next(
            "longhaul serve --tools PATH takes a component, a folder of components, or a Cargo workspace",
        ));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn with_manifest(component: &Path) -> ComponentFile {
    let manifest = component.with_extension("toml");
    ComponentFile {
        name: component.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        component: component.to_owned(),
        manifest: manifest.is_file().then_some(manifest),
        own: false,
    }
}

impl From<guests::BuiltGuest> for ComponentFile {
    fn from(built: guests::BuiltGuest) -> Self {
        Self { name: built.name, component: built.component, manifest: built.manifest, own: true }
    }
}

impl From<GuestError> for CliError {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::NoWorkspace(_) | GuestError::NoPackage { .. } => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    let text = format!("cannot read {}: {error}", path.display());
    if error.kind() == io::ErrorKind::NotFound { CliError::not_found(text) } else { CliError::failed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn a_folder_gives_its_components_by_name_each_once() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.wasm", "a.wasm", "a.toml", "notes.txt"] {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        let paths = [folder.path().to_owned(), folder.path().join("b.wasm")];
        let found = find(&paths, &|_| ()).expect("found");
        let names: Vec<_> =
            found.iter().map(|file| (file.name.as_str(), file.manifest.is_some(), file.own)).collect();
        assert_eq!(names, [("a", true, false), ("b", false, false)]);
    }

    #[test]
    fn a_path_that_leads_nowhere_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let exit = |path: PathBuf| find(&[path], &|_| ()).expect_err("nothing there").exit;
        assert_eq!(exit(folder.path().join("missing.wasm")), Exit::NotFound);
        assert_eq!(exit(folder.path().to_owned()), Exit::Failed);
    }

    #[test]
    fn a_component_larger_than_any_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let component = folder.path().join("huge.wasm");
        let file = fs::File::create(&component).expect("created");
        file.set_len(limits::MAX_COMPONENT_BYTES as u64 + 1).expect("sparse");
        let error = read(&with_manifest(&component)).expect_err("too large");
        assert!(error.message.contains("64.0 MiB"), "{error}");
    }
}
