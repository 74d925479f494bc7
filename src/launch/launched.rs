//! A program that the launcher runs, as the server sees it.

use tokio::sync::{mpsc, watch};

use super::end::{End, Stop};
use super::error::LaunchError;
use super::wire::Request;

/// A program that the launcher runs.
#[derive(Debug)]
pub struct Launched {
    pub id: u64,
    pub pid_of_launcher: u32,
    pub requests: mpsc::UnboundedSender<Request>,
    pub end: watch::Receiver<Option<End>>,
}

impl Launched {
    pub async fn ended(&mut self) -> Result<End, LaunchError> {
        let lost = LaunchError::LauncherEnded { pid: self.pid_of_launcher };
        let end = self.end.wait_for(Option::is_some).await.map_err(|_| lost.clone())?;
        end.ok_or(lost)
    }

    pub fn stop(&self, stop: Stop) {
        if self.end.borrow().is_none() {
            // It fails where the runtime has ended, and with it the launcher.
            let _ = self.requests.send(Request::Stop { id: self.id, stop });
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.stop(Stop::Kill);
    }
}
