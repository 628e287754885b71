//! The addresses at which clients reach a proxy: by the sockets that it has open.

use std::net::{IpAddr, SocketAddr};

use weir_proto::v1;

use super::bounds::MOST_NAME;

/// The name of the address of `--listen` while it is open.
pub(super) const OWN: &str = "--listen";

/// Sockets that are kept of one proxy: each is a listener, and of those there are few.
const MOST_LISTENERS: usize = 1_000;

/// The sockets of a proxy that count.
pub(super) fn bounded(mut listeners: v1::OpenListeners) -> v1::OpenListeners {
    listeners
        .open
        .retain(|open| [&open.name, &open.address, &open.reached_at].iter().all(|text| is_short(text)));
    listeners.open.truncate(MOST_LISTENERS);
    listeners
}

/// The same with an address in place of 0.0.0.0, for a proxy whose stream comes from `peer`.
pub(super) fn resolve(mut listeners: v1::OpenListeners, peer: &str) -> v1::OpenListeners {
    for open in &mut listeners.open {
        if let Some(address) = address(&open.reached_at, peer).filter(|address| address.port() != 0) {
            open.reached_at = address.to_string();
        }
    }
    listeners
}

/// The addresses at which the sockets are reached, each once. Those of the loopback count only for a proxy on this
/// machine.
pub(super) fn addresses(listeners: &v1::OpenListeners, peer: &str) -> Vec<SocketAddr> {
    let is_here = ip(peer).is_none_or(|ip| ip.is_loopback());
    let found = listeners.open.iter().filter_map(|open| address(&open.reached_at, peer));
    let mut found: Vec<_> = found.filter(|address| is_here || !address.ip().is_loopback()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The address that the proxy says, if it is one; else where its stream comes from, without a port.
pub(super) fn address(said: &str, peer: &str) -> Option<SocketAddr> {
    match said.parse::<SocketAddr>() {
        // It listens everywhere, so at the address that its stream comes from too.
        Ok(any) if any.ip().is_unspecified() => ip(peer).map(|ip| SocketAddr::new(ip, any.port())),
        Ok(address) => Some(SocketAddr::new(address.ip().to_canonical(), address.port())),
        Err(_) => ip(peer).map(|ip| SocketAddr::new(ip, 0)),
    }
}

fn ip(peer: &str) -> Option<IpAddr> {
    peer.parse::<SocketAddr>().ok().map(|peer| peer.ip().to_canonical())
}

fn is_short(text: &str) -> bool {
    text.len() <= MOST_NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_sent_where_the_proxy_says_or_where_it_comes_from() {
        let to = |advertised, peer| address(advertised, peer).map(|a| a.to_string());
        assert_eq!(to("10.0.0.1:80", "10.9.9.9:5000").as_deref(), Some("10.0.0.1:80"));
        assert_eq!(to("[2001:db8::1]:80", "").as_deref(), Some("[2001:db8::1]:80"));
        assert_eq!(to("0.0.0.0:80", "10.9.9.9:5000").as_deref(), Some("10.9.9.9:80"));
        assert_eq!(to("", "[::ffff:10.9.9.9]:5000").as_deref(), Some("10.9.9.9:0"));
        assert_eq!(to("edge.example:80", "10.9.9.9:5000").as_deref(), Some("10.9.9.9:0"));
        assert_eq!(to("", ""), None);
    }

    fn open(reached_at: &[&str]) -> v1::OpenListeners {
        let open = |at: &&str| v1::OpenListener { reached_at: (*at).into(), ..Default::default() };
        v1::OpenListeners { open: reached_at.iter().map(open).collect() }
    }

    #[test]
    fn each_open_socket_is_reached_once_and_the_loopback_only_from_here() {
        let of = |sockets: &[&str], peer| {
            addresses(&open(sockets), peer).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let remote = "10.9.9.9:5000";
        assert_eq!(of(&["0.0.0.0:80", "[::]:80", "0.0.0.0:443"], remote), ["10.9.9.9:80", "10.9.9.9:443"]);
        assert_eq!(of(&["10.0.0.1:80", "10.0.0.1:80"], remote), ["10.0.0.1:80"]);
        assert_eq!(of(&["127.0.0.1:80"], remote), [""; 0]);
        assert_eq!(of(&["127.0.0.1:80"], "127.0.0.1:5000"), ["127.0.0.1:80"]);
        assert_eq!(of(&[], remote), [""; 0]);
        let shown = resolve(open(&["0.0.0.0:80", "edge.example:80"]), remote);
        let shown: Vec<_> = shown.open.iter().map(|open| open.reached_at.as_str()).collect();
        assert_eq!(shown, ["10.9.9.9:80", "edge.example:80"], "a name stays");
    }

    #[test]
    fn what_is_kept_of_a_proxys_sockets_is_bounded() {
        let one = open(&["10.0.0.1:80"]).open;
        let long = v1::OpenListener { name: "a".repeat(MOST_NAME + 1), ..Default::default() };
        let many = v1::OpenListeners { open: one.into_iter().cycle().take(MOST_LISTENERS + 1).collect() };
        assert_eq!(bounded(many).open.len(), MOST_LISTENERS);
        assert_eq!(bounded(v1::OpenListeners { open: vec![long] }).open, []);
    }
}
