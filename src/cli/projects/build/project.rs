use std::fs;
use std::path::{Path, PathBuf};

use crate::catalog::is_component_name;
use crate::cli::projects::error::ProjectError;

/// Files of other programs, which are no manifests of tools.
const NO_MANIFESTS: &[&str] =
    &["pyproject.toml", "longhaul.toml", "Cargo.toml", "rust-toolchain.toml", "ruff.toml", "mise.toml"];

/// A folder, and what its component is called.
pub struct Project {
    pub folder: PathBuf,
    /// By its manifest; without one, as the folder.
    pub name: String,
    pub manifest: Option<PathBuf>,
}

impl Project {
    pub fn of(folder: &Path) -> Result<Self, ProjectError> {
        // What runs in it is given paths, and each is to be found from there.
        let folder = fs::canonicalize(folder).map_err(ProjectError::file(folder))?;
        let manifests = named(&folder, |name| {
            name.ends_with(".toml") && !name.starts_with('.') && !NO_MANIFESTS.contains(&name)
        })?;
        let (name, manifest) = match manifests.as_slice() {
            [] => {
                (folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(), None)
            }
            [one] => (one.trim_end_matches(".toml").to_owned(), Some(folder.join(one))),
            several => {
                let next = "keep one NAME.toml in the project's folder: the component is called NAME";
                return Err(which(&folder, "the manifest", several, next));
            }
        };
        if !is_component_name(&name) {
            let wrong = format!("'{name}' is no name for a component; a manifest NAME.toml gives it one");
            return Err(ProjectError::Setting { path: folder, wrong });
        }
        Ok(Self { folder, name, manifest })
    }

    /// Where the component is made.
    pub fn out(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// Its files whose names fit, in their order.
    pub fn files(&self, fits: impl Fn(&str) -> bool) -> Result<Vec<String>, ProjectError> {
        named(&self.folder, fits)
    }

    /// The file that is the tool: `tool.EXT`, or the only one that is left.
    pub fn source(
        &self,
        extension: &str,
        passed_over: impl Fn(&str) -> bool,
    ) -> Result<String, ProjectError> {
        let tool = format!("tool{extension}");
        let files = named(&self.folder, |name| name.ends_with(extension) && !passed_over(name))?;
        match files.as_slice() {
            [one] => Ok(one.clone()),
            files if files.contains(&tool) => Ok(tool),
            files => Err(which(&self.folder, "the tool", files, "call it tool.py, or tool.js")),
        }
    }
}

fn which(folder: &Path, what: &'static str, files: &[String], next: &'static str) -> ProjectError {
    let seen = if files.is_empty() { "none".to_owned() } else { files.join(", ") };
    ProjectError::Which { what, folder: folder.to_owned(), seen, next }
}

/// The names of files in a folder that fit, in their order.
fn named(folder: &Path, fits: impl Fn(&str) -> bool) -> Result<Vec<String>, ProjectError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(ProjectError::file(folder))? {
        let entry = entry.map_err(ProjectError::file(folder))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if fits(&name) && entry.path().is_file() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join(name);
        fs::create_dir(&folder).expect("made");
        files.iter().for_each(|file| fs::write(folder.join(file), "").expect("written"));
        (root, folder)
    }

    #[test]
    fn a_component_is_called_as_its_manifest_or_as_the_folder() {
        let (_root, path) = folder("words-1", &["pyproject.toml"]);
        assert_eq!(Project::of(&path).expect("a project").name, "words-1");
        fs::write(path.join("count.toml"), "").expect("written");
        assert_eq!(Project::of(&path).expect("a project").name, "count");
        fs::write(path.join("other.toml"), "").expect("written");
        let said = Project::of(&path).err().expect("which?").to_string();
        assert!(said.contains("count.toml, other.toml"), "{said}");
        let (_root, path) = folder("two words", &[]);
        assert!(Project::of(&path).err().expect("no name").to_string().contains("'two words' is no name"));
    }

    #[test]
    fn the_tool_is_the_file_of_that_name_or_the_only_one() {
        let source = |files: &[&str]| {
            let (_root, path) = folder("words", files);
            Project::of(&path).expect("a project").source(".py", |name| name == "longhaul.py")
        };
        assert_eq!(source(&["longhaul.py", "table.py"]).expect("one"), "table.py");
        assert_eq!(source(&["longhaul.py", "table.py", "tool.py"]).expect("that name"), "tool.py");
        assert!(source(&["a.py", "b.py"]).expect_err("two").to_string().contains("a.py, b.py"));
        assert!(source(&["longhaul.py"]).expect_err("none").to_string().contains("There is none"));
    }
}
