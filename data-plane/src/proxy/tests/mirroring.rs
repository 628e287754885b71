//! Copies of requests to another service, of which nobody notices anything.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::mpsc::{self, UnboundedReceiver};
use weir_proto::{Mirror, ServiceName, ServiceProtocol};

use super::{
    harness::{Backend, Proxy, eager, field, refusing, service, until, within},
    replay::text,
};
use crate::table::ServiceEntry;

const GET: &str = "GET /a HTTP/1.1\r\nhost: shop.example:8080\r\n\r\n";

/// A service whose requests are copied to another one.
fn mirrored(backend: &Backend, mirror: SocketAddr, percent: u32) -> Vec<Arc<ServiceEntry>> {
    let name = ServiceName::try_from("mirror").unwrap();
    let to = Mirror { service: name, percent };
    let main = service("shop.example", &[backend.address], |service| service.mirror = Some(to));
    vec![main, service("mirror", &[mirror], eager)]
}

/// A mirror, and what it is sent.
async fn mirror() -> (Backend, UnboundedReceiver<(String, String)>) {
    let (sent, sees) = mpsc::unbounded_channel();
    let backend = Backend::scripted(move |mut served| {
        let sent = sent.clone();
        async move {
            while let Some(message) = served.message().await {
                sent.send(message).unwrap();
                served.answer("nobody reads this").await;
            }
        }
    })
    .await;
    (backend, sees)
}

fn put(body: &str, chunked: bool) -> String {
    let head = "PUT /a HTTP/1.1\r\nhost: shop.example:8080\r\nx-a: 1\r\n";
    if chunked && body.is_empty() {
        format!("{head}transfer-encoding: chunked\r\n\r\n0\r\n\r\n")
    } else if chunked {
        format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
    } else {
        format!("{head}content-length: {}\r\n\r\n{body}", body.len())
    }
}

#[tokio::test]
async fn the_copy_is_the_request_but_for_its_host() {
    let backend = Backend::echo().await;
    let (mirror, mut sees) = mirror().await;
    let proxy = Proxy::of(mirrored(&backend, mirror.address, 100)).await;
    let mut client = proxy.client().await;
    // What is chunked is copied if it is all here when its head is.
    for (size, chunked) in [(0, false), (0, true), (1, false), (5, true), (40_000, false), (64 << 10, false)]
    {
        let body = text(size);
        let response = client.ask(&put(&body, chunked)).await;
        assert!(response.status() == 200 && response.body == body);
        let (head, copied) = within(sees.recv()).await.unwrap();
        assert!(head.starts_with("PUT /a HTTP/1.1\r\n"), "{head}");
        assert_eq!(field(&head, "host"), Some("shop.example-shadow:8080"));
        assert_eq!(field(&head, "x-a"), Some("1"));
        assert!(copied == body, "{size} {chunked}: {head}");
    }
    assert_eq!(proxy.workers.counters().mirrored, 6);
    assert_eq!(mirror.heads().len(), 6);
}

#[tokio::test]
async fn copies_share_connections() {
    let backend = Backend::named("a").await;
    let (mirror, mut sees) = mirror().await;
    let services = mirrored(&backend, mirror.address, 100);
    let live = Arc::clone(&services[1].live);
    let proxy = Proxy::of(services).await;
    let mut client = proxy.client().await;
    for _ in 0..10 {
        assert_eq!(client.ask(GET).await.body, "a");
        within(sees.recv()).await.unwrap();
        until(|| live.gate().held() == 0).await;
    }
    assert_eq!(mirror.connections(), 1);
}

#[tokio::test]
async fn a_mirror_that_fails_changes_nothing() {
    let busy = Backend::saying("HTTP/1.1 503 So\r\ncontent-length: 0\r\n\r\n").await;
    let (resets, nonsense) = (Backend::resetting().await, Backend::saying("no\r\n\r\n").await);
    let silent = Backend::silent().await;
    for mirror in [refusing(), busy.address, resets.address, nonsense.address, silent.address] {
        let backend = Backend::echo().await;
        let proxy = Proxy::of(mirrored(&backend, mirror, 100)).await;
        let mut client = proxy.client().await;
        for _ in 0..10 {
            assert_eq!(client.ask(&put("body", false)).await.body, "body");
        }
        assert_eq!(proxy.workers.counters().retries, 0);
        assert_eq!(backend.connections(), 1);
    }
    // A copy may be on its way when the request has long been answered.
    until(|| !silent.heads().is_empty()).await;
}

#[tokio::test]
async fn what_is_large_or_not_asked_for_or_has_nowhere_to_go_is_not_copied() {
    let backend = Backend::echo().await;
    let (mirror, _sees) = mirror().await;
    let large = text((64 << 10) + 1);
    let gone = vec![mirrored(&backend, mirror.address, 100).remove(0)];
    for (services, body) in [
        (mirrored(&backend, mirror.address, 0), "body"),
        (mirrored(&backend, mirror.address, 100), &large),
        (gone, "body"),
    ] {
        let proxy = Proxy::of(services).await;
        let mut client = proxy.client().await;
        for _ in 0..5 {
            assert!(client.ask(&put(body, false)).await.body == body);
        }
        assert_eq!(proxy.workers.counters().mirrored, 0);
    }
    assert!(mirror.heads().is_empty());
}

#[tokio::test]
async fn no_more_is_copied_than_the_mirror_may_have() {
    let (backend, silent) = (Backend::named("a").await, Backend::silent().await);
    let mut services = mirrored(&backend, silent.address, 100);
    let mirror = Arc::get_mut(&mut services[1]).unwrap();
    Arc::get_mut(&mut mirror.service).unwrap().circuit_breakers.max_requests = 3;
    let proxy = Proxy::of(services).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        assert_eq!(client.ask(GET).await.body, "a");
    }
    until(|| silent.heads().len() == 3).await;
    assert_eq!(proxy.workers.counters().mirrored, 3);
}

#[tokio::test]
async fn a_mirror_may_speak_another_protocol() {
    let (backend, hears) = (Backend::named("a").await, Backend::silent().await);
    let mut services = mirrored(&backend, hears.address, 100);
    let mirror = Arc::get_mut(&mut services[1]).unwrap();
    Arc::get_mut(&mut mirror.service).unwrap().protocol = ServiceProtocol::Http2;
    let proxy = Proxy::of(services).await;
    assert_eq!(proxy.ask(GET).await.body, "a");
    // The preface of HTTP/2 looks like a head.
    until(|| hears.heads() == ["PRI * HTTP/2.0\r\n\r\n"]).await;
}
