//! The data folder's own server, as far as what secrets are sent to it: where it listens, and whether it still does.

use super::context::Context;
use super::remote::RemoteError;
use super::server_file::{ServerInfo, is_running};
use crate::authority::Secret;
use crate::mcp::{ClientOptions, connect_socket};
use crate::private;
use crate::store::{Presence, Store};

/// Where the data folder's server listens over HTTP, if one runs.
pub fn url(context: &Context) -> Option<String> {
    running(context)?.url
}

fn running(context: &Context) -> Option<ServerInfo> {
    let folder = context.data();
    let is_served = matches!(Store::presence(folder), Ok(Presence::InUse { .. }));
    ServerInfo::read(folder).filter(|_| is_served)
}

/// The key of the data folder's server, where that is the one at `url`.
pub fn key(url: &str, context: &Context) -> Option<Secret> {
    let info = running(context).filter(|info| info.url.as_deref() == Some(url))?;
    info.key.map(Secret::new)
}

/// Before a token or a key goes to an address that was found in a data folder: what stands there is left behind by a
/// server that was killed, and its port may be another user's by now. So the folder's server has to answer at its
/// socket, which nobody else can make, and the file to name this address, which it writes before that.
pub async fn still_there(options: &ClientOptions) -> Result<(), RemoteError> {
    let Some(folder) = &options.server_of else { return Ok(()) };
    let gone = || {
        let told = format!("the server of {} does not answer at {}", folder.display(), options.url);
        RemoteError::Lost(told)
    };
    let info = ServerInfo::read(folder).filter(|info| info.url.as_ref() == Some(&options.url));
    let info = info.ok_or_else(gone)?;
    let answers = match &info.socket {
        Some(socket) => private::no_link(socket).is_ok() && connect_socket(socket).await.is_ok(),
        // Where the file system has no sockets.
        None => is_running(info.pid) && matches!(Store::presence(folder), Ok(Presence::InUse { .. })),
    };
    answers.then_some(()).ok_or_else(gone)
}
