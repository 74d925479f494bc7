//! The data folder's own server, as far as what secrets are sent to it: where it listens, and whether it still does.

use std::path::Path;

use super::server_file::{ServerInfo, is_running};
use crate::authority::Secret;
use crate::cli::context::Context;
use crate::mcp::connect_socket;
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

/// Whether the folder's server still listens at `url`, asked before a token or a key goes there: what stands in a data
/// folder is left behind by a server that was killed, and its port may be another user's by now. So the server has to
/// answer at its socket, which only the folder's owner can make, and the file to name this address, which it writes
/// before that.
pub async fn is_still_at(url: &str, folder: &Path) -> bool {
    let info = ServerInfo::read(folder).filter(|info| info.url.as_deref() == Some(url));
    match info {
        Some(ServerInfo { socket: Some(socket), .. }) => {
            private::no_link(&socket).is_ok() && connect_socket(&socket).await.is_ok()
        }
        // Where the file system has no sockets.
        Some(info) => is_running(info.pid) && matches!(Store::presence(folder), Ok(Presence::InUse { .. })),
        None => false,
    }
}
