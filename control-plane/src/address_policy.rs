//! Addresses that proxies may be made to dial: those of backends, and of the ports beside them where they are probed.
//!
//! The rule for a single address is the contract's ([`weir_proto::address`]), because every proxy asks it again when it
//! connects. Here it has what only a control plane knows: its own sockets, and whether loopback makes sense.

use std::net::{IpAddr, SocketAddr};

use weir_proto::address::{self, OwnSockets};

/// The rule, with what it depends on.
#[derive(Debug, Clone)]
pub(crate) struct AddressPolicy {
    /// Whether 127.0.0.0/8 and `::1` may be used.
    allow_loopback: bool,
    /// What this process listens on.
    own: OwnSockets,
}

impl AddressPolicy {
    /// The rule of a process that listens on `own`.
    pub(crate) fn new(allow_loopback: bool, own: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { allow_loopback, own: OwnSockets::new(own) }
    }

    /// Whether `address` may be a backend's. The reason is for people, and says what would be right.
    pub(crate) fn backend(&self, address: SocketAddr) -> Result<(), String> {
        self.check(address).map_err(|what| match what {
            Wrong::Loopback => format!(
                "{address} is a loopback address, which on every proxy is another machine; \
                 name one that all proxies reach, or start the control plane with --allow-loopback-backends"
            ),
            Wrong::Is(what) => format!("{address} is {what}; name the address on which the backend serves"),
        })
    }

    /// Whether a backend at `ip` may be probed on `port`. The address itself is another question.
    pub(crate) fn probe(&self, ip: IpAddr, port: u16) -> Result<(), String> {
        let address = SocketAddr::new(ip, port);
        if !self.own.contain(address) {
            return Ok(());
        }
        Err(format!(
            "{address}, where a backend would be probed, is the control plane itself; name the port on which the \
             backend tells of its health"
        ))
    }

    fn check(&self, address: SocketAddr) -> Result<(), Wrong> {
        if let Some(what) = address::never_a_backend(address.ip()) {
            Err(Wrong::Is(what))
        } else if self.own.contain(address) {
            Err(Wrong::Is("the control plane itself"))
        } else if address::is_loopback(address.ip()) && !self.allow_loopback {
            Err(Wrong::Loopback)
        } else {
            Ok(())
        }
    }
}

/// What is wrong with an address.
enum Wrong {
    /// It is one of the machine's own, and that is not meant.
    Loopback,
    /// It is something else.
    Is(&'static str),
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn policy(allow_loopback: bool, own: &[&str]) -> AddressPolicy {
        let own = OwnSockets::new(own.iter().map(|a| a.parse().expect("an address")));
        AddressPolicy { allow_loopback, own: own.on(|ip| ip == IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5))) }
    }

    fn allows(policy: &AddressPolicy, address: &str) -> bool {
        policy.backend(address.parse().expect("an address")).is_ok()
    }

    #[test]
    fn special_addresses_may_not_be_backends_whatever_loopback_may() {
        for allow_loopback in [false, true] {
            let policy = policy(allow_loopback, &["10.0.0.5:7400"]);
            for bad in ["0.0.0.0:80", "169.254.169.254:80", "[::ffff:0:a9fe:a9fe]:80", "[fe80::1%3]:80"] {
                assert!(!allows(&policy, bad), "{bad}");
            }
            for good in ["10.0.0.7:8080", "10.0.0.5:7401", "[2001:db8::1]:80", "[64:ff9b::10.0.0.7]:80"] {
                assert!(allows(&policy, good), "{good}");
            }
        }
    }

    #[test]
    fn loopback_is_a_setting() {
        for address in
            ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "[64:ff9b::7f00:1]:80"]
        {
            assert!(allows(&policy(true, &[]), address), "{address}");
            assert!(!allows(&policy(false, &[]), address), "{address}");
        }
        let reason = policy(false, &[]).backend(([127, 0, 0, 1], 80).into()).expect_err("refused");
        assert!(reason.contains("--allow-loopback-backends"), "{reason}");
    }

    #[test]
    fn the_control_plane_is_no_backend_and_is_not_probed() {
        for everywhere in ["0.0.0.0:7400", "[::]:7400"] {
            let policy = policy(true, &[everywhere]);
            for own in ["127.0.0.1", "::1", "10.0.0.5", "::ffff:10.0.0.5"] {
                let own: IpAddr = own.parse().expect("an address");
                assert!(policy.backend(SocketAddr::new(own, 7400)).is_err(), "{own}");
                assert!(policy.probe(own, 7400).is_err(), "{own}");
                assert!(policy.backend(SocketAddr::new(own, 7401)).is_ok(), "{own}");
                assert!(policy.probe(own, 7401).is_ok(), "{own}");
            }
        }
    }
}
