//! Where a server starts its launcher.

#[cfg(target_os = "linux")]
use crate::cli::args::LAUNCH;
use crate::cli::config::Settings;
#[cfg(target_os = "linux")]
use crate::cli::exit::CliError;
use crate::cli::exit::Result;
use crate::cli::programs;
use crate::launch::Launch;

/// What starts a server's programs: a process of this binary, for a server that has walls must not do so itself.
#[cfg(target_os = "linux")]
pub fn start(settings: &Settings) -> Result<Launch> {
    let mut command = std::process::Command::new(programs::own_program()?);
    command.arg(LAUNCH);
    Launch::launcher(command, &programs::stated(settings)?)
        .map_err(|error| CliError::failed(format_args!("the launcher cannot be started: {error}")))
}

/// There are no walls here.
#[cfg(not(target_os = "linux"))]
pub fn start(settings: &Settings) -> Result<Launch> {
    Ok(Launch::here(programs::stated(settings)?))
}
