//! Which addresses are this machine's own, and which of them this process listens at.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use parking_lot::RwLock;

use super::address::embedded;

/// Any port does: nothing is sent.
const SOME_PORT: u16 = 9;

/// Whether a connection to the address would stay on this machine. Asked for each exchange: addresses come and go.
pub fn is_own(address: IpAddr) -> io::Result<bool> {
    let address = embedded(address);
    if address.is_loopback() || address.is_unspecified() || is_routed_here(address) {
        return Ok(true);
    }
    let all = if_addrs::get_if_addrs()?;
    Ok(all.iter().any(|interface| interface.ip().to_canonical() == address))
}

/// What is sent to an address of one's own comes from that address, or from loopback's where a whole prefix is routed to
/// this machine: so the kernel says also of addresses that no interface has but its table of local routes. Nothing is
/// sent by this.
fn is_routed_here(address: IpAddr) -> bool {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, SOME_PORT))?;
        socket.local_addr()
    });
    // Without a route nothing is dialled anyway.
    from.is_ok_and(|from| from.ip().to_canonical() == address || from.ip().is_loopback())
}

/// Where this process listens: no guest is let in there, whatever it is granted.
#[derive(Clone, Debug, Default)]
pub struct Listeners(Arc<RwLock<Vec<SocketAddr>>>);

impl Listeners {
    pub fn add(&self, address: SocketAddr) {
        self.0.write().push(address);
    }

    /// Whether a connection to `target` would come to one of them. `is_own` knows the machine's addresses.
    pub fn include(
        &self,
        target: SocketAddr,
        is_own: impl Fn(IpAddr) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let to = embedded(target.ip());
        for listener in self.0.read().iter() {
            if listener.port() != target.port() {
                continue;
            }
            let at = listener.ip().to_canonical();
            // To no address in particular is to loopback.
            let reaches = match (at.is_unspecified(), to.is_unspecified()) {
                (true, _) => is_own(to)?,
                (false, true) => at.is_loopback(),
                (false, false) => at == to,
            };
            if reaches {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_knows_its_own_addresses_in_every_form() {
        let all = if_addrs::get_if_addrs().expect("interfaces");
        let of_interfaces = all.iter().map(|one| one.ip());
        let usual =
            ["127.0.0.1", "127.8.9.10", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1"];
        for address in of_interfaces.chain(usual.map(|text| text.parse().expect(text))) {
            assert!(is_own(address).expect("interfaces"), "{address}");
        }
        // Of documentation: no machine has them.
        for address in ["198.51.100.77", "2001:db8::77", "::ffff:198.51.100.77", "64:ff9b::c633:644d"] {
            assert!(!is_own(address.parse().expect(address)).expect("interfaces"), "{address}: {all:?}");
        }
    }

    #[test]
    fn a_listener_is_known_by_every_way_to_it() {
        let own = |address: IpAddr| {
            let here = ["127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::", "198.51.100.7"];
            Ok(here.iter().any(|text| text.parse() == Ok(address)))
        };
        for (listener, target, reached) in [
            ("127.0.0.1:1919", "127.0.0.1:1919", true),
            ("127.0.0.1:1919", "[::ffff:127.0.0.1]:1919", true),
            ("127.0.0.1:1919", "[64:ff9b::7f00:1]:1919", true),
            ("127.0.0.1:1919", "0.0.0.0:1919", true),
            ("[::1]:1919", "[::]:1919", true),
            ("127.0.0.1:1919", "127.0.0.1:1920", false),
            ("127.0.0.1:1919", "198.51.100.7:1919", false),
            ("0.0.0.0:1919", "127.0.0.2:1919", true),
            ("[::]:1919", "198.51.100.7:1919", true),
            ("[::]:1919", "203.0.113.9:1919", false),
        ] {
            let listeners = Listeners::default();
            listeners.add("127.0.0.1:1".parse().expect("an address"));
            listeners.add(listener.parse().expect(listener));
            let target_address = target.parse().expect(target);
            assert_eq!(listeners.include(target_address, own).ok(), Some(reached), "{listener} {target}");
        }
    }
}
