//! The programs that this one starts, as the settings have them.

use std::path::{Path, PathBuf};

use super::args::COMPILE_COMPONENT;
use super::config::{Settings, servers};
use super::exit::{CliError, Result};
use crate::launch::{Programs, Role};
use crate::sandbox::compiler_program;

pub fn stated(settings: &Settings) -> Result<Programs> {
    let compiler = compiler_program(own_program()?, vec![COMPILE_COMPONENT.into()]);
    let mut programs = Programs::from([(Role::Compiler, compiler)]);
    programs.extend(servers::programs(&settings.servers));
    Ok(programs)
}

/// This very program, also once its file was replaced by another version.
pub fn own_program() -> Result<PathBuf> {
    let open = Path::new("/proc/self/exe");
    if open.exists() {
        return Ok(open.to_owned());
    }
    std::env::current_exe()
        .map_err(|error| CliError::failed(format_args!("cannot find this program: {error}")))
}
