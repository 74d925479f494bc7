//! Which connections are the owner's without a key or a token.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::peer;

/// Which connections are the owner's without a key or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerRule {
    /// Those of sockets that belong to this process's own user, as the kernel says.
    SameUser,
    /// All that come over loopback, from every user of this machine: `--open-loopback`.
    AnyLoopback,
    /// None.
    None,
}

/// Whether a request's connection is the owner's, found out once when it was accepted.
#[derive(Clone, Copy, Debug)]
pub struct OfOwner(pub bool);

impl OwnerRule {
    /// Asked when the connection is accepted: later the peer may have closed, and its address may be another's.
    pub fn admits(self, stream: &TcpStream, peer: SocketAddr) -> bool {
        if self == Self::None || !peer.ip().to_canonical().is_loopback() {
            return false;
        }
        if self == Self::AnyLoopback {
            return true;
        }
        let asked = stream.local_addr().map_err(peer::PeerError::Unavailable);
        asked.and_then(|ours| peer::is_own_user(peer, ours)).unwrap_or_else(|error| {
            tracing::debug!(%error, %peer, "a connection is taken for another user's");
            false
        })
    }
}
