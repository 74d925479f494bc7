//! Says whose the other end of a loopback connection is: the kernel knows which user made each socket.
//!
//! Linux is asked by `sock_diag(7)` for the one socket with exactly the peer's 4-tuple. Other systems are not asked:
//! there no caller is known by its connection.

use std::net::SocketAddr;

/// Why the kernel did not say whose a socket is.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("the kernel cannot be asked whose a connection is: {0}")]
    Unavailable(std::io::Error),
    #[error("the kernel's answer about a connection is not understood: {0}")]
    Unreadable(String),
    #[error("the users of this process's namespace cannot be told apart: it runs as the overflow user")]
    OverflowUser,
    #[cfg(not(target_os = "linux"))]
    #[error("this system is not asked whose a connection is")]
    Unsupported,
}

/// Whether the socket at `peer` that is connected to `ours` belongs to the user that this process runs as.
///
/// True only for a socket of this network namespace that is established and open in a process (it has an inode): the
/// kernel gives user 0 for orphaned sockets and those in TIME_WAIT. A peer that has shut down its side already, or that
/// is not found, has no owner.
pub fn is_own_user(peer: SocketAddr, ours: SocketAddr) -> Result<bool, PeerError> {
    imp::is_own_user(peer, ours)
}

/// Whether this system answers at all, for a word at the start.
pub fn can_ask(address: SocketAddr) -> Result<(), PeerError> {
    is_own_user(address, address).map(drop)
}

#[cfg(target_os = "linux")]
mod imp {
    use std::net::{IpAddr, SocketAddr};
    use std::time::Duration;

