//! A server that listens: over HTTP, on the socket of its data folder, or on stdin and stdout, until it ends.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::background;
use super::owner_key::owner_key;
use super::server_file::{ServerFile, ServerInfo};
use super::signals::StopSignals;
use crate::authority::Secret;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::show::render::Output;
use crate::http;
use crate::mcp::{HttpError, HttpServer, McpServer, SocketServer, serve_stdio};
use crate::private::NotPrivate;
use crate::sandbox::Sandbox;

/// Adds the tools while the server serves.
pub type Loading<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// A server that serves, until it ends.
pub struct Running<'a> {
    pub signals: &'a mut StopSignals,
    /// Until it is done.
    pub loading: Option<Loading<'a>>,
    pub output: Output,
}

impl Running<'_> {
    /// The signal that ends the server; an error where there is nothing to serve.
    async fn ended(&mut self) -> Result<&'static str> {
        loop {
            let Some(loading) = &mut self.loading else {
                return Ok(self.signals.first().await);
            };
            tokio::select! {
                signal = self.signals.first() => return Ok(signal),
                loaded = loading => {
                    self.loading = None;
                    loaded?;
                    self.tell_loaded();
                }
            }
        }
    }

    /// It has said where.
    fn listens(&self) {
        if self.loading.is_none() {
            self.tell_loaded();
        }
    }

    /// To the program that started it, which may read no more.
    fn tell_loaded(&self) {
        if self.output.json {
            let _ = self.output.json(&json!({ "loaded": true }));
        }
    }
}

pub async fn over_http(
    (server, sandbox): (McpServer, &Sandbox),
    context: &Context,
    file: &mut ServerFile,
    running: &mut Running<'_>,
) -> Result<Exit> {
    let settings = &context.settings;
    let key = owner_key(server.engine()).await?;
    if settings.open_loopback {
        eprintln!(
            "--open-loopback: every process and user of this machine that reaches the port is the owner"
        );
    }
    let options = http::Options { key: Some(key.clone()), ..http_options(context) };
    let http = HttpServer::bind(server.clone(), options).await?;
    sandbox.keep_out_of(http.address());
    // Some file systems have no sockets; then it serves over HTTP alone.
    let socket = SocketServer::bind(server, &context.data().join(background::SOCKET)).await;
    let socket = socket.inspect_err(|error| tracing::warn!("{error}")).ok();
    let told = tell_where(file, Some((http.url(), key)), socket.as_ref(), context);
    running.listens();
    let ended = match told {
        Ok(()) => running.ended().await.map(|signal| {
            eprintln!("{signal}: shutting down");
            Exit::Done
        }),
        Err(error) => Err(error),
    };
    if let Some(socket) = socket {
        socket.shutdown().await;
    }
    http.shutdown().await;
    ended
}

/// How a server with these settings listens over HTTP; its key stands in its store.
pub fn http_options(context: &Context) -> http::Options {
    let settings = &context.settings;
    http::Options {
        allowed_hosts: settings.mcp.allowed_hosts.clone(),
        allowed_origins: settings.mcp.allowed_origins.clone(),
        key: None,
        open_loopback: settings.open_loopback,
        ..http::Options::new(settings.http)
    }
}

pub async fn in_background(
    server: McpServer,
    context: &Context,
    file: &mut ServerFile,
    running: &mut Running<'_>,
) -> Result<Exit> {
    let engine = server.engine().clone();
    let socket = SocketServer::bind(server, &context.data().join(background::SOCKET)).await;
    let socket = socket.map_err(CliError::failed)?;
    // A host may start it so that all is compiled when it comes back.
    let idle = async |socket: &SocketServer| {
        engine.loaded().await;
        socket.idle(context.settings.engine.background_idle).await;
    };
    let told = tell_where(file, None, Some(&socket), context);
    running.listens();
    let ended = match told {
        Ok(()) => tokio::select! {
            ended = running.ended() => ended.map(|signal| eprintln!("{signal}: shutting down")),
            () = idle(&socket) => {
                eprintln!("no host and no open task is left: shutting down");
                Ok(())
            }
        }
        .map(|()| Exit::Done),
        Err(error) => Err(error),
    };
    socket.shutdown().await;
    ended
}

pub async fn over_stdio(server: McpServer, running: &mut Running<'_>) -> Result<Exit> {
    eprintln!("serving on stdin and stdout");
    let stop = CancellationToken::new();
    let serving = serve_stdio(server, stop.clone());
    tokio::pin!(serving);
    let (served, ended) = tokio::select! {
        served = &mut serving => (served, Ok(())),
        ended = running.ended() => {
            let ended = ended.map(|signal| eprintln!("{signal}: shutting down"));
            stop.cancel();
            (serving.await, ended)
        }
    };
    served.map_err(CliError::failed).and(ended).map(|()| Exit::Done)
}

/// Says where the server listens: on stderr for people, in the data folder for the other commands, and with
/// `--json` on stdout for the program that started it.
fn tell_where(
    file: &mut ServerFile,
    http: Option<(String, Secret)>,
    socket: Option<&SocketServer>,
    context: &Context,
) -> Result<()> {
    let folder = context.data();
    (file.info.url, file.info.key) = http.map(|(url, key)| (url, key.expose().to_owned())).unzip();
    file.info.socket = socket.map(|socket| socket.path().to_owned());
    file.write().map_err(|e| unwritable(folder, &e))?;
    let ServerInfo { pid, url, socket, .. } = &file.info;
    tracing::debug!(pid, ?url, ?socket, folder = %folder.display(), "listening");
    match (url, socket) {
        (Some(url), _) => eprintln!("listening on {url}"),
        (None, Some(socket)) => eprintln!("pid {pid}, listening on {}", socket.display()),
        (None, None) => {}
    }
    if context.output.json {
        context.output.json(&json!({ "url": url, "socket": socket, "pid": pid, "data": folder }))?;
    }
    Ok(())
}

pub fn unwritable(folder: &Path, error: &std::io::Error) -> CliError {
    if let Some(why) = NotPrivate::of(error) {
        return why.clone().into();
    }
    CliError::failed(format_args!(
        "cannot write where this server listens into {}: {error}",
        folder.display()
    ))
}

/// Before tools are built and tasks go on, for the server would not listen anyway.
pub fn refuse_beyond_loopback(address: SocketAddr, has_tokens: bool, folder: &Path) -> Result<()> {
    if has_tokens || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(CliError::refused(format_args!(
        "{address} is reachable from other machines, and there is no token to tell callers apart"
    ))
    .next(format!("longhaul token new NAME --tools '*' --data {}, or listen on 127.0.0.1", folder.display())))
}

impl From<HttpError> for CliError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Server(http::ServerError::BeyondLoopback(_)) => {
                Self::refused(error).next("longhaul token new NAME --tools '*'")
            }
            HttpError::Server(http::ServerError::BadOrigin(_)) => Self::usage(error),
            error => Self::failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_served_without_tokens() {
        let beyond = |address: &str, has_tokens| {
            refuse_beyond_loopback(address.parse().expect("an address"), has_tokens, Path::new("/data"))
        };
        for address in ["127.0.0.1:1919", "127.0.0.2:1", "[::1]:1919"] {
            assert_eq!(beyond(address, false), Ok(()));
        }
        for address in ["0.0.0.0:1919", "[::]:1919", "192.168.1.5:80"] {
            let error = beyond(address, false).expect_err(address);
            assert_eq!(error.exit, Exit::Refused);
            assert!(error.next.expect("a command").contains("longhaul token new"));
            assert_eq!(beyond(address, true), Ok(()));
        }
    }
}
