//! Between rmcp, which handles a session's requests, and the session, which owns its streams.

use std::convert::Infallible;
use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::sync::mpsc;

use super::session::Session;

pub struct SessionTransport {
    session: Arc<Session>,
    inbox: mpsc::Receiver<Box<ClientJsonRpcMessage>>,
}

impl SessionTransport {
    pub fn new(session: Arc<Session>, inbox: mpsc::Receiver<Box<ClientJsonRpcMessage>>) -> Self {
        Self { session, inbox }
    }
}

impl Transport<RoleServer> for SessionTransport {
    type Error = Infallible;

    /// Never waits for a reader.
    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.session.deliver(message);
        std::future::ready(Ok(()))
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        tokio::select! {
            message = self.inbox.recv() => message.map(|message| *message),
            () = self.session.over().cancelled() => None,
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inbox.close();
        Ok(())
    }
}
