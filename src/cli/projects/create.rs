//! `tool new`: a folder that was not there before, whole or not at all.

use std::fs::{self, DirBuilder};
use std::path::Path;

use super::error::ProjectError;
use super::files::{self, PLACEHOLDER};
use crate::catalog::is_tool_name;
use crate::cli::args::Language;

/// Names of files and packages that a project has for something else, and words that cargo takes for no package.
#[rustfmt::skip]
const TAKEN: &[&str] = &[
    "longhaul", "longhaul_guest", "pyproject", "serde", "std", "core", "alloc", "test",
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern", "false", "fn", "for", "gen", "if",
    "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self", "static", "struct", "super", "trait",
    "true", "try", "type", "unsafe", "use", "where", "while", "yield",
];

pub struct Created {
    pub name: String,
    pub files: Vec<String>,
    /// The command that installs what builds it.
    pub install: Option<&'static str>,
}

/// Makes the project; the folder's last part is the tool's name.
pub fn create(folder: &Path, language: Language) -> Result<Created, ProjectError> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| folder.display().to_string());
    if !is_name(&name) {
        return Err(ProjectError::Name(name));
    }
    if TAKEN.contains(&name.as_str()) {
        return Err(ProjectError::Taken(name));
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(ProjectError::file(parent))?;
    }
    DirBuilder::new().create(folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => ProjectError::IsThere(folder.to_owned()),
        _ => ProjectError::File { path: folder.to_owned(), source: error },
    })?;
    match write(folder, &name, language) {
        Ok(files) => Ok(Created { name, files, install: files::install(language) }),
        Err(error) => {
            // It was made above, and half a project would be refused as a folder that is there.
            let _ = fs::remove_dir_all(folder);
            Err(error)
        }
    }
}

fn write(folder: &Path, name: &str, language: Language) -> Result<Vec<String>, ProjectError> {
    let mut written = Vec::new();
    for (path, text) in files::of(language) {
        let path = path.replace(PLACEHOLDER, name);
        let file = folder.join(&path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(ProjectError::file(parent))?;
        }
        fs::write(&file, text.replace(PLACEHOLDER, name)).map_err(ProjectError::file(&file))?;
        written.push(path);
    }
    Ok(written)
}

/// A tool's name that is also one of a package and of a namespace of shared state.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    is_tool_name(name) && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::{CliError, Exit};

    #[test]
    fn a_project_has_its_name_in_place_of_the_templates() {
        let root = tempfile::tempdir().expect("a folder");
        for (at, language) in [Language::Python, Language::JavaScript, Language::Rust].into_iter().enumerate()
        {
            let folder = root.path().join(format!("deep/er{at}/word_count"));
            let made = create(&folder, language).expect("made");
            assert_eq!(made.name, "word_count");
            for file in &made.files {
                assert!(!file.contains(PLACEHOLDER), "{file}");
                let text = fs::read_to_string(folder.join(file)).expect("there");
                assert!(!text.contains(PLACEHOLDER), "{file} says {PLACEHOLDER}");
            }
            let manifest = fs::read_to_string(folder.join("word_count.toml")).expect("there");
            assert!(manifest.contains("state = [\"word_count\"]"), "{manifest}");
        }
    }

    #[test]
    fn a_folder_that_is_there_is_left_as_it_is() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("mine");
        fs::create_dir(&folder).expect("made");
        let refused = create(&folder, Language::Python).err().map(CliError::from).expect("refused");
        assert_eq!(refused.exit, Exit::Refused);
        assert!(refused.message.contains("is there already"), "{refused}");
        assert_eq!(fs::read_dir(&folder).expect("there").count(), 0);
    }

    #[test]
    fn what_is_no_name_of_a_tool_makes_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        for name in [
            "",
            "..",
            "Words",
            "1st",
            "two words",
            "wörter",
            "word-count",
            "pyproject",
            "fn",
            &"w".repeat(65),
        ] {
            let refused = create(&root.path().join(name), Language::Rust).err().map(CliError::from);
            assert!(refused.is_some_and(|refused| refused.exit != Exit::Done), "{name}");
        }
        assert_eq!(fs::read_dir(root.path()).expect("there").count(), 0);
    }
}
