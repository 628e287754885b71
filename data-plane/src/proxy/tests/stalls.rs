//! HTTP/1 clients that take nothing: what their requests hold, and who gets it.

use std::sync::Arc;

use tokio::{io::AsyncBufReadExt, time::Duration};
use weir_proto::{CircuitBreakers, Limits};

use super::harness::{Backend, Client, Proxy, eager, ended, endpoint, service, until, within};
use crate::{reason::Reason, table::ServiceEntry};

const BIG: &str = "GET /big HTTP/1.1\r\nhost: a\r\n\r\n";
const SMALL: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const GRACE: Duration = Duration::from_millis(100);

/// More than all buffers between a backend and a client together.
const SIZE: usize = 64 << 20;

/// Answers `/big` with much, and others with little; `head` says how the body is framed.
async fn backend(head: fn(usize) -> String) -> Backend {
    Backend::scripted(move |mut served| async move {
        while let Some(request) = served.head().await {
            if request.starts_with("GET /big") {
                served.send(&format!("{}{}", head(SIZE), "x".repeat(SIZE))).await;
            } else {
                served.answer("small").await;
            }
        }
    })
    .await
}

fn sized(n: usize) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {n}\r\n\r\n")
}

fn chunked(n: usize) -> String {
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{n:x}\r\n")
}

/// Those who wait do so for long, and clients have the `GRACE`.
fn bounded(backend: &Backend, change: impl FnOnce(&mut CircuitBreakers)) -> Arc<ServiceEntry> {
    service("web", &[backend.address], |service| {
        eager(service);
        service.circuit_breakers.stall_grace = GRACE;
        service.circuit_breakers.queue_timeout = Duration::from_mins(1);
        service.timeouts.connect = Duration::from_mins(1);
        change(&mut service.circuit_breakers);
    })
}

/// A client that asks for much and reads no more than the head.
async fn stalled(proxy: &Proxy) -> Client {
    let mut client = proxy.client().await;
    client.send(BIG).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    client
}

/// Whether the proxy has reset the connection: whoever reads on does not get to the end.
async fn is_cut(mut client: Client) -> bool {
    use tokio::io::AsyncReadExt;
    let mut rest = Vec::new();
    within(client.0.read_to_end(&mut rest)).await.is_err()
}

#[tokio::test]
async fn a_client_that_takes_nothing_makes_way_for_one_that_waits() {
    for head in [sized, chunked] {
        for change in [
            (|breakers| breakers.max_requests = 1) as fn(&mut CircuitBreakers),
            |breakers| breakers.max_requests_per_backend = 1,
            |breakers| breakers.max_connections_per_backend = 1,
        ] {
            let backend = backend(head).await;
            let entry = bounded(&backend, change);
            let (live, counters) = (Arc::clone(&entry.live), Arc::clone(&entry.counters));
            let proxy = Proxy::of(vec![entry]).await;
            let first = stalled(&proxy).await;
            assert_eq!(proxy.ask(SMALL).await.body, "small");
            assert!(is_cut(first).await);
            until(|| live.gate().held() == 0).await;
            assert_eq!(ended(&counters, Reason::ClientDisplaced), 1);
        }
    }
}

#[tokio::test]
async fn the_one_that_has_taken_nothing_for_longest_goes_first_and_no_more_than_are_needed() {
    let backend = backend(sized).await;
    let entry = bounded(&backend, |breakers| breakers.max_requests = 3);
    let (live, counters) = (Arc::clone(&entry.live), Arc::clone(&entry.counters));
    let proxy = Proxy::of(vec![entry]).await;
    let mut clients = Vec::new();
    for n in 1..=3 {
        clients.push(stalled(&proxy).await);
        until(|| live.gate().stalls().listening() == n).await;
    }
    assert_eq!(proxy.ask(SMALL).await.body, "small");
    assert!(is_cut(clients.remove(0)).await);
    assert_eq!(ended(&counters, Reason::ClientDisplaced), 1);
    // The place of the first one is free now: nobody else goes.
    for _ in 0..10 {
        assert_eq!(proxy.ask(SMALL).await.body, "small");
    }
    assert_eq!((live.gate().held(), ended(&counters, Reason::ClientDisplaced)), (2, 1));
}

