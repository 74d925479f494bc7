//! The example components that came with this program, where it is of a package. All packages lay them out alike:
//! `bin/longhaul` and `share/longhaul-examples/` below one folder.
//!
//! Only the program's own place says where they are: not the working folder, and no variable. What lies there is
//! believed as far as the program itself is, so no other user may be able to change it.

use std::io;
use std::path::{Path, PathBuf};

use super::exit::{CliError, Result};
use crate::private::{NotPrivate, check_installed};

/// A name of its own: `share/longhaul` is the data folder where the program is in `~/.local/bin`.
const FOLDER: &str = "share/longhaul-examples";
/// Set while a program is built that is put into a package and has no sources next to it.
const OF_A_PACKAGE: bool = option_env!("LONGHAUL_OF_A_PACKAGE").is_some();

/// Whether this program was built to be put into a package: where it was built means nothing on this machine.
pub fn of_a_package() -> bool {
    OF_A_PACKAGE
}

/// The folder of the examples, where this program has one.
pub fn folder() -> Option<PathBuf> {
    below(&own_place()?).filter(|folder| folder.is_dir())
}

/// One of them, where it came with this program.
pub fn component(name: &str) -> Result<Option<PathBuf>> {
    let Some(place) = own_place() else { return Ok(None) };
    component_of(&place, name)
}

/// Where this program's file is, links followed: a package manager may put a link to it elsewhere.
fn own_place() -> Option<PathBuf> {
    std::env::current_exe().and_then(std::fs::canonicalize).ok()
}

fn below(program: &Path) -> Option<PathBuf> {
    let bin = program.parent()?;
    (bin.file_name()? == "bin").then_some(bin.parent()?.join(FOLDER))
}

fn component_of(program: &Path, name: &str) -> Result<Option<PathBuf>> {
    let Some(folder) = below(program) else { return Ok(None) };
    let component = folder.join(name).with_extension("wasm");
    // Its manifest says what it asks for, so it is looked at as well.
    let there = checked(&component)?;
    checked(&component.with_extension("toml"))?;
    Ok(there.then_some(component))
}

fn checked(file: &Path) -> Result<bool> {
    let again = "unpack the package into a folder that no other user can write";
    check_installed(file).map_err(|error: io::Error| match NotPrivate::of(&error) {
        Some(why) => {
            CliError::refused(format_args!("{} is not used: {}", file.display(), why.what)).next(again)
        }
        None => CliError::failed(format_args!("{}: {error}", file.display())).next(again),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cli::exit::Exit;

    /// A package with one example, unpacked.
    fn unpacked(prefix: &Path) -> PathBuf {
        fs::create_dir_all(prefix.join("bin")).expect("a folder");
        fs::create_dir_all(prefix.join(FOLDER)).expect("a folder");
        for file in ["a.wasm", "a.toml"] {
            fs::write(prefix.join(FOLDER).join(file), "x").expect("written");
        }
        prefix.join("bin/longhaul")
    }

    #[test]
    fn an_example_is_found_next_to_the_bin_folder_of_its_program_and_nowhere_else() {
        let scratch = tempfile::tempdir().expect("a folder");
        let prefix = scratch.path().canonicalize().expect("a folder");
        let program = unpacked(&prefix);
        let found = component_of(&program, "a").expect("looked");
        assert_eq!(found, Some(prefix.join(FOLDER).join("a.wasm")));
        assert_eq!(component_of(&program, "b").expect("looked"), None);
        assert_eq!(component_of(&prefix.join("sbin/longhaul"), "a").expect("looked"), None);
        assert_eq!(component_of(Path::new("/longhaul"), "a").expect("looked"), None);
    }

    #[test]
    fn an_example_that_another_user_can_change_is_refused() {
        let scratch = tempfile::tempdir().expect("a folder");
        let prefix = scratch.path().canonicalize().expect("a folder");
        let program = unpacked(&prefix);
        let mode = |path: &str, mode| {
            fs::set_permissions(prefix.join(path), fs::Permissions::from_mode(mode)).expect("a mode");
        };
        for path in ["share/longhaul-examples/a.wasm", "share/longhaul-examples/a.toml", FOLDER, "share"] {
            let was = fs::metadata(prefix.join(path)).expect("there").permissions().mode();
            mode(path, was | 0o002);
            let error = component_of(&program, "a").expect_err("refused");
            assert_eq!(error.exit, Exit::Refused, "{path}: {error}");
            assert!(error.to_string().contains("is not used"), "{path}: {error}");
            mode(path, was);
        }
        assert!(component_of(&program, "a").expect("looked").is_some());
    }
}
