//! Questions over pipes. rmcp would number them and take the answers itself, so they travel past it: out within a
//! notification that is opened at the transport, and back before rmcp has read the answer.

use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::sync::Mutex;

use crate::limits;
use crate::mcp::connection::Connection;
use crate::mcp::questions::in_place::opened;
use crate::mcp::questions::respondent::Respondent;
use crate::mcp::shared::McpServer;

/// A transport that lets questions out and their answers in.
pub struct WithQuestions<T> {
    inner: T,
    answers: Answers,
    /// Was read, and waits for the answer before it.
    held: Option<ClientJsonRpcMessage>,
}

/// Answers of one connection on their way to the disk.
#[derive(Clone)]
pub struct Answers {
    server: McpServer,
    connection: Arc<Connection>,
    respondent: Arc<Respondent>,
    /// Locked while one is on its way.
    turn: Arc<Mutex<()>>,
}

impl Answers {
    pub fn new(server: McpServer, connection: Arc<Connection>, respondent: Arc<Respondent>) -> Self {
        Self { server, connection, respondent, turn: Arc::default() }
    }

    /// `None` where the message was an answer, which is taken here.
    async fn pass(&self, held: &mut Option<ClientJsonRpcMessage>) -> Option<ClientJsonRpcMessage> {
        // What a client says behind an answer finds it taken.
        let turn = self.turn.clone().lock_owned().await;
        let message = held.take()?;
        let Some((asked, answer)) = self.respondent.reply_in(&message) else { return Some(message) };
        let Self { server, connection, respondent, .. } = self.clone();
        tokio::spawn(async move {
            let taken = respondent.take(server.engine(), connection.known_actor(), asked, answer).await;
            if let Err(error) = taken {
                let task = asked.question.task;
                tracing::warn!(%task, %error, "an answer could not be taken; its question stands");
            }
            drop(turn);
        });
        None
    }

    /// What came before the connection ended counts.
    pub async fn finish(&self) {
        let patience = Duration::from_secs(limits::SHUTDOWN_GRACE_SECONDS);
        let _ = tokio::time::timeout(patience, self.turn.lock()).await;
    }
}

impl<T> WithQuestions<T> {
    pub fn new(inner: T, answers: Answers) -> Self {
        Self { inner, answers, held: None }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for WithQuestions<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(opened(item))
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            // Nothing that was read is lost where this is dropped and called again.
            if self.held.is_none() {
                self.held = Some(self.inner.receive().await?);
            }
            if let Some(message) = self.answers.pass(&mut self.held).await {
                return Some(message);
            }
        }
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.inner.close()
    }
}
