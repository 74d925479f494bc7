//! Lives here: what `tool build` does in a folder that is no Cargo workspace: it finds the language by what is there, and runs
//! what builds it. Nothing is installed: what is missing is named with the command for it.
//! May import: the files of `kits/`, how programs are found. Never here: cargo.
//! Read first: this file, then `python.rs`.

mod c;
mod javascript;
mod project;
mod python;
mod run;
mod world;

use std::fs;
use std::path::Path;

use self::project::Project;
use super::error::ProjectError;
use crate::cli::server::guests::BuiltGuest;

/// Builds the project in `folder`; `tell` gets one line before it begins. Blocks for as long as that takes.
pub fn build(folder: &Path, tell: &dyn Fn(&str)) -> Result<BuiltGuest, ProjectError> {
    let project = Project::of(folder)?;
    if folder.join("package.json").is_file() {
        return made(&project, |out| javascript::build(&project, out, tell));
    }
    if folder.join("requirements.txt").is_file() {
        return made(&project, |out| python::build(&project, out, tell));
    }
    if !project.files(|name| name.ends_with(".c"))?.is_empty() {
        return made(&project, |out| c::build(&project, out, tell));
    }
    Err(ProjectError::Nothing(folder.to_owned()))
}

/// The component takes its name once it is whole, with the manifest next to it: a server that watches the folder sees neither
/// a half of it nor the one without the other.
fn made(
    project: &Project,
    make: impl FnOnce(&Path) -> Result<(), ProjectError>,
) -> Result<BuiltGuest, ProjectError> {
    let out = project.out();
    fs::create_dir_all(&out).map_err(ProjectError::file(&out))?;
    let part = out.join(format!(".{}.part", project.name));
    if let Err(error) = make(&part) {
        let _ = fs::remove_file(&part);
        // Where nothing was built before, nothing is left; one that holds something stays.
        let _ = fs::remove_dir(&out);
        return Err(error);
    }
    let component = out.join(format!("{}.wasm", project.name));
    let manifest = component.with_extension("toml");
    let copied = match &project.manifest {
        Some(written) => {
            fs::copy(written, &manifest).map_err(ProjectError::file(written))?;
            Some(manifest)
        }
        // What an earlier build left must not request anything any more.
        None => match fs::remove_file(&manifest) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ProjectError::file(&manifest)(error));
            }
            _ => None,
        },
    };
    fs::rename(&part, &component).map_err(ProjectError::file(&part))?;
    Ok(BuiltGuest { name: project.name.clone(), component, manifest: copied })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            fs::write(root.path().join(path), text).expect("written");
        }
        root
    }

    fn refused(files: &[(&str, &str)]) -> String {
        let error = build(project(files).path(), &|_| {}).expect_err("it cannot be built");
        crate::cli::exit::CliError::from(error).to_string()
    }

    #[test]
    fn what_is_missing_is_named_with_its_command() {
        let manifest = ("words.toml", "");
        let said = refused(&[
            manifest,
            ("package.json", "{\"devDependencies\": {\"componentize-qjs\": \"1\"}}"),
            ("tool.js", ""),
        ]);
        assert!(said.contains("componentize-qjs") && said.contains("&& npm install"), "{said}");
        let said = refused(&[manifest]);
        assert!(
            said.contains("has nothing that is built")
                && said.contains("files of C")
                && said.contains("longhaul tool new"),
            "{said}"
        );
    }

    #[test]
    fn settings_that_cannot_be_are_named_with_their_place() {
        let of = |text: &str| refused(&[("words.toml", ""), ("package.json", text), ("tool.js", "")]);
        let said = of("{");
        assert!(said.contains("package.json") && said.contains("EOF"), "{said}");
        assert!(of("{\"longhaul\": {\"engine\": \"v8\"}}").contains("unknown variant `v8`"));
        assert!(of("{\"longhaul\": {\"engines\": \"quickjs\"}}").contains("unknown field `engines`"));
        assert!(of("{}").contains("neither @bytecodealliance/componentize-js nor componentize-qjs"));
    }

    #[test]
    fn a_manifest_goes_along_with_a_whole_component_alone() {
        let root = project(&[("words.toml", "name = \"words\"")]);
        let seen = Project::of(root.path()).expect("a project");
        let failed = made(&seen, |_| Err(ProjectError::Nothing(root.path().to_owned())));
        assert!(failed.is_err() && !seen.out().exists());
        let built =
            made(&seen, |part| fs::write(part, "x").map_err(ProjectError::file(part))).expect("built");
        assert_eq!(built.component, root.path().join("build/words.wasm"));
        assert_eq!(
            fs::read_to_string(built.manifest.expect("a manifest")).expect("there"),
            "name = \"words\""
        );
        fs::remove_file(root.path().join("words.toml")).expect("removed");
        let seen = Project { manifest: None, ..seen };
        let built =
            made(&seen, |part| fs::write(part, "x").map_err(ProjectError::file(part))).expect("built");
        assert!(built.manifest.is_none() && !root.path().join("build/words.toml").exists());
    }
}
