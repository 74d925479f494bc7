//! Secrets that a server within its walls cannot read itself: each is read by a process of this program that stands outside
//! of them, and only from a source that the configuration names.

use std::process::ExitCode;
use std::sync::Arc;

use super::errands::{done, tell};
use crate::authority::Secret;
use crate::cli::context::Context;
use crate::cli::exit::CliError;
use crate::cli::programs::secret_sources;
use crate::launch::{Launch, Role};
use crate::secrets::{SecretError, SecretSource, Secrets, read_here};

/// The process that reads.
pub fn read(source: &str) -> ExitCode {
    let source: Result<SecretSource, _> = source.parse();
    let read =
        source.map_err(CliError::usage).and_then(|source| read_here(&source).map_err(CliError::failed));
    tell(&read.map(|secret| secret.expose().to_owned()).map_err(Into::into))
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
    Secrets::outside(Arc::new(move |source| {
        let launch = stated.contains(&source).then(|| launch.clone());
        Box::pin(async move {
            match launch {
                Some(launch) => read_outside(&launch, source).await,
                None => Err(SecretError::new(&source, UNSTATED)),
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

async fn read_outside(launch: &Launch, source: SecretSource) -> Result<Secret, SecretError> {
    let role = Role::Secret(source.to_string());
    let read: Result<String, CliError> = done(launch, &role, &[], "reading").await;
    read.map(Secret::new).map_err(|error| SecretError::new(&source, error.message))
}

const UNSTATED: &str = "is not among the sources that longhaul.toml named when the server was started: name it in \
                        [grants.NAME] or [models.NAME] and start the server again, or take env:NAME";
