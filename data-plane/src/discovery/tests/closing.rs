//! The word that what is in flight to a backend must end.

use super::*;

/// Has the proxy handle what was sent before.
async fn handled(peer: &mut Peer, sequence: u64) {
    peer.send(Down::Ping(v1::Ping { sequence })).await;
    assert_eq!(peer.answer().await, Some(Up::Pong(v1::Pong { sequence })));
}

fn endpoint(proxy: &Proxy) -> Arc<crate::endpoint::Endpoint> {
    let table = proxy.table.load_full().unwrap();
    Arc::clone(&table.services["web"].members.values().next().unwrap().endpoint)
}

fn close(backend: &str) -> Down {
    let over = Some(weir_proto::duration_to_wire(Duration::from_secs(1)));
    Down::Close(v1::Close { backend: backend.into(), over })
}

#[tokio::test]
async fn only_a_backend_that_drains_is_closed_and_it_is_open_again_when_it_is_enabled() {
    let (_plane, mut peer, proxy, first) = started(&web(2)).await;
    let endpoint = endpoint(&proxy);
    peer.send(close("web/10.0.0.1:80")).await;
    handled(&mut peer, 1).await;
    assert!(!endpoint.is_retired(true), "it is enabled");

    let draining = backend_in_state("web", "10.0.0.1:80", v1::OperatorState::Draining);
    let second = state(1, 2, &[service("web"), draining]);
    peer.delta(&first, &second).await;
    peer.ack().await;
    for other in ["web/10.0.0.2:80", "nonsense", ""] {
        peer.send(close(other)).await;
    }
    handled(&mut peer, 2).await;
    assert!(endpoint.is_retired(false) && !endpoint.is_retired(true), "clients stay where they are");
    peer.send(close("web/10.0.0.1:80")).await;
    handled(&mut peer, 3).await;
    assert!(endpoint.is_retired(true), "they do not any more");

    let third = state(1, 3, &web(2));
    peer.delta(&second, &third).await;
    peer.ack().await;
    assert!(!endpoint.is_retired(false));
}
