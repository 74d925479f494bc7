use std::io;
use std::path::PathBuf;

use super::files::INSTALL_C;
use crate::cli::exit::CliError;
use crate::cli::show::render::shell_word;

#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error(
        "'{0}' is no name for a tool: it begins with a letter and goes on with letters, digits and _, in lower case"
    )]
    Name(String),
    #[error("'{0}' is the name of something else that a project has, or is built with")]
    Taken(String),
    #[error("{} is there already", .0.display())]
    IsThere(PathBuf),
    #[error(
        "{} has nothing that is built: a Cargo.toml, or a package.json that names componentize-js or componentize-qjs, or a \
         requirements.txt that names componentize-py, or files of C",
        .0.display()
    )]
    Nothing(PathBuf),
    #[error("{what} is missing in {}", .folder.display())]
    Missing { what: String, folder: PathBuf, install: String },
    #[error("there is no node, which makes components of JavaScript")]
    NoNode,
    #[error("there is no {0} on this machine, which C is built with")]
    NoCompiler(&'static str),
    #[error("what clang made is no component of the world in {}: {wrong}", .path.display())]
    NoComponent { path: PathBuf, wrong: String },
    #[error("which file of {} is {what}? There is {seen}", .folder.display())]
    Which { what: &'static str, folder: PathBuf, seen: String, next: &'static str },
    #[error("{}: {wrong}", .path.display())]
    Setting { path: PathBuf, wrong: String },
    #[error("{program} in {} failed ({how}): its own words are above", .folder.display())]
    Failed { program: String, folder: PathBuf, how: String },
    #[error("cannot run {program}: {source}")]
    CannotRun { program: String, source: io::Error },
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
}

impl ProjectError {
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

impl From<ProjectError> for CliError {
    fn from(error: ProjectError) -> Self {
        let said = error.to_string();
        match error {
            ProjectError::Taken(name) => {
                Self::usage(said).next(format!("longhaul tool new {name}_tool --lang python"))
            }
            ProjectError::Name(_) => Self::usage(said).next("longhaul tool new word_count --lang python"),
            ProjectError::IsThere(_) => {
                Self::refused(said).next("name another folder, or look at it and remove it")
            }
            ProjectError::Nothing(_) => {
                Self::usage(said).next("longhaul tool new NAME --lang python makes a project")
            }
            ProjectError::Missing { install, folder, .. } => {
                Self::failed(said).next(format!("cd {} && {install}", shell_word(folder.as_os_str())))
            }
            ProjectError::NoNode => Self::failed(said).next(
                "install Node.js 20 or later: https://nodejs.org, or your distribution's nodejs and npm",
            ),
            ProjectError::NoCompiler(_) => Self::failed(said).next(format!(
                "{INSTALL_C}, or set WASI_SDK_PATH to the folder of https://github.com/WebAssembly/wasi-sdk"
            )),
            ProjectError::NoComponent { .. } => Self::failed(said).next(
                "define each function that the world exports, as build/bindings has it declared, and build again",
            ),
            ProjectError::Which { next, .. } => Self::usage(said).next(next),
            ProjectError::Setting { .. } => Self::usage(said),
            _ => Self::failed(said),
        }
    }
}
