//! What a proxy says of itself first.

use weir_proto::{Invalid, ProxyId, ServiceName, v1};

use crate::{fleet::Identity, rpc::visible, snapshot::Position};

/// Characters of a version.
const MOST_VERSION: usize = 128;
/// Characters of `host:port`: a DNS name, a colon and a port.
const MOST_ADDRESS: usize = 253 + 1 + 5;

/// Who the proxy is, and what it has.
pub(super) fn decode(
    hello: v1::Hello,
    peer_address: String,
) -> Result<(Identity, Option<Position>), Invalid> {
    let id = ProxyId::try_from(hello.proxy_id.as_str()).map_err(|e| e.within("proxy_id"))?;
    if !hello.zone.is_empty() {
        ServiceName::try_from(hello.zone.as_str()).map_err(|e| e.within("zone"))?;
    }
    visible("version", &hello.version, MOST_VERSION)?;
    visible("advertised_address", &hello.advertised_address, MOST_ADDRESS)?;
    // What a proxy of a lower level must not apply it refuses by itself, by Object.level.
    tracing::debug!(proxy = %id, level = hello.level, boot = hello.boot_id, "a proxy says hello");
    let identity = Identity {
        id,
        boot_id: hello.boot_id,
        version: hello.version,
        zone: hello.zone,
        advertised_address: hello.advertised_address,
        peer_address,
    };
    Ok((identity, hello.position.map(Position::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut v1::Hello)) -> Option<String> {
        let mut hello = v1::Hello { proxy_id: "edge-1".to_owned(), ..Default::default() };
        change(&mut hello);
        decode(hello, String::new()).err().map(|e| e.field)
    }

    #[test]
    fn a_proxy_must_be_somebody_and_the_rest_is_bounded() {
        assert_eq!(refusal(|_| {}), None);
        assert_eq!(refusal(|h| h.proxy_id.clear()).as_deref(), Some("proxy_id"));
        assert_eq!(refusal(|h| h.proxy_id = "a b".into()).as_deref(), Some("proxy_id"));
        assert_eq!(refusal(|h| h.zone = "A".into()).as_deref(), Some("zone"));
        assert_eq!(refusal(|h| h.version = "v".repeat(129)).as_deref(), Some("version"));
        assert_eq!(
            refusal(|h| h.advertised_address = "a\n:80".into()).as_deref(),
            Some("advertised_address")
        );
    }
}
