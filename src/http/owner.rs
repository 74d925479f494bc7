//! Whose connections are: which ones are the owner's without a key or a token.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tokio::net::TcpStream;

use super::peer;
use crate::authority::LOCAL;

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

/// Whose a connection is, as far as that is known before its first request: a machine's, or of this machine the owner's
/// or another user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Of one machine, or of one network of IPv6, which may give a machine many.
    pub network: IpAddr,
    pub is_owner: bool,
}

impl Peer {
    pub fn new(ip: IpAddr, is_owner: bool) -> Self {
        let network = match ip.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into()
            }
            address => address,
        };
        Self { network, is_owner }
    }

    /// In the account.
    pub fn name(self) -> String {
        if self.is_owner { LOCAL.to_owned() } else { self.network.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_machine_has_one_address_or_one_network() {
        let of = |text: &str| Peer::new(text.parse().expect("an address"), false);
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::1").network, "::1".parse::<IpAddr>().expect("an address"));
    }
}
