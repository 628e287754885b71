//! The traffic sockets that are open, as the control plane is told of them: see `OpenListener` in `admin.proto`.

use std::{collections::BTreeMap, net::SocketAddr};

use weir_proto::v1;

use super::Identity;
use crate::worker::Terms;

/// All of them.
pub(super) fn listeners(open: &BTreeMap<SocketAddr, Terms>, identity: &Identity) -> v1::OpenListeners {
    let listener = |(address, terms): (&SocketAddr, &Terms)| v1::OpenListener {
        name: terms.name.to_string(),
        address: address.to_string(),
        protocol: v1::ListenerProtocol::from(terms.protocol) as i32,
        tls: terms.tls.is_some(),
        reached_at: reached_at(*address, &identity.advertised_address, identity.listen),
    };
    v1::OpenListeners { open: open.iter().map(listener).collect() }
}

/// The address at which clients reach a socket, from what `--advertise` and `--listen` say. A port that is advertised
/// and not listened on is mapped by somebody, and stays as it is said. The host that is advertised leads to the address
/// of `--listen`: a socket on another one is told with its own.
fn reached_at(socket: SocketAddr, advertised: &str, listen: Option<SocketAddr>) -> String {
    let Some((host, port)) = advertised.rsplit_once(':') else { return socket.to_string() };
    let Some(listen) = listen.filter(|listen| port.parse() == Ok(listen.port())) else {
        return advertised.to_owned();
    };
    let is_behind_host =
        socket.ip().is_unspecified() || socket.ip().to_canonical() == listen.ip().to_canonical();
    if is_behind_host { format!("{host}:{}", socket.port()) } else { socket.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_port_follows_the_sockets_unless_somebody_maps_it() {
        let at = |advertised, listen: Option<&str>| {
            let socket = "0.0.0.0:8443".parse().unwrap();
            reached_at(socket, advertised, listen.map(|listen| listen.parse().unwrap()))
        };
        let own = Some("0.0.0.0:8080");
        assert_eq!(at("", own), "0.0.0.0:8443");
        assert_eq!(at("10.0.0.7:8080", own), "10.0.0.7:8443");
        assert_eq!(at("0.0.0.0:8080", own), "0.0.0.0:8443");
        assert_eq!(at("[fd00::7]:8080", own), "[fd00::7]:8443");
        assert_eq!(at("edge.example:8080", own), "edge.example:8443");
        assert_eq!(at("10.0.0.7:80", own), "10.0.0.7:80");
        assert_eq!(at("10.0.0.7:8443", None), "10.0.0.7:8443");
    }

    #[test]
    fn an_advertised_host_stands_for_the_address_that_is_listened_on_only() {
        let at = |socket: &str, listen: &str| {
            reached_at(socket.parse().unwrap(), "edge.example:8080", Some(listen.parse().unwrap()))
        };
        assert_eq!(at("10.0.0.7:8443", "10.0.0.7:8080"), "edge.example:8443");
        assert_eq!(at("[::ffff:10.0.0.7]:8443", "10.0.0.7:8080"), "edge.example:8443");
        assert_eq!(at("[::]:8443", "10.0.0.7:8080"), "edge.example:8443");
        assert_eq!(at("127.0.0.1:8443", "10.0.0.7:8080"), "127.0.0.1:8443");
        assert_eq!(at("127.0.0.1:8443", "0.0.0.0:8080"), "127.0.0.1:8443");
    }
}
