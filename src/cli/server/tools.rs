//! From `--tools PATH` to component files: a component, a folder of them, or a workspace that is built first.

use std::path::{Path, PathBuf};

use super::guests::{self, GuestError};
use crate::catalog::{ComponentFile, ToolPath};
use crate::cli::exit::{CliError, Result};

/// Every component that the paths name, in their order; a folder's by name. Blocks while a workspace is built.
pub fn find(paths: &[PathBuf], tell: &dyn Fn(&str)) -> Result<Vec<ComponentFile>> {
    let mut found: Vec<ComponentFile> = Vec::new();
    for path in paths {
        for file in find_at(path, tell)? {
            if !found.iter().any(|there| there.path == file.path) {
                found.push(file);
            }
        }
    }
    Ok(found)
}

fn find_at(path: &Path, tell: &dyn Fn(&str)) -> Result<Vec<ComponentFile>> {
    if !path.exists() {
        return Err(CliError::not_found(format_args!("{}: there is no such file or folder", path.display())));
    }
    let looked = ToolPath::look(path).map_err(|error| {
        CliError::failed(error).next(
            "longhaul serve --tools PATH takes a component (a .wasm file), a folder of components, or a Cargo workspace",
        )
    })?;
    match looked {
        ToolPath::Components(paths) => Ok(paths.iter().map(|path| ComponentFile::at(path)).collect()),
        ToolPath::Workspace(_) => build(path, tell),
    }
}

/// The workspace's guests, built now.
fn build(workspace: &Path, tell: &dyn Fn(&str)) -> Result<Vec<ComponentFile>> {
    tell(&guests::what_is_built(workspace));
    let built = guests::build(workspace, &[], tell)?;
    Ok(built.into_iter().map(ComponentFile::from).collect())
}

impl From<guests::BuiltGuest> for ComponentFile {
    fn from(built: guests::BuiltGuest) -> Self {
        Self { name: built.name, path: built.component, own: true }
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

#[cfg(test)]
mod tests {
    use std::fs;

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
        let names: Vec<_> = found.iter().map(|file| (file.name.as_str(), file.own)).collect();
        assert_eq!(names, [("a", false), ("b", false)]);
    }

    #[test]
    fn a_path_that_leads_nowhere_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let exit = |path: PathBuf| find(&[path], &|_| ()).expect_err("nothing there").exit;
        assert_eq!(exit(folder.path().join("missing.wasm")), Exit::NotFound);
        assert_eq!(exit(folder.path().to_owned()), Exit::Failed);
    }
}
