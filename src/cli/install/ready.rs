//! The first start of a server, before a host waits for it: hosts give a program seconds, and go on without its tools,
//! or by an older protocol without tasks, while that compiles them.

use std::process::{Command, Stdio};

use tokio::runtime::Handle;

use crate::cli::client::remote::{Remote, RemoteError};
use crate::cli::client::servers::loaded;
use crate::cli::context::Context;
use crate::cli::server::background::LOG;
use crate::cli::server::server_file::{ServerInfo, StartedWith};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStart {
    Started,
    /// One that serves something else was there already, and is what the host gets.
    OtherServer,
    /// It has said why on stderr.
    Failed,
    LeftOut,
}

impl FirstStart {
    /// In a document; nothing where it was left out.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Started => Some("started"),
            Self::OtherServer => Some("other_server"),
            Self::Failed => Some("failed"),
            Self::LeftOut => None,
        }
    }
}

/// Waits until the server that is there has compiled its tools; false where it ends before, or has none.
fn has_loaded(context: &Context) -> bool {
    let waiting = async {
        let remote = Remote::find(context).await?;
        let components = loaded(&remote).await;
        remote.close().await;
        components
    };
    // A command without a server of its own has nothing else to do meanwhile.
    let components = tokio::task::block_in_place(|| Handle::current().block_on(waiting));
    let log = context.data().join(LOG);
    let say = |error: &RemoteError| {
        eprintln!("the server has not said that its tools are compiled: {error}; {} says why", log.display());
    };
    components.inspect_err(say).is_ok()
}

/// Starts what the entry starts, as a host does that leaves at once. The server in the background stays for the host
/// to come, and what it has compiled stays for the next one.
pub fn started_once(command: &str, args: &[String], context: &Context) -> FirstStart {
    let mut bridge = Command::new(command);
    // Our own stdout is for documents.
    let status = bridge.args(args).stdin(Stdio::null()).stdout(Stdio::null()).status();
    if !status.is_ok_and(|status| status.success()) || !has_loaded(context) {
        return FirstStart::Failed;
    }
    let there = ServerInfo::read(context.data()).and_then(|info| info.started);
    let is_other = there.is_some_and(|there| !StartedWith::of(&context.settings).unlike(&there).is_empty());
    if is_other { FirstStart::OtherServer } else { FirstStart::Started }
}
