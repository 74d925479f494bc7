//! `[registries."HOST[:PORT]"]`: with which name and password a registry is asked.

use serde::Deserialize;

use crate::cli::exit::{CliError, Result};
use crate::cli::registry::{Credentials, Reference};
use crate::secrets::{SecretSource, read_here};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryTable {
    pub user: String,
    /// Where the password stands: `env:NAME`, `file:PATH` or `keyring:SERVICE/ACCOUNT`.
    pub password: String,
}

impl RegistryTable {
    /// As they are now. A password that is not there is an error: without it another answer would come.
    pub fn credentials(&self, reference: &Reference) -> Result<Credentials> {
        let place = format!("[registries.{:?}] password", reference.authority());
        let source: SecretSource =
            self.password.parse().map_err(|error| CliError::usage(format_args!("{place}: {error}")))?;
        let password =
            read_here(&source).map_err(|error| CliError::failed(format_args!("{place}: {error}")))?;
        Ok(Credentials { user: self.user.clone(), password })
    }
}
