//! `longhaul tool wit`

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::cli::args::WitArgs;
use crate::cli::exit::{CliError, Result};
use crate::cli::show::render::Output;
use crate::sandbox::TOOL_WIT;

pub fn run(args: &WitArgs, output: Output) -> Result<()> {
    if let Some(path) = &args.out {
        write(path)?;
        if !output.json {
            return Ok(());
        }
        return output.json(&json!({ "file": path }));
    }
    match output.json {
        true => output.json(&json!({ "wit": TOOL_WIT })),
        false => output.raw(TOOL_WIT.as_bytes()),
    }
}

fn write(path: &Path) -> Result<()> {
    let failed =
        |error: io::Error| CliError::failed(format_args!("cannot write {}: {error}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(TOOL_WIT.as_bytes()).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let says_the_same = fs::read(path).map_err(failed)? == TOOL_WIT.as_bytes();
            let is_there = format!("{} is there, and says something else", path.display());
            says_the_same.then_some(()).ok_or_else(|| {
                CliError::refused(is_there).next("look at it and remove it, or name another file with --out")
            })
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn it_is_written_with_its_folders_and_never_over_another_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("wit/deps/longhaul-tool/tool.wit");
        write(&file).expect("written");
        assert_eq!(fs::read_to_string(&file).expect("there"), TOOL_WIT);
        write(&file).expect("the same already");
        fs::write(&file, "package mine;").expect("written");
        let error = write(&file).expect_err("another file");
        assert_eq!(error.exit, Exit::Refused);
        assert!(error.to_string().contains("says something else"), "{error}");
        assert_eq!(fs::read_to_string(&file).expect("there"), "package mine;");
    }
}
