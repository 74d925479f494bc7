//! Secrets that a server within its walls cannot read itself: each is read by a process of this program that stands outside
//! of them, and only from a source that the configuration names or that a person has bound at an approval.

use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::errands::{done, tell};
use crate::authority::Secret;
use crate::cli::config::bindings::BindingsFile;
use crate::cli::context::Context;
use crate::cli::exit::CliError;
use crate::cli::programs::secret_sources;
use crate::launch::{Launch, Role};
use crate::limits;
use crate::secrets::{SecretError, SecretSource, Secrets, read_here};

/// The process that reads.
pub fn read(source: &str) -> ExitCode {
    let source: Result<SecretSource, _> = source.parse();
    let read =
        source.map_err(CliError::usage).and_then(|source| read_here(&source).map_err(CliError::failed));
    tell(&read.map(|secret| secret.expose().to_owned()).map_err(Into::into))
}

/// The process that reads what was bound after the start: the source is on stdin, and what may be read is in the file.
pub fn read_bound(bindings: &Path, data: &Path) -> ExitCode {
    let mut source = String::new();
    let named = io::stdin().lock().take(limits::MAX_SECRET_SOURCE_BYTES).read_to_string(&mut source);
    let read = named.map_err(CliError::failed).and_then(|_| bound_secret(&source, bindings, data));
    tell(&read.map(|secret| secret.expose().to_owned()).map_err(Into::into))
}

fn bound_secret(source: &str, bindings: &Path, data: &Path) -> Result<Secret, CliError> {
    let source: SecretSource = source.parse().map_err(CliError::usage)?;
    let file = BindingsFile::read(bindings).map_err(CliError::failed)?;
    match file.has_secret(data, &source) {
        true => read_here(&source).map_err(CliError::failed),
        false => Err(CliError::refused(SecretError::new(&source, UNBOUND))),
    }
}

/// Where a server's secrets come from: the same for all that want one, so that each is read once.
pub fn secrets(context: &Context) -> Secrets {
    context.secrets.get_or_init(|| begin(context)).clone()
}

fn begin(context: &Context) -> Secrets {
    if context.launch.launcher_pid().is_none() {
        return Secrets::default();
    }
    let launch = context.launch.clone();
    let stated = secret_sources(&context.settings);
    let has_bindings = context.settings.bindings.is_some();
    Secrets::outside(Arc::new(move |source| {
        let launch = launch.clone();
        let is_stated = stated.contains(&source);
        Box::pin(async move {
            match is_stated {
                true => read_outside(&launch, &Role::Secret(source.to_string()), &source).await,
                false if has_bindings => read_outside(&launch, &Role::BoundSecret, &source).await,
                false => Err(SecretError::new(&source, UNBOUND)),
            }
        })
    }))
}

/// Says which are not there, in the background: whose component wants one learns it at its first request else.
pub fn look(context: &Context) {
    let secrets = secrets(context);
    for source in secret_sources(&context.settings) {
        let secrets = secrets.clone();
        tokio::spawn(async move {
            if let Err(error) = secrets.read(&source).await {
                tracing::warn!("a secret is not there, and requests that want it will fail: {error}");
            }
        });
    }
}

/// A program that has its source stated reads no other one from its stdin.
async fn read_outside(launch: &Launch, role: &Role, source: &SecretSource) -> Result<Secret, SecretError> {
    let read: Result<String, CliError> = done(launch, role, source.to_string().as_bytes(), "reading").await;
    read.map(Secret::new).map_err(|error| SecretError::new(source, error.message))
}

const UNBOUND: &str = "is not among the sources that longhaul.toml named when the server was started, and no `longhaul tool \
                       approve --secret` on this machine has bound it: bind it so, or name it in [grants.NAME] or [models.NAME] and start \
                       the server again, or take env:NAME";
