//! The programs that this one starts, as the settings have them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::args::{
    BUILD_GUESTS, COMPILE_COMPONENT, HOLD_FOLDER, READ_BOUND_SECRET, READ_COMPONENT, READ_SECRET, RUN_GUESTS,
    folder_words,
};
use super::config::{FoldersSettings, Settings, servers};
use super::exit::{CliError, Result};
use crate::authority::Access;
use crate::catalog::Lock;
use crate::files::MayHold;
use crate::launch::{Environment, Program, Programs, Role, Stderr};
use crate::sandbox::{compiler_program, worker_program};
use crate::secrets::SecretSource;

pub fn stated(settings: &Settings) -> Result<Programs> {
    let compiler = compiler_program(own_program()?, vec![COMPILE_COMPONENT.into()]);
    let worker = worker_program(own_program()?, vec![RUN_GUESTS.into()]);
    let mut programs = Programs::from([(Role::Compiler, compiler), (Role::Worker, worker)]);
    programs.extend(servers::programs(&settings.servers));
    programs.insert(Role::Folder, folder_program(settings)?);
    programs.insert(Role::Reader, own(READ_COMPONENT, &[], Environment::ours())?);
    // Its own environment a server reads itself.
    for source in secret_sources(settings).iter().filter(|source| !matches!(source, SecretSource::Env(_))) {
        programs.insert(Role::Secret(source.to_string()), secret_program(source)?);
    }
    if let Some(bindings) = &settings.bindings {
        let data = std::path::absolute(&settings.data).unwrap_or_else(|_| settings.data.clone());
        let words = [bindings.as_os_str(), data.as_os_str()];
        // A keyring is found by what the session has in its environment.
        programs.insert(Role::BoundSecret, own(READ_BOUND_SECRET, &words, Environment::Inherited)?);
    }
    for folder in &settings.tool_paths {
        let folder = folder.as_os_str();
        let build = own(BUILD_GUESTS, &[folder], Environment::Inherited)?;
        programs.insert(Role::Build(folder.to_owned()), build);
    }
    Ok(programs)
}

/// Where the configuration, and the lock file that it names, say that secrets are.
pub fn secret_sources(settings: &Settings) -> BTreeSet<SecretSource> {
    let granted = settings.operator.grants.values().flat_map(|grant| &grant.secrets);
    let granted = granted.filter_map(|secret| secret.from.parse().ok());
    let of_models = settings.models.values().filter_map(|model| model.key.clone());
    let locked = lock_file(settings);
    let locked = locked.bindings().flat_map(|bindings| bindings.secrets.values());
    let locked = locked.filter_map(|source| source.parse().ok());
    granted.chain(of_models).chain(locked).collect()
}

/// What the lock file says as the server starts. One that cannot be read keeps it from starting, in words of its own.
fn lock_file(settings: &Settings) -> Lock {
    let path = settings.lock_file.as_deref();
    path.and_then(|path| Lock::read(path).ok()).unwrap_or_default()
}

/// Which folder it holds, its server says; which it may hold, and behind which walls, stands from the start.
fn folder_program(settings: &Settings) -> Result<Program> {
    let mut program = own(HOLD_FOLDER, &[], Environment::ours())?;
    program.arguments.extend(folder_words(
        settings.engine.walls,
        &may_hold(settings),
        settings.bindings.as_deref(),
    ));
    Ok(program)
}

/// The folders that the configuration, and the lock file that it names, let tasks have.
pub fn may_hold(settings: &Settings) -> MayHold {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let data = absolute(&settings.data);
    let FoldersSettings { within, config } = &settings.folders;
    let believed = [config.as_deref(), settings.file.as_deref()];
    let believed = believed.into_iter().chain([settings.lock_file.as_deref()]).flatten();
    let granted = || settings.operator.grants.values().flat_map(|grant| &grant.files);
    let with = |access: Access| {
        let with = granted().filter(move |file| file.access == access);
        with.map(|file| PathBuf::from(&file.path)).collect::<Vec<_>>()
    };
    // How much of it a component gets, its approval says.
    let locked = lock_file(settings);
    let locked = locked.bindings().flat_map(|bindings| bindings.folders.values()).map(PathBuf::from);
    MayHold {
        apart: [data.clone()].into_iter().chain(believed.map(absolute)).collect(),
        data,
        read: with(Access::Read),
        write: with(Access::Write).into_iter().chain(locked).collect(),
        within: within.clone(),
    }
}

/// A keyring is found by what the session has in its environment.
fn secret_program(source: &SecretSource) -> Result<Program> {
    let environment = match source {
        SecretSource::Keyring { .. } => Environment::Inherited,
        SecretSource::Env(_) | SecretSource::File(_) => Environment::ours(),
    };
    let source = source.to_string();
    own(READ_SECRET, &[OsStr::new(&source)], environment)
}

/// This program in another part of its own, which speaks to the server's stderr.
fn own(part: &str, words: &[&OsStr], environment: Environment) -> Result<Program> {
    let words = [OsStr::new(part)].into_iter().chain(words.iter().copied());
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
