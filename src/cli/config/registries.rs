//! `[registries."HOST[:PORT]"]`: how a registry is asked, and with which name and password.

use serde::Deserialize;

use crate::cli::exit::{CliError, Result};
use crate::cli::registry::{Credentials, Reference};
use crate::secrets::{SecretSource, read_here};

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryTable {
    pub user: Option<String>,
    /// Where the password stands: `env:NAME`, `file:PATH` or `keyring:SERVICE/ACCOUNT`.
    pub password: Option<String>,
    /// It is asked over TLS, be it on this machine; every other one is in any case.
    pub tls: bool,
}

impl RegistryTable {
    /// As they are now. A password that is not there is an error: without it another answer would come.
    pub fn credentials(&self, reference: &Reference) -> Result<Option<Credentials>> {
        let table = format!("[registries.{:?}]", reference.authority());
        let (user, password) = match (&self.user, &self.password) {
            (None, None) => return Ok(None),
            (Some(user), Some(password)) => (user, password),
            _ => {
                return Err(CliError::usage(format_args!("{table} has one of `user` and `password` alone"))
                    .next("state both, or neither"));
            }
        };
        let source: SecretSource =
            password.parse().map_err(|error| CliError::usage(format_args!("{table} password: {error}")))?;
        let password = read_here(&source)
            .map_err(|error| CliError::failed(format_args!("{table} password: {error}")))?;
        Ok(Some(Credentials { user: user.clone(), password }))
    }
}
