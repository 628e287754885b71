//! The sockets that a process listens on, however their addresses are spelled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::{destinations, is_unspecified};

/// The port to which a route is asked for: RFC 863.
const DISCARD: u16 = 9;

/// The sockets that a process listens on: no backend, and no place where a probe may ask.
#[derive(Debug, Clone)]
pub struct OwnSockets {
    addresses: Vec<SocketAddr>,
    /// Whether an address is one of this machine's.
    is_local: fn(IpAddr) -> bool,
}

impl OwnSockets {
    /// Those with these addresses, with the real ports.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { addresses: addresses.into_iter().collect(), is_local }
    }

    /// The same, on a machine that has the addresses for which `is_local` holds.
    #[must_use]
    pub fn on(self, is_local: fn(IpAddr) -> bool) -> Self {
        Self { is_local, ..self }
    }

    /// Whether a connection to `address` arrives at one of them. A socket that is bound to the unspecified address is
    /// at every address of the machine.
    #[must_use]
    pub fn contain(&self, address: SocketAddr) -> bool {
        let mut same_port = self.addresses.iter().filter(|own| own.port() == address.port());
        same_port.any(|own| {
            let bound = own.ip().to_canonical();
            destinations(address.ip())
                .any(|ip| bound == ip || (is_unspecified(bound) && (ip.is_loopback() || (self.is_local)(ip))))
        })
    }
}

/// This machine's addresses alone are reached from themselves. The socket sends nothing; that one can be bound to an
/// address says less, for a system may allow that of any (`ip_nonlocal_bind`).
fn is_local(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, DISCARD))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contain(own: &[&str], address: &str) -> bool {
        let own = OwnSockets::new(own.iter().map(|a| a.parse().expect("an address")));
        own.on(|ip| ip == IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5)))
            .contain(address.parse().expect("an address"))
    }

    #[test]
    fn a_socket_is_found_under_every_spelling_of_its_address() {
        let own = ["127.0.0.1:7400", "[::1]:7401"];
        for address in ["127.0.0.1:7400", "[::ffff:127.0.0.1]:7400", "[::1]:7401", "[64:ff9b::7f00:1]:7400"] {
            assert!(contain(&own, address), "{address}");
        }
        for address in ["127.0.0.2:7400", "127.0.0.1:7401", "10.0.0.5:7400"] {
            assert!(!contain(&own, address), "{address}");
        }
    }

    #[test]
    fn a_socket_on_every_address_is_at_each_of_this_machine() {
        for everywhere in ["0.0.0.0:7400", "[::]:7400", "[::ffff:0.0.0.0]:7400"] {
            for address in
                ["127.0.0.1:7400", "127.0.0.2:7400", "[::1]:7400", "10.0.0.5:7400", "[::ffff:10.0.0.5]:7400"]
            {
                assert!(contain(&[everywhere], address), "{everywhere} {address}");
            }
            assert!(!contain(&[everywhere], "10.0.0.6:7400"), "another machine's port is free to use");
            assert!(!contain(&[everywhere], "10.0.0.5:7401"));
        }
    }

    #[test]
    fn this_machine_knows_its_own_addresses() {
        assert!(is_local(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_local(Ipv4Addr::new(203, 0, 113, 1).into()), "a documentation address is nobody's");
    }
}
