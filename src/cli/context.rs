use std::path::Path;
use std::sync::OnceLock;

use reqwest::Certificate;

use crate::authority::Secret;
use crate::cli::args::GlobalArgs;
use crate::cli::config::{ConfigError, Overrides, Settings};
use crate::cli::exit::{CliError, Result};
use crate::cli::programs;
use crate::cli::show::render::Output;
use crate::launch::Launch;
use crate::mcp::ClientOptions;
use crate::secrets::Secrets;
use crate::walls::Standing;

/// What every command is given: the settings, and how to print.
pub struct Context {
    pub settings: Settings,
    pub output: Output,
    /// The data folder was named, not taken by default: no other server than its own is meant.
    pub data_named: bool,
    /// What servers are shown, where they want it.
    pub token: Option<Secret>,
    /// Of `ca_file`.
    pub certificates: Vec<Certificate>,
    /// What starts the programs that the settings name.
    pub launch: Launch,
    /// All that the server reads of its secrets, once it has read one.
    pub secrets: OnceLock<Secrets>,
    /// Which stand around this process.
    pub walls: Standing,
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
        let certificates = match &settings.ca_file {
            Some(path) => certificates(path)?,
            None => Vec::new(),
        };
        let launch = Launch::here(programs::stated(&settings)?);
        let (secrets, walls) = (OnceLock::new(), Standing::default());
        Ok(Self { settings, output, data_named, token, certificates, launch, secrets, walls })
    }

    /// How the server at `url` is reached.
    pub fn server(&self, url: &str, token: Option<Secret>) -> ClientOptions {
        let certificates = self.certificates.clone();
        ClientOptions { url: url.to_owned(), token, certificates, ..ClientOptions::default() }
    }

    pub fn data(&self) -> &Path {
        &self.settings.data
    }
}

/// Of the authorities in a file, each looked at before anything trusts it.
fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let wrong = |why: String| CliError::usage(format_args!("ca_file: {} {why}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let found = Certificate::from_pem_bundle(&bytes).map_err(|error| wrong(format!("is no PEM: {error}")))?;
    if found.is_empty() {
        return Err(wrong("has no '-----BEGIN CERTIFICATE-----': it is to be PEM".to_owned()));
    }
    let trusting = reqwest::Client::builder().tls_certs_only(found.clone()).build();
    trusting.map_err(|error| wrong(format!("has a certificate that cannot be trusted: {error}")))?;
    Ok(found)
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}
