//! One client over stdin and stdout, in this process.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rmcp::service::ServiceExt;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::server::McpServer;

#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    #[error("the client on stdin did not begin with MCP's handshake: {0}")]
    Handshake(String),
    #[error("serving stdin and stdout failed: {0}")]
    Failed(String),
}

/// Serves until the client closes stdin or `stop` is cancelled. Tasks go on: whoever started them may be
/// gone for good, or back in a moment.
pub async fn serve_stdio(server: McpServer, stop: CancellationToken) -> Result<(), StdioError> {
    serve_pipes(server, rmcp::transport::stdio(), stop).await
}

/// The same over any pair of pipes.
pub(super) async fn serve_pipes<R, W>(
    server: McpServer,
    pipes: (R, W),
    stop: CancellationToken,
) -> Result<(), StdioError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    use rmcp::service::ServerInitializeError as Failure;
    // The one who owns the process is the one who started it.
    let handler = server.handler(Caller::local(), None);
    let connection = CancellationToken::new();
    let pipes = (TellsItsEnd { inner: pipes.0, ended: handler.connection.gone.clone() }, pipes.1);
    let serving = async {
        let running = match handler.serve_with_ct(pipes, connection.clone()).await {
            Ok(running) => running,
            // A client that came and went, or was told to.
            Err(Failure::ConnectionClosed(_) | Failure::Cancelled) => return Ok(()),
            Err(error) => return Err(StdioError::Handshake(error.to_string())),
        };
        running.waiting().await.map(drop).map_err(|error| StdioError::Failed(error.to_string()))
    };
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => served,
        () = stop.cancelled() => {
            // First what waits is answered, then the connection ends.
            server.stop();
            connection.cancel();
            serving.await
        }
    }
}

/// Tells when there is nothing more to read. rmcp waits a while for calls that are being answered, and they
/// would wait for their tasks.
struct TellsItsEnd<R> {
    inner: R,
    ended: CancellationToken,
}

impl<R: AsyncRead + Unpin> AsyncRead for TellsItsEnd<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        let is_over = match &read {
            Poll::Ready(Ok(())) => buf.filled().len() == before && buf.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if is_over {
            self.ended.cancel();
        }
        read
    }
}
