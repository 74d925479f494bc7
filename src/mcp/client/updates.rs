use rmcp::RoleClient;
use rmcp::model::*;
use rmcp::service::{Peer, Subscription};
use tokio::sync::mpsc;

use super::error::ClientError;
use super::remote::{Client, Era};
use crate::limits;

/// Tells of changes behind some URIs, until it is dropped or the connection ends.
pub struct Updates {
    url: String,
    source: Source,
}

enum Source {
    Listen(Box<Subscription>),
    Session { peer: Peer<RoleClient>, uris: Vec<String>, receiver: mpsc::Receiver<String> },
}

impl Client {
    /// When this returns, no later change is missed. What changed before is to be read.
    pub async fn watch(&self, uris: &[String]) -> Result<Updates, ClientError> {
        let source = match self.era() {
            Era::Modern => self.listen(uris).await?,
            Era::Legacy => self.subscribe(uris).await?,
        };
        Ok(Updates { url: self.url.clone(), source })
    }

    async fn listen(&self, uris: &[String]) -> Result<Source, ClientError> {
        let filter = SubscriptionFilter::builder().resource_subscriptions(uris.iter().cloned()).build();
        let subscription = self.running.peer().listen(filter).await.map_err(|error| self.error(error))?;
        let honoured = subscription.acknowledged().resource_subscriptions.clone().unwrap_or_default();
        match uris.iter().find(|uri| !honoured.contains(uri)) {
            None => Ok(Source::Listen(Box::new(subscription))),
            Some(uri) => Err(ClientError::NotFound {
                message: format!("there is nothing at '{uri}' that this server tells changes of"),
            }),
        }
    }

    #[expect(deprecated, reason = "servers before 2026-07-28 have no other way")]
    async fn subscribe(&self, uris: &[String]) -> Result<Source, ClientError> {
        let (tell, receiver) = mpsc::channel(limits::MAX_FOLLOW_QUEUE);
        self.routes.updates(tell);
        let peer = self.running.peer().clone();
        for uri in uris {
            let params = SubscribeRequestParams::new(uri.clone());
            peer.subscribe(params).await.map_err(|error| self.error(error))?;
        }
        Ok(Source::Session { peer, uris: uris.to_vec(), receiver })
    }
}

impl Updates {
    /// The URI of the next change. An error says that the connection ended: connect, watch and read again.
    pub async fn next(&mut self) -> Result<String, ClientError> {
        let ended =
            |url: &str| ClientError::Disconnected { url: url.to_owned(), why: "no more changes".to_owned() };
        match &mut self.source {
            Source::Listen(subscription) => loop {
                let next = subscription.next().await;
                match next.map_err(|error| ClientError::of_service(&self.url, &error))? {
                    Some(ServerNotification::ResourceUpdatedNotification(updated)) => {
                        return Ok(updated.params.uri);
                    }
                    Some(_) => {}
                    None => return Err(ended(&self.url)),
                }
            },
            Source::Session { peer, uris, receiver } => loop {
                if peer.is_transport_closed() {
                    return Err(ended(&self.url));
                }
                match receiver.recv().await {
                    Some(uri) if uris.contains(&uri) => return Ok(uri),
                    Some(_) => {}
                    None => return Err(ended(&self.url)),
                }
            },
        }
    }
}
