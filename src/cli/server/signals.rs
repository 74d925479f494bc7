//! The signals that end a server: the first stops it in order, a second at once.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::exit::{CliError, Exit, Result};

/// A signal that comes twice within this is one request: `timeout` and some supervisors tell a process and its
/// group.
const SAME_REQUEST: Duration = Duration::from_millis(300);

#[derive(Clone)]
pub struct StopSignals {
    first: watch::Receiver<Option<&'static str>>,
}

impl StopSignals {
    /// From here on neither SIGTERM nor SIGINT ends the process by itself.
    pub fn new() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|e| CliError::failed(format_args!("cannot listen for signals: {e}")));
        let (mut terminate, mut interrupt) =
            (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let (tell, first) = watch::channel(None);
        tokio::spawn(async move {
            let mut stopping_since: Option<Instant> = None;
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                match stopping_since {
                    None => {
                        stopping_since = Some(Instant::now());
                        tell.send_replace(Some(name));
                    }
                    Some(since) if since.elapsed() < SAME_REQUEST => {}
                    Some(_) => {
                        // What was acknowledged is on disk.
                        eprintln!("{name} again: ending at once; open tasks go on with the next start");
                        std::process::exit(Exit::Failed as i32);
                    }
                }
            }
        });
        Ok(Self { first })
    }

    /// Ends with the name of the first signal, at once if it has come already.
    pub async fn first(&mut self) -> &'static str {
        match self.first.wait_for(Option::is_some).await {
            Ok(name) => name.unwrap_or("a signal"),
            // The task above lives as long as the runtime.
            Err(_) => std::future::pending().await,
        }
    }
}
