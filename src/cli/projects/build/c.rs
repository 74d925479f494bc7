//! C, by clang with wasi-libc: a core module for the first preview of WASI, which is made a component here.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::project::Project;
use super::run::run;
use super::world::World;
use crate::cli::projects::error::ProjectError;
use crate::launch::find_program;

/// The first that the compiler has a library for is taken. The second is the older name of the same.
const TARGETS: &[&str] = &["wasm32-wasip1", "wasm32-wasi"];
/// What is not the tool's: programs that test it on this machine.
const TEST: &str = "test_";

pub fn build(project: &Project, out: &Path, tell: &dyn Fn(&str)) -> Result<(), ProjectError> {
    let wit = project.folder.join("wit");
    let wrong = |wrong| ProjectError::Setting { path: wit.clone(), wrong };
    let world = World::read(&wit).map_err(wrong)?;
    let sources = project.files(|name| name.ends_with(".c") && !name.starts_with(TEST))?;
    let compiler = Compiler::find()?;
    tell(&format!("building {} (clang --target={})", project.folder.display(), compiler.target));
    let folder = project.out().join("bindings");
    let bindings = write(&folder, world.bindings().map_err(wrong)?, &sources)?;
    let module = out.with_extension("core");
    let mut command = compiler.command();
    command.current_dir(&project.folder).args(["-mexec-model=reactor", "-Os", "-Wall", "-I."]);
    command.arg("-I").arg(&folder).arg("-o").arg(&module).args(sources).args(bindings);
    run(&mut command, &project.folder, "")?;
    let bytes = fs::read(&module).map_err(ProjectError::file(&module))?;
    fs::remove_file(&module).map_err(ProjectError::file(&module))?;
    let component =
        world.component(bytes).map_err(|wrong| ProjectError::NoComponent { path: wit.clone(), wrong })?;
    fs::write(out, component).map_err(ProjectError::file(out))
}

/// Writes them where an editor finds them too, and returns those that are compiled. A project's own file of a name is taken in
/// the place of the one that would be made.
fn write(folder: &Path, files: Vec<(String, Vec<u8>)>, own: &[String]) -> Result<Vec<PathBuf>, ProjectError> {
    fs::create_dir_all(folder).map_err(ProjectError::file(folder))?;
    let mut compiled = Vec::new();
    for (name, text) in files {
        let path = folder.join(&name);
        fs::write(&path, text).map_err(ProjectError::file(&path))?;
        if name.ends_with(".c") && !own.contains(&name) {
            compiled.push(path);
        }
    }
    Ok(compiled)
}

struct Compiler {
    clang: PathBuf,
    target: &'static str,
}

impl Compiler {
    /// That of wasi-sdk where the environment names one, else the one of this machine, with all that it needs for the target.
    fn find() -> Result<Self, ProjectError> {
        let clang = match std::env::var_os("WASI_SDK_PATH") {
            Some(sdk) => Path::new(&sdk).join("bin/clang"),
            None => find_program("clang", std::env::var_os("PATH").as_deref())
                .ok_or(ProjectError::NoCompiler("clang"))?,
        };
        for target in TARGETS {
            let compiler = Self { clang: clang.clone(), target };
            if !compiler.has("-print-file-name=crt1-reactor.o")? {
                continue;
            }
            if !compiler.has("-print-libgcc-file-name")? {
                return Err(ProjectError::NoCompiler("runtime library of clang for wasm32"));
            }
            if !compiler.has("-print-prog-name=wasm-ld")? {
                return Err(ProjectError::NoCompiler("wasm-ld, the linker of lld,"));
            }
            return Ok(compiler);
        }
        Err(ProjectError::NoCompiler("wasi-libc"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.clang);
        let mut target = OsString::from("--target=");
        target.push(self.target);
        command.arg(target);
        command
    }

    /// Whether it finds what the question is for. What it does not find it answers as it was asked, without a folder.
    fn has(&self, question: &str) -> Result<bool, ProjectError> {
        let answer = self.command().arg(question).output().map_err(|source| ProjectError::CannotRun {
            program: self.clang.display().to_string(),
            source,
        })?;
        let path = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
        Ok(path.is_absolute() && path.exists())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_are_there_for_editors_and_a_projects_own_are_taken_in_their_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = |own: &[String]| {
            let files = vec![("w.h".to_owned(), b"//".to_vec()), ("w.c".to_owned(), b"//".to_vec())];
            write(folder.path(), files, own).expect("written")
        };
        assert_eq!(made(&["tool.c".to_owned()]), [folder.path().join("w.c")]);
        assert!(folder.path().join("w.h").is_file());
        assert!(made(&["w.c".to_owned()]).is_empty());
    }
}
