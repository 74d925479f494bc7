//! A wait of an instance in a worker, which the server can ask to leave memory.

use std::sync::Arc;

use tokio::sync::Notify;

use super::protocol::Request;
use super::remote::Remote;

pub struct RemoteWait {
    remote: Remote,
    call: u64,
    bell: Arc<Notify>,
    leaves: bool,
}

impl RemoteWait {
    pub fn begin(remote: &Remote) -> Self {
        let (call, bell) = remote.ring(Request::WaitToLeave);
        Self { remote: remote.clone(), call, bell, leaves: false }
    }

    pub async fn asked(&self) {
        self.bell.notified().await;
    }

    pub fn leave(mut self) {
        self.leaves = true;
    }
}

impl Drop for RemoteWait {
    fn drop(&mut self) {
        self.remote.withdraw(self.call, self.leaves);
    }
}
