//! A backend that must be left: what is in flight to it ends in time, and never as if it were whole.

use std::sync::Arc;

use tokio::{
    io::AsyncReadExt,
    time::{self, Duration},
};

use super::harness::{Backend, Client, Proxy, endpoint, until, web};
use crate::{
    endpoint::{Endpoint, Marks},
    moment::Moment,
    table::ServiceEntry,
};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";

/// A backend that answers every request with this, and no more.
async fn stuck(answer: &'static str) -> Backend {
    Backend::scripted(move |mut served| async move {
        served.message().await;
        served.send(answer).await;
        served.rest().await;
    })
    .await
}

async fn close(proxy: &Proxy, live: &Endpoint, over: Duration) {
    live.set_retired(Marks::DRAINING);
    assert!(live.close(Moment::now().plus(over)));
    proxy.workers.wake().await;
}

/// A client whose request is in flight to a backend that will say no more.
async fn waiting(request: &str, answer: &'static str) -> (Proxy, Arc<ServiceEntry>, Arc<Endpoint>, Client) {
    let backend = stuck(answer).await;
    let service = web(&[backend.address]);
    let live = endpoint(&service, backend.address);
    let proxy = Proxy::of(vec![Arc::clone(&service)]).await;
    let mut client = proxy.client().await;
    client.send(request).await;
    until(|| backend.heads().len() == 1).await;
    // The connections that it has stay open without it.
    std::mem::forget(backend);
    (proxy, service, live, client)
}

fn count(service: &ServiceEntry, reason: &str) -> u64 {
    let number = crate::reason::Reason::ALL.iter().position(|r| r.code() == reason).unwrap();
    service.counters.sum().reasons[number]
}

#[tokio::test]
async fn a_request_without_an_answer_goes_elsewhere_if_it_may_be_repeated() {
    let (old, new) = (stuck("").await, Backend::named("new").await);
    let service = web(&[old.address, new.address]);
    let (old_live, new_live) = (endpoint(&service, old.address), endpoint(&service, new.address));
    let proxy = Proxy::of(vec![service]).await;
    let mut client = proxy.client().await;
    // So that the first attempt is the old one's.
    new_live.set_retired(Marks::DRAINING);
    client.send(GET).await;
    until(|| old.heads().len() == 1).await;
    new_live.set_retired(Marks::default());
    close(&proxy, &old_live, Duration::from_millis(10)).await;
    assert_eq!(client.response().await.body, "new");
    assert_eq!(old_live.in_flight(), 0);
    assert_eq!(old_live.passive().totals().1, 0, "that is no fault of the backend");
}

#[tokio::test]
async fn one_that_may_not_be_repeated_is_told_why() {
    let (proxy, service, live, mut client) = waiting(POST, "").await;
    close(&proxy, &live, Duration::from_millis(10)).await;
    let response = client.response().await;
    assert_eq!(response.outcome(), (503, "backend_drain_timeout"));
    until(|| live.in_flight() == 0 && count(&service, "backend_drain_timeout") == 1).await;
}

#[tokio::test]
async fn a_body_under_way_is_cut_and_looks_it() {
    let (proxy, service, live, mut client) =
        waiting(GET, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
    assert!(client.head().await.contains("content-length: 9"));
    close(&proxy, &live, Duration::from_millis(10)).await;
    assert_eq!(client.rest().await, "abc");
    until(|| live.in_flight() == 0 && count(&service, "backend_drain_timeout") == 1).await;

    let (proxy, _, live, mut client) = waiting(GET, CHUNKED).await;
    assert!(client.head().await.contains("chunked"));
    close(&proxy, &live, Duration::from_millis(10)).await;
    assert_eq!(client.rest().await, "3\r\nabc\r\n", "no last chunk");
    until(|| live.in_flight() == 0).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_keeps_no_backend() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.send(CHUNKED).await;
        let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        loop {
            served.send(&piece).await;
        }
    })
    .await;
    let service = web(&[backend.address]);
    let live = endpoint(&service, backend.address);
    let proxy = Proxy::of(vec![service]).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    client.head().await;
    // Until nothing moves any more.
    let sent = || proxy.workers.counters().bytes_sent;
    let mut before = 0;
    while sent() > before {
        before = sent();
        time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(live.in_flight(), 1);
    close(&proxy, &live, Duration::from_millis(10)).await;
    until(|| live.in_flight() == 0).await;
    let mut rest = Vec::new();
    let _ = time::timeout(Duration::from_secs(10), client.0.read_to_end(&mut rest)).await.unwrap();
    assert!(!rest.ends_with(b"\r\n0\r\n\r\n"), "it looks whole");
}

#[tokio::test]
async fn a_tunnel_is_closed() {
    let upgrade = "GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n";
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello";
    let (proxy, service, live, mut client) = waiting(upgrade, answer).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101"));
    assert_eq!(client.bytes(5).await, "hello");
    assert_eq!(live.in_flight(), 1);
    close(&proxy, &live, Duration::from_millis(10)).await;
    assert_eq!(client.rest().await, "");
    until(|| live.in_flight() == 0 && count(&service, "backend_drain_timeout") == 1).await;
}

#[tokio::test]
async fn what_is_wanted_again_goes_on() {
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let at_backend = Arc::clone(&go);
    let backend = Backend::scripted(move |mut served| {
        let go = Arc::clone(&at_backend);
        async move {
            served.head().await;
            go.acquire().await.unwrap().forget();
            served.answer("late").await;
        }
    })
    .await;
    let service = web(&[backend.address]);
    let live = endpoint(&service, backend.address);
    let proxy = Proxy::of(vec![service]).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    until(|| backend.heads().len() == 1).await;
    // The time that is drawn is not over before that is taken back.
    close(&proxy, &live, Duration::from_hours(1)).await;
    live.set_retired(Marks::default());
    assert!(!live.close(Moment::now()), "it takes requests");
    proxy.workers.wake().await;
    proxy.workers.barrier().await;
    go.add_permits(1);
    assert_eq!(client.response().await.body, "late");
}
