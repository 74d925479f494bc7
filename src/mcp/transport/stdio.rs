//! One client over stdin and stdout, or over any pair of pipes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rmcp::service::ServiceExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::pipe::Pipe;
use super::pipe_questions::{Answers, WithQuestions};
use super::reader::Reader;
use crate::http::Caller;
use crate::limits;
use crate::mcp::connection::Ends;
use crate::mcp::questions::respondent::Respondent;
use crate::mcp::shared::McpServer;

#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    #[error("the client on stdin did not begin with MCP's handshake: {0}")]
    Handshake(String),
    #[error("serving stdin and stdout failed: {0}")]
    Failed(String),
}

/// Serves until the client closes stdin and has its answers, or `stop` is cancelled. Tasks go on: the client that started
/// them may be gone for good, or back in a moment.
pub async fn serve_stdio(server: McpServer, stop: CancellationToken) -> Result<(), StdioError> {
    let reader = Reader::of(std::io::stdout());
    serve_pipes(server, rmcp::transport::stdio(), reader, stop).await
}

/// The same over any pair of pipes, with the reader at the far end of the second.
pub(in crate::mcp) async fn serve_pipes<R, W>(
    server: McpServer,
    pipes: (R, W),
    reader: Reader,
    stop: CancellationToken,
) -> Result<(), StdioError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    use rmcp::service::ServerInitializeError as Failure;
    // The one who owns the process is the one who started it.
    let handler = server.handler(Caller::of_folder(), None);
    let connection = CancellationToken::new();
    handler.connection.over_pipes.store(true, Ordering::Relaxed);
    let ends = handler.connection.ends.get_or_init(Ends::default).clone();
    let seal = server.seal().await.map_err(|error| StdioError::Failed(error.to_string()))?;
    let respondent = Arc::new(Respondent::over_pipes(seal, &handler.connection.principal));
    let answers = Answers::new(server.clone(), handler.connection.clone(), respondent.clone());
    // A connection has one client.
    let _ = handler.connection.respondent.set(respondent);
    let pipe = WithQuestions::new(Pipe::new(pipes, reader, ends.clone()), answers.clone());
    let serving = async {
        let running = match handler.serve_with_ct(pipe, connection.clone()).await {
            Ok(running) => running,
            // A client that came and went, or a request to end.
            Err(Failure::ConnectionClosed(_) | Failure::Cancelled) => return Ok(()),
            Err(Failure::TransportError { .. }) if ends.gone.is_cancelled() => return Ok(()),
            Err(error) => return Err(StdioError::Handshake(error.to_string())),
        };
        running.waiting().await.map(drop).map_err(|error| StdioError::Failed(error.to_string()))
    };
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => Some(served),
        () = stop.cancelled() => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            // First what waits is answered, then the connection ends.
            server.stop();
            ends.closing.cancel();
            let grace = Duration::from_millis(limits::STOP_GRACE_MS);
            match tokio::time::timeout(grace, &mut serving).await {
                Ok(served) => served,
                // A client that does not read holds nothing up.
                Err(_) => {
                    connection.cancel();
                    serving.await
                }
            }
        }
    };
    answers.finish().await;
    served
}
