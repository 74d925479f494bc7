//! The signals that end a server: the first stops it in order, a second at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{CliError, Exit, Result};

pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From here on neither signal ends the process by itself.
    pub fn new() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|e| CliError::failed(format_args!("cannot listen for signals: {e}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Ends with the name of the first signal. Safe to drop and call again.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Whatever still goes on, the next signal ends the process. What was acknowledged is on disk.
    pub fn end_at_the_next(mut self) {
        tokio::spawn(async move {
            let name = self.next().await;
            eprintln!(
                "longhaul: a second signal ({name}): ending at once; open tasks go on with the next start"
            );
            std::process::exit(Exit::Failed as i32);
        });
    }
}
