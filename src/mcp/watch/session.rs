//! What a session over pipes has subscribed to. One loop sends it what changes, and begins with the first subscription.

use parking_lot::Mutex;
use rmcp::RoleServer;
use rmcp::model::{ResourceUpdatedNotification, ResourceUpdatedNotificationParam, ServerNotification};
use rmcp::service::Peer;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::watched::Watched;
use crate::engine::{Feed, ResourceKey};

/// Why nothing more is watched.
pub enum Full {
    /// The server has all the subscribers it takes.
    Server,
    /// The session watches all that one session may.
    Session,
}

/// The subscriptions of one legacy session; they end with it.
pub struct SessionSubscriptions {
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    over: CancellationToken,
    _ends: DropGuard,
}

impl SessionSubscriptions {
    /// When this returns, no later change is missed.
    pub async fn add(
        &self,
        feed: &Feed,
        peer: &Peer<RoleServer>,
        key: ResourceKey,
        uri: String,
    ) -> Result<(), Full> {
        let commands = self.commands(feed, peer)?;
        let (answer, answered) = oneshot::channel();
        let is_sent = commands.send(Command::Add { key, uri, answer }).await.is_ok();
        if is_sent && answered.await.unwrap_or(false) { Ok(()) } else { Err(Full::Session) }
    }

    /// When this returns, no notification is begun any more.
    pub async fn remove(&self, key: ResourceKey, uri: String) {
        let commands = self.commands.lock().clone();
        let (answer, answered) = oneshot::channel();
        if let Some(commands) = commands
            && commands.send(Command::Remove { key, uri, answer }).await.is_ok()
        {
            // No answer: the session is over, and its subscriptions with it.
            let _ = answered.await;
        }
    }

    /// Cancelled at the end of the session.
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }

    fn commands(&self, feed: &Feed, peer: &Peer<RoleServer>) -> Result<mpsc::Sender<Command>, Full> {
        let mut commands = self.commands.lock();
        if let Some(there) = commands.as_ref().filter(|there| !there.is_closed()) {
            return Ok(there.clone());
        }
        let watcher = feed.watch().ok_or(Full::Server)?;
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(tell_session(Watched::new(watcher), receiver, peer.clone()));
        *commands = Some(sender.clone());
        Ok(sender)
    }
}

impl Default for SessionSubscriptions {
    fn default() -> Self {
        let over = CancellationToken::new();
        Self { commands: Mutex::default(), _ends: over.clone().drop_guard(), over }
    }
}

enum Command {
    Add { key: ResourceKey, uri: String, answer: oneshot::Sender<bool> },
    Remove { key: ResourceKey, uri: String, answer: oneshot::Sender<()> },
}

async fn tell_session(mut watched: Watched, mut commands: mpsc::Receiver<Command>, peer: Peer<RoleServer>) {
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                // The one that asked may be gone.
                Some(Command::Add { key, uri, answer }) => {
                    let _ = answer.send(watched.add(key, uri));
                }
                Some(Command::Remove { key, uri, answer }) => {
                    watched.remove(&key, &uri);
                    let _ = answer.send(());
                }
                // The session is over.
                None => return,
            },
            uris = watched.next() => {
                for uri in uris {
                    let params = ResourceUpdatedNotificationParam::new(uri);
                    let updated = ResourceUpdatedNotification::new(params);
                    let updated = ServerNotification::ResourceUpdatedNotification(updated);
                    if peer.send_notification(updated).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
