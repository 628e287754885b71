//! Acknowledgements, refusals and reports, and what others see of them.

use weir_proto::v1::{self, deregister_request::Target, proxy_message::Message as Up};

use super::proxy::Proxy;
use crate::harness::Server;

/// Asks until the one proxy is `seen` to be so; the test's own time limit ends it otherwise.
async fn until(server: &Server, seen: impl Fn(&v1::ProxyInfo) -> bool) -> v1::ProxyInfo {
    let mut admin = server.admin().await;
    loop {
        let list = admin.list_proxies(v1::ListProxiesRequest {}).await.expect("a list").into_inner();
        if let Some(proxy) = list.proxies.into_iter().find(&seen) {
            return proxy;
        }
    }
}

#[tokio::test]
async fn operators_see_what_a_proxy_has_refused_and_reported() {
    let server = Server::start();
    let mut proxy = Proxy::connect(&server, "edge", None).await;
    let at = proxy.state().await.position();
    let new = until(&server, |proxy| proxy.connected).await;
    assert!(new.behind_since.is_some(), "it acknowledged nothing yet");
    let refused = v1::Refused {
        object: Some(v1::ObjectRef { kind: v1::ObjectKind::Listener as i32, name: "web".to_owned() }),
        field: "address".to_owned(),
        reason: "in use".to_owned(),
    };
    proxy.say(Up::Ack(v1::Ack { position: Some(at), refused: vec![refused.clone()] })).await;
    let state = v1::ProxyState::Draining as i32;
    proxy.say(Up::Report(v1::Report { state, in_flight: 9, ..Default::default() })).await;
    let seen = until(&server, |proxy| proxy.in_flight == 9).await;
    assert_eq!((seen.epoch, seen.revision, seen.digest), (at.epoch, at.revision, at.digest));
    assert_eq!((seen.refused.as_slice(), seen.state, seen.behind_since), ([refused].as_slice(), state, None));
    assert!(seen.connected && seen.peer_address.starts_with("127.0.0.1:"), "{seen:?}");

    drop(proxy);
    let left = until(&server, |proxy| !proxy.connected).await;
    assert!(left.disconnected_at.is_some());
}

#[tokio::test]
async fn a_drain_waits_for_the_last_request_of_every_proxy() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let mut proxy = Proxy::connect(&server, "edge", None).await;
    proxy.follow().await;
    let mut registry = server.registry().await;
    let call = tokio::spawn(async move {
        let target = Some(Target::Backend("web/10.0.0.1:80".to_owned()));
        let drain = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
        registry.deregister(v1::DeregisterRequest { target, drain }).await
    });
    let drained = proxy.follow().await;
    let report = |in_flight| {
        let draining = vec![v1::BackendInFlight { backend: "web/10.0.0.1:80".to_owned(), in_flight }];
        Up::Report(v1::Report { draining, in_flight, revision: drained.revision, ..Default::default() })
    };
    proxy.say(report(1)).await;
    until(&server, |proxy| proxy.in_flight == 1).await;
    assert!(!call.is_finished() && server.status().await.backends == 1, "a request is still in flight");
    proxy.say(report(0)).await;
    let answer = call.await.expect("no panic").expect("drained").into_inner();
    assert_eq!((answer.existed, answer.in_flight, answer.unacknowledged_proxies.len()), (true, 0, 0));
    assert_eq!(proxy.follow().await.revision, answer.revision, "the removal comes at once");
}

#[tokio::test]
async fn a_drain_that_runs_out_of_time_says_what_was_left() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let _silent = Proxy::connect(&server, "edge", None).await;
    until(&server, |proxy| proxy.connected).await;
    let target = Some(Target::Backend("web/10.0.0.1:80".to_owned()));
    let drain = Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 });
    let answer = server.registry().await.deregister(v1::DeregisterRequest { target, drain }).await;
    let answer = answer.expect("removed all the same").into_inner();
    assert!(answer.existed);
    assert_eq!(answer.unacknowledged_proxies, ["edge"]);
}
