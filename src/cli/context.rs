use std::path::Path;

use super::args::GlobalArgs;
use super::config::{ConfigError, Overrides, Settings};
use super::exit::{CliError, Result};
use super::render::Output;
use crate::authority::Secret;

/// What every command is given: the settings, and how to print.
pub struct Context {
    pub settings: Settings,
    pub output: Output,
    /// The data folder was named, not taken by default: no other server than its own is meant.
    pub data_named: bool,
    /// What servers are shown, where they want it.
    pub token: Option<Secret>,
}

impl Context {
    pub fn new(global: &GlobalArgs, of_command: Overrides, output: Output) -> Result<Self> {
        let overrides = Overrides {
            config: global.config.clone(),
            data: global.data.clone(),
            log: global.log.clone(),
            ..of_command
        };
        let cwd = std::env::current_dir()
            .map_err(|e| CliError::failed(format_args!("the working folder cannot be read: {e}")))?;
        let data_named = overrides.data.is_some()
            || std::env::var_os("LONGHAUL_DATA").is_some_and(|path| !path.is_empty());
        let settings = Settings::load(overrides, |name| std::env::var(name).ok(), &cwd)?;
        let token = global.token.clone().filter(|token| !token.is_empty()).map(Secret::new);
        Ok(Self { settings, output, data_named, token })
    }

    pub fn data(&self) -> &Path {
        &self.settings.data
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}