#[tokio::test]
async fn nobody_goes_while_nobody_waits_and_a_slow_client_gets_all() {
    let backend = backend(sized).await;
    let entry = bounded(&backend, |_| ());
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    let mut client = stalled(&proxy).await;
    until(|| live.gate().stalls().listening() == 1).await;
    assert_eq!(proxy.ask(SMALL).await.body, "small");
    assert_eq!(client.bytes(SIZE).await.len(), SIZE);
    assert_eq!(live.gate().stalls().listening(), 0, "it has taken something");
}

#[tokio::test]
async fn a_tunnel_whose_client_takes_nothing_makes_way_too() {
    let backend = Backend::scripted(|mut served| async move {
        while let Some(request) = served.head().await {
            if request.contains("upgrade: much") {
                served.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n").await;
                served.send(&format!("upgrade: much\r\n\r\n{}", "x".repeat(SIZE))).await;
                return;
            }
            served.answer("small").await;
        }
    })
    .await;
    let entry = bounded(&backend, |breakers| breakers.max_requests = 1);
    let counters = Arc::clone(&entry.counters);
    let proxy = Proxy::of(vec![entry]).await;
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: much\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 101"));
    assert_eq!(proxy.ask(SMALL).await.body, "small");
    until(|| ended(&counters, Reason::ClientDisplaced) == 1).await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_more_of_its_body_makes_way_too() {
    let backend = Backend::scripted(|mut served| async move {
        while served.message().await.is_some() {
            served.answer("small").await;
        }
    })
    .await;
    let entry = bounded(&backend, |breakers| breakers.max_requests = 1);
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    let mut client = proxy.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    until(|| live.gate().stalls().listening() == 1).await;
    assert_eq!(proxy.ask(SMALL).await.body, "small");
    assert_eq!(client.response().await.outcome(), (408, "request_body_timeout"));
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn the_connection_that_has_been_idle_for_longest_makes_way_for_a_new_one() {
    let backend = backend(sized).await;
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let proxy = Proxy::limited(vec![bounded(&backend, |_| ())], limits).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(served(&proxy).await);
    }
    for mut gone in clients.drain(..2) {
        assert_eq!(gone.rest().await, "");
    }
    for mut kept in clients {
        assert_eq!(kept.ask(SMALL).await.body, "small");
    }
}

/// A client that was served. It may find the proxy full for the moment in which one that idles has not said so.
async fn served(proxy: &Proxy) -> Client {
    loop {
        let mut client = proxy.client().await;
        client.send(SMALL).await;
        if within(client.0.fill_buf()).await.is_ok_and(|bytes| !bytes.is_empty()) {
            assert_eq!(client.response().await.body, "small");
            return client;
        }
    }
}

#[tokio::test]
async fn a_connection_whose_client_takes_nothing_makes_way_for_a_new_one() {
    let backend = backend(sized).await;
    let limits = Limits { max_connections: 1, ..Limits::default() };
    let entry = bounded(&backend, |_| ());
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::limited(vec![entry], limits).await;
    let first = stalled(&proxy).await;
    until(|| live.gate().stalls().listening() == 1).await;
    assert_eq!(proxy.ask(SMALL).await.body, "small");
    assert!(is_cut(first).await);
}

#[tokio::test]
async fn a_client_has_no_more_requests_than_its_share() {
    let backend = backend(sized).await;
    let entry = bounded(&backend, |breakers| breakers.max_requests_per_client = 2);
    let live = endpoint(&entry, backend.address);
    let proxy = Proxy::of(vec![entry]).await;
    let (first, second) = (stalled(&proxy).await, stalled(&proxy).await);
    let refused = proxy.ask(SMALL).await;
    assert_eq!(refused.outcome(), (429, "client_share"));
    assert_eq!(refused.field("retry-after"), Some("1"));
    drop(first);
    until(|| live.in_flight() == 1).await;
    assert_eq!(proxy.ask(SMALL).await.body, "small");
    drop(second);
}
