//! A server that was started as a program: what is said with it, and its end with the connection.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::net::unix::pipe;

use crate::launch::{Environment, Program, Running, Started, Stderr, Stop};
use crate::limits;

/// What a server's process gets of this one's environment.
const ENVIRONMENT: [&str; 8] = ["PATH", "HOME", "USER", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// A server that is begun as a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCommand {
    pub program: String,
    pub arguments: Vec<String>,
    /// Besides the few variables that every program needs; no others of this process.
    pub environment: Vec<(String, String)>,
    /// Where it runs; in the working folder of this process where nothing is said.
    pub folder: Option<PathBuf>,
}

impl From<ServerCommand> for Program {
    fn from(command: ServerCommand) -> Self {
        let kept = ENVIRONMENT.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
        let stated = command.environment.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self {
            program: command.program.into(),
            arguments: command.arguments.into_iter().map(Into::into).collect(),
            environment: Environment::Stated(kept.chain(stated).collect()),
            folder: command.folder.map(Into::into),
            stderr: Stderr::Inherited,
        }
    }
}

/// As a transport. Dropped, the server is killed.
pub struct LaunchedServer {
    transport: AsyncRwTransport<RoleClient, pipe::Receiver, pipe::Sender>,
    running: Running,
}

impl LaunchedServer {
    pub fn new(started: Started) -> Self {
        let Started { stdin, stdout, running, .. } = started;
        let transport = AsyncRwTransport::new_client(stdout, stdin);
        let transport = transport.with_max_line_length(limits::MAX_CLIENT_EVENT_BYTES);
        Self { transport, running }
    }
}

impl Transport<RoleClient> for LaunchedServer {
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.transport.send(item)
    }

    fn receive(&mut self) -> impl Future<Output = Option<RxJsonRpcMessage<RoleClient>>> + Send {
        self.transport.receive()
    }

    /// As the protocol has it: the end of its input, then a signal, then the end.
    async fn close(&mut self) -> Result<(), Self::Error> {
        self.transport.close().await?;
        let grace = Duration::from_millis(limits::LAUNCHED_GRACE_MS);
        for stop in [Stop::Ask, Stop::Kill] {
            if tokio::time::timeout(grace, self.running.ended()).await.is_ok() {
                return Ok(());
            }
            self.running.stop(stop);
        }
        Ok(())
    }
}
