//! When what a proxy has turns out not to be what it should have.

use weir_proto::v1::{self, EventType, proxy_message::Message as Up};

use super::proxy::{Proxy, State};
use crate::harness::Server;

async fn resync_events(server: &Server) -> Vec<String> {
    let request = v1::WatchEventsRequest { past: 10_000, ..Default::default() };
    let mut events = server.admin().await.watch_events(request).await.expect("a stream").into_inner();
    // The registration that the caller makes last ends the list.
    server.register("end", "10.9.9.9:80").await;
    let mut messages = Vec::new();
    loop {
        let event = events.message().await.expect("alive").expect("an event");
        match event.r#type() {
            EventType::ProxyResynced => messages.push(event.message),
            EventType::ObjectCreated if event.message.contains("10.9.9.9") => return messages,
            EventType::ObjectCreated if event.object.is_some_and(|o| o.name.contains("10.9.9.9")) => {
                return messages;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_wrong_digest_is_answered_with_everything() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let mut proxy = Proxy::connect(&server, "edge", None).await;
    let at = proxy.follow().await;
    server.register("web", "10.0.0.2:80").await;
    let to = proxy.state().await.position();
    proxy.ack(v1::Position { digest: to.digest ^ 1, ..to }).await;
    assert_eq!(proxy.state().await, State::Snapshot { at: to, pages: 1 });
    proxy.ack(to).await;
    let events = resync_events(&server).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains("edge") && events[0].contains("digest"), "{events:?}");
    assert_ne!(at, to);
}

#[tokio::test]
async fn a_wrong_digest_in_the_hello_is_another_history_and_raises_an_alarm() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let known = Proxy::connect(&server, "edge", None).await.follow().await;
    let wrong = v1::Position { digest: known.digest ^ 1, ..known };
    let mut proxy = Proxy::connect(&server, "edge", Some(wrong)).await;
    let mut admin = server.admin().await;
    let kept_out = loop {
        let list = admin.list_proxies(v1::ListProxiesRequest {}).await.expect("a list").into_inner();
        if let Some(kept_out) = list.proxies.into_iter().find_map(|proxy| proxy.kept_out) {
            break kept_out;
        }
    };
    assert_eq!((kept_out.reason(), kept_out.own_revision), (v1::KeptOutReason::Fork, known.revision));
    let status = server.status().await;
    assert_eq!((status.kept_out_proxies, status.alarms.len()), (1, 1), "{status:?}");
    let accept = v1::AcceptEpochRequest { epoch: known.epoch };
    let accepted = admin.accept_epoch(accept).await.expect("accepted").into_inner();
    assert!(accepted.new_epoch && accepted.epoch != known.epoch, "{accepted:?}");
    let State::Snapshot { at, .. } = proxy.state().await else { panic!("not a snapshot") };
    assert_eq!((at.epoch, at.revision), (accepted.epoch, accepted.revision), "the first that it is sent");
}

#[tokio::test]
async fn a_proxy_that_asks_gets_everything_and_its_reason_is_told() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let mut proxy = Proxy::connect(&server, "edge", None).await;
    let at = proxy.state().await.position();
    proxy.say(Up::Resync(v1::Resync { reason: "page 3 is missing".to_owned() })).await;
    assert_eq!(proxy.state().await, State::Snapshot { at, pages: 1 });
    let events = resync_events(&server).await;
    assert!(events.iter().any(|e| e.contains("page 3 is missing")), "{events:?}");
}

#[tokio::test]
async fn a_proxy_that_keeps_a_new_epoch_out_hears_when_it_is_accepted() {
    let server = Server::start();
    let other = v1::Position { epoch: 77, revision: 5, digest: 5 };
    let mut proxy = Proxy::connect(&server, "edge", Some(other)).await;
    let at = proxy.state().await.position();
    let accept = v1::AcceptEpochRequest { epoch: at.epoch };
    let accepted = server.admin().await.accept_epoch(accept).await.expect("accepted").into_inner().revision;
    let State::Snapshot { at, .. } = proxy.state().await else { panic!("not a snapshot") };
    assert_eq!(at.revision, accepted);
    proxy.ack(at).await;
    server.register("web", "10.0.0.1:80").await;
    assert!(matches!(proxy.state().await, State::Delta { .. }), "from here on as any other");
}
