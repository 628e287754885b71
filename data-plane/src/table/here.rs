//! The proxy that a table is compiled for: its zone, and the sockets of its own that it must not dial.

use std::net::SocketAddr;

use weir_proto::address::{self, OwnSockets};

/// The place of this proxy.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    /// Its zone; may be empty.
    pub(crate) zone: String,
    /// The sockets that are never a backend's. Its admin page is one of them, where clients would read what it shows.
    /// Those for traffic are none: that one listener leads to another is odd and possible, and a request that comes round
    /// again is answered with 508.
    own: OwnSockets,
}

impl Here {
    /// In that zone, with these sockets that are not for traffic.
    pub(crate) fn new(zone: &str, own: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { zone: zone.to_owned(), own: OwnSockets::new(own) }
    }

    /// What forbids to dial that address, if anything does. The control plane has asked the same: but it may be an older
    /// one, and what it does not know is what this proxy listens on.
    pub(crate) fn bars(&self, address: SocketAddr) -> Option<&'static str> {
        let own = || self.own.contain(address).then_some("this proxy's own admin page");
        address::never_a_backend(address.ip()).or_else(own)
    }
}

impl Default for Here {
    /// In no zone, without sockets.
    fn default() -> Self {
        Self::new("", [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_serves_on_and_the_admin_page_are_barred_however_they_are_spelled() {
        let here = Here::new("a", [SocketAddr::from(([127, 0, 0, 1], 9901))]);
        let bars = |address: &str| here.bars(address.parse().unwrap());
        for barred in
            ["127.0.0.1:9901", "[::ffff:127.0.0.1]:9901", "169.254.169.254:80", "[::ffff:0:a9fe:a9fe]:80"]
        {
            assert!(bars(barred).is_some(), "{barred}");
        }
        for free in ["127.0.0.1:8080", "10.0.0.7:9901", "[::1]:9901"] {
            assert_eq!(bars(free), None, "{free}");
        }
    }
}
