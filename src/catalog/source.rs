//! What `serve --tools PATH` may name, and reading components from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{FileError, has_ending, read_file};
use super::requests::RequestText;
use crate::limits;

/// What a path to tools turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolPath {
    /// Component files, sorted by name.
    Components(Vec<PathBuf>),
    /// The `Cargo.toml` of a workspace (or package) of guests, to be built first.
    Workspace(PathBuf),
}

/// A component's file. What stands next to it belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentFile {
    pub path: PathBuf,
    /// The file's name without `.wasm`.
    pub name: String,
    /// Built here from source: its operator's own.
    pub own: bool,
}

impl ToolPath {
    /// Looks at a `.wasm` file, a folder of them (not at folders below), or a folder with a `Cargo.toml`.
    pub fn look(path: &Path) -> Result<Self, FileError> {
        let kind = std::fs::metadata(path).map_err(|error| {
            FileError::new(
                path,
                format!(
                    "cannot be read: {error}; tools are a .wasm file, a folder of them, or a Cargo workspace"
                ),
            )
        })?;
        if !kind.is_dir() {
            if has_ending(path, "wasm") {
                return Ok(Self::Components(vec![path.to_owned()]));
            }
            return Err(FileError::new(path, "is neither a .wasm file nor a folder"));
        }
        let cargo = path.join("Cargo.toml");
        if cargo.is_file() {
            return Ok(Self::Workspace(cargo));
        }
        let failed = |error: std::io::Error| FileError::new(path, format!("cannot be listed: {error}"));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if has_ending(&file, "wasm") && file.is_file() {
                found.push(file);
            }
        }
        if found.is_empty() {
            return Err(FileError::new(path, "holds no .wasm file and is no Cargo workspace"));
        }
        found.sort();
        Ok(Self::Components(found))
    }
}

impl ComponentFile {
    /// A file that comes from elsewhere.
    pub fn at(path: &Path) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { path: path.to_owned(), name, own: false }
    }

    /// The component's bytes; one that is larger than any may be is not read.
    pub fn bytes(&self) -> Result<Arc<[u8]>, FileError> {
        Ok(read_file(&self.path, limits::MAX_COMPONENT_BYTES as u64)?.into())
    }

    /// What it requests, in its author's words.
    pub fn requests(&self) -> Result<RequestText, FileError> {
        RequestText::next_to(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn error_of(path: &Path) -> String {
        ToolPath::look(path).expect_err("refused").to_string()
    }

    #[test]
    fn a_folder_gives_its_components_in_order_and_nothing_below() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["b.wasm", "a.wasm", "a.toml", "notes.txt"] {
            fs::write(at(name), "").expect("written");
        }
        fs::create_dir_all(at("deps.wasm")).expect("a folder");
        fs::create_dir_all(at("below")).expect("a folder");
        fs::write(at("below/c.wasm"), "").expect("written");
        assert_eq!(ToolPath::look(folder.path()), Ok(ToolPath::Components(vec![at("a.wasm"), at("b.wasm")])));
        assert_eq!(ToolPath::look(&at("b.wasm")), Ok(ToolPath::Components(vec![at("b.wasm")])));
        fs::write(at("Cargo.toml"), "").expect("written");
        assert_eq!(ToolPath::look(folder.path()), Ok(ToolPath::Workspace(at("Cargo.toml"))));
        assert!(error_of(&at("notes.txt")).contains("notes.txt: is neither a .wasm file nor a folder"));
        assert!(error_of(&at("none")).contains("none: cannot be read"));
        fs::create_dir(at("empty")).expect("a folder");
        assert!(error_of(&at("empty")).contains("holds no .wasm file"));
    }

    #[test]
    fn a_component_that_is_too_large_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("big.wasm");
        let file = fs::File::create(&path).expect("a file");
        file.set_len(limits::MAX_COMPONENT_BYTES as u64 + 1).expect("a hole");
        let seen = ComponentFile::at(&path).bytes().expect_err("refused").to_string();
        assert!(seen.contains("big.wasm: is larger than 67108864 bytes"), "{seen}");
    }
}
