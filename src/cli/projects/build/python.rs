//! Python, by componentize-py.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::project::Project;
use super::run::run;
use crate::cli::projects::error::ProjectError;
use crate::cli::projects::files::INSTALL_PYTHON;
use crate::launch::find_program;

pub fn build(project: &Project, out: &Path, tell: &dyn Fn(&str)) -> Result<(), ProjectError> {
    let source = project.source(".py", |name| {
        matches!(name, "longhaul.py" | "conftest.py" | "setup.py")
            || name.starts_with("test_")
            || name.ends_with("_test.py")
    })?;
    let builder = builder(&project.folder)?;
    tell(&format!("building {} (componentize-py, {source})", project.folder.display()));
    let mut command = Command::new(builder);
    // Some of its releases leave bindings where they stand.
    command.current_dir(project.out()).env("PYTHONDONTWRITEBYTECODE", "1");
    let venv = project.folder.join(".venv");
    if venv.is_dir() {
        command.env("VIRTUAL_ENV", venv);
    }
    command.arg("-d").arg(project.folder.join("wit")).arg("componentize").arg(source.trim_end_matches(".py"));
    command.arg("-p").arg(&project.folder).arg("-o").arg(out);
    run(&mut command, &project.folder, "")
}

/// The project's own, else the one of this machine.
fn builder(folder: &Path) -> Result<PathBuf, ProjectError> {
    let own = folder.join(".venv/bin/componentize-py");
    if own.is_file() {
        return Ok(own);
    }
    find_program("componentize-py", std::env::var_os("PATH").as_deref()).ok_or_else(|| {
        ProjectError::Missing {
            what: "componentize-py".to_owned(),
            folder: folder.to_owned(),
            install: INSTALL_PYTHON.to_owned(),
        }
    })
}