    use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
    use netlink_packet_sock_diag::SockDiagMessage;
    use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_ESTABLISHED};
    use netlink_packet_sock_diag::inet::{
        ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags,
    };
    use rustix::io::Errno;
    use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
    };

    use super::PeerError;
    use crate::limits;

    /// The kernel leaves it to the 4-tuple alone.
    const NO_COOKIE: [u8; 8] = [0xff; 8];
    /// Larger than any answer about one socket without extensions.
    const ANSWER_BYTES: usize = 4096;

    pub fn is_own_user(peer: SocketAddr, ours: SocketAddr) -> Result<bool, PeerError> {
        let own = rustix::process::geteuid().as_raw();
        if !users_are_told_apart(own) {
            return Err(PeerError::OverflowUser);
        }
        // One socket serves both families: an IPv4 connection is found as such also where its socket is of IPv6.
        let (peer, ours) = (canonical(peer), canonical(ours));
        Ok(ask(peer, ours)?.is_some_and(|socket| {
            let is_peers = socket.socket_id.source_port == peer.port()
                && socket.socket_id.destination_port == ours.port()
                && socket.socket_id.source_address.to_canonical() == peer.ip()
                && socket.socket_id.destination_address.to_canonical() == ours.ip();
            is_peers && socket.state == TCP_ESTABLISHED && socket.inode != 0 && socket.uid == own
        }))
    }

    fn canonical(address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    /// The one socket at `peer` that is connected to `ours`, if the kernel has it.
    fn ask(peer: SocketAddr, ours: SocketAddr) -> Result<Option<InetResponseHeader>, PeerError> {
        let unavailable = |errno: Errno| PeerError::Unavailable(errno.into());
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(SOCK_DIAG))
                .map_err(unavailable)?;
        // The kernel answers within the call that asks; this only bounds a kernel that does not.
        let patience = Duration::from_millis(limits::PEER_LOOKUP_MS);
        set_socket_timeout(&socket, Timeout::Recv, Some(patience)).map_err(unavailable)?;
        // From then on the socket takes the kernel's messages alone.
        connect(&socket, &SocketAddrNetlink::new(0, 0)).map_err(unavailable)?;
        send(&socket, &request(peer, ours), SendFlags::empty()).map_err(unavailable)?;
        let mut buffer = [0; ANSWER_BYTES];
        let (length, _) = recv(&socket, &mut buffer, RecvFlags::empty()).map_err(unavailable)?;
        let answer = <NetlinkMessage<SockDiagMessage>>::deserialize(&buffer[..length])
            .map_err(|error| PeerError::Unreadable(error.to_string()))?;
        match answer.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) => Ok(Some(found.header)),
            NetlinkPayload::Error(error) => match error.to_io() {
                error if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                error => Err(PeerError::Unavailable(error)),
            },
            other => Err(PeerError::Unreadable(format!("{other:?}"))),
        }
    }

    fn request(peer: SocketAddr, ours: SocketAddr) -> Vec<u8> {
        let family = match peer.ip() {
            IpAddr::V4(_) => AF_INET,
            IpAddr::V6(_) => AF_INET6,
        };
        let socket_id = SocketId {
            source_port: peer.port(),
            destination_port: ours.port(),
            source_address: peer.ip(),
            destination_address: ours.ip(),
            interface_id: 0,
            cookie: NO_COOKIE,
        };
        let asked = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::ESTABLISHED,
            socket_id,
        };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(asked).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    /// In a user namespace the kernel gives every user that has no number there as the overflow user: who runs as
    /// that one cannot be distinguished from them (`user_namespaces(7)`).
    fn users_are_told_apart(own: u32) -> bool {
        const OVERFLOW: u32 = 65_534;
        let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u32>().ok();
        if own != number("/proc/sys/kernel/overflowuid").unwrap_or(OVERFLOW) {
            return true;
        }
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let whole = ["0", "0", "4294967295"];
        map.lines().count() == 1 && map.split_whitespace().eq(whole)
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::net::SocketAddr;

    use super::PeerError;

    pub fn is_own_user(_peer: SocketAddr, _ours: SocketAddr) -> Result<bool, PeerError> {
        Err(PeerError::Unsupported)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
    use std::os::fd::OwnedFd;

    use rustix::net::{AddressFamily, SocketType, connect, socket};

    use super::*;

    /// A listener's connection: the client's end, and the addresses of the client and of the server.
    struct Pair {
        client: TcpStream,
        accepted: TcpStream,
    }

    impl Pair {
        fn of(listener: &TcpListener) -> Self {
            let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
            let (accepted, _) = listener.accept().expect("accepted");
            Self { client, accepted }
        }

        fn asked(&self) -> bool {
            let peer = self.accepted.peer_addr().expect("an address");
            is_own_user(peer, self.accepted.local_addr().expect("an address")).expect("the kernel says")
        }
    }

    fn listener() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listens")
    }

    #[test]
    fn a_connection_of_this_user_is_known_in_both_families() {
        assert!(Pair::of(&listener()).asked());
        assert!(Pair::of(&TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("listens")).asked());
    }

    #[test]
    fn an_ipv4_connection_over_a_socket_of_ipv6_is_known() {
        let listener = listener();
        let port = listener.local_addr().expect("an address").port();
        let socket: OwnedFd = socket(AddressFamily::INET6, SocketType::STREAM, None).expect("a socket");
        let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), port);
        connect(&socket, &mapped).expect("connected");
        let (accepted, peer) = listener.accept().expect("accepted");
        let ours = accepted.local_addr().expect("an address");
        assert!(peer.is_ipv4() && is_own_user(peer, ours).expect("the kernel says"));
    }

    #[test]
    fn an_orphaned_or_half_closed_socket_is_nobodys() {
        let listener = listener();
        let half = Pair::of(&listener);
        half.client.shutdown(Shutdown::Write).expect("shut down");
        assert!(!half.asked(), "its state is not ESTABLISHED");
        let Pair { client, accepted } = Pair::of(&listener);
        let peer = client.local_addr().expect("an address");
        drop(client);
        let ours = accepted.local_addr().expect("an address");
        assert!(!is_own_user(peer, ours).expect("the kernel says"), "no process has it");
        drop(accepted);
        assert!(!is_own_user(peer, ours).expect("the kernel says"), "it is gone");
    }

    #[test]
    fn only_the_whole_4_tuple_leads_to_a_socket() {
        let listener = listener();
        let (one, other) = (Pair::of(&listener), Pair::of(&listener));
        let ours = one.accepted.local_addr().expect("an address");
        let peer = one.client.local_addr().expect("an address");
        let elsewhere = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), peer.port());
        let unconnected = SocketAddr::new(peer.ip(), listener_port_of_nobody());
        for (peer, ours) in [(elsewhere, ours), (peer, elsewhere), (unconnected, ours), (ours, ours)] {
            assert!(!is_own_user(peer, ours).expect("the kernel says"), "{peer} to {ours}");
        }
        assert!(one.asked() && other.asked());
    }

    /// A listening socket is found where no connection is, and counts as little.
    fn listener_port_of_nobody() -> u16 {
        listener().local_addr().expect("an address").port()
    }

    /// Where this process may: a socket that was given to another user is theirs.
    #[test]
    fn a_connection_of_another_user_is_not_ours() {
        let listener = listener();
        let pair = Pair::of(&listener);
        if std::os::unix::fs::fchown(&pair.client, Some(rustix::process::geteuid().as_raw() + 1), None)
            .is_err()
        {
            eprintln!("not tried: this user may not give a socket away");
            return;
        }
        assert!(!pair.asked());
    }
}
