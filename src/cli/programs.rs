//! The programs that this one starts, as the settings have them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::args::{BUILD_GUESTS, COMPILE_COMPONENT, READ_COMPONENT, READ_SECRET, RUN_GUESTS};
use super::config::{Settings, servers};
use super::exit::{CliError, Result};
use crate::launch::{Environment, Program, Programs, Role, Stderr};
use crate::sandbox::{compiler_program, worker_program};
use crate::secrets::SecretSource;

pub fn stated(settings: &Settings) -> Result<Programs> {
    let compiler = compiler_program(own_program()?, vec![COMPILE_COMPONENT.into()]);
    let worker = worker_program(own_program()?, vec![RUN_GUESTS.into()]);
    let mut programs = Programs::from([(Role::Compiler, compiler), (Role::Worker, worker)]);
    programs.extend(servers::programs(&settings.servers));
    programs.insert(Role::Reader, own(READ_COMPONENT, None, Environment::empty())?);
    // Its own environment a server reads itself.
    for source in secret_sources(settings).iter().filter(|source| !matches!(source, SecretSource::Env(_))) {
        programs.insert(Role::Secret(source.to_string()), secret_program(source)?);
    }
    for folder in &settings.tool_paths {
        let folder = folder.as_os_str();
        let build = own(BUILD_GUESTS, Some(folder), Environment::Inherited)?;
        programs.insert(Role::Build(folder.to_owned()), build);
    }
    Ok(programs)
}

/// Where the configuration says that secrets are.
pub fn secret_sources(settings: &Settings) -> BTreeSet<SecretSource> {
    let granted = settings.operator.grants.values().flat_map(|grant| &grant.secrets);
    let granted = granted.filter_map(|secret| secret.from.parse().ok());
    let of_models = settings.models.values().filter_map(|model| model.key.clone());
    granted.chain(of_models).collect()
}

/// A keyring is found by what the session has in its environment.
fn secret_program(source: &SecretSource) -> Result<Program> {
    let environment = match source {
        SecretSource::Keyring { .. } => Environment::Inherited,
        SecretSource::Env(_) | SecretSource::File(_) => Environment::empty(),
    };
    let source = source.to_string();
    own(READ_SECRET, Some(OsStr::new(&source)), environment)
}

/// This program in another part of its own, which speaks to the server's stderr.
fn own(part: &str, word: Option<&OsStr>, environment: Environment) -> Result<Program> {
    let words = [Some(OsStr::new(part)), word].into_iter().flatten();
    Ok(Program {
        program: own_program()?.into(),
        arguments: words.map(OsStr::to_owned).collect(),
        environment,
        folder: Some("/".into()),
        stderr: Stderr::Inherited,
    })
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
