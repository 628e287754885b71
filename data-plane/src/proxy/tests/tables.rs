//! Tables that change while requests are under way.

use std::sync::Arc;

use tokio::{sync::Semaphore, time::Duration};

use super::harness::{Backend, Proxy, endpoint, until, web};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn after_the_barrier_nothing_new_reaches_a_retired_backend() {
    let (old, new) = (Backend::named("old").await, Backend::named("new").await);
    let before = web(&[old.address]);
    let retired = endpoint(&before, old.address);
    let proxy = Arc::new(Proxy::of(vec![before]).await);
    let stop = Arc::new(Semaphore::new(0));
    let mut clients = Vec::new();
    for _ in 0..8 {
        let (proxy, stop) = (Arc::clone(&proxy), Arc::clone(&stop));
        clients.push(tokio::spawn(async move {
            let mut client = proxy.client().await;
            while stop.available_permits() == 0 {
                assert_eq!(client.ask(GET).await.status(), 200);
            }
        }));
    }
    until(|| old.heads().len() > 100).await;
    proxy.serve(vec![web(&[new.address])], &[]);
    retired.set_retired(crate::endpoint::Marks::GONE);
    proxy.workers.barrier().await;
    until(|| retired.in_flight() == 0).await;
    let seen = old.heads().len();
    until(|| new.heads().len() > 100).await;
    stop.add_permits(1);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(old.heads().len(), seen);
    assert_eq!(proxy.workers.counters().unrouted.reasons.iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn idle_connections_to_a_retired_backend_are_closed() {
    let backend = Backend::named("a").await;
    let service = web(&[backend.address]);
    let live = endpoint(&service, backend.address);
    let proxy = Proxy::of(vec![service]).await;
    proxy.ask(GET).await;
    until(|| proxy.workers.counters().upstream_open == 1).await;
    live.set_retired(crate::endpoint::Marks::GONE);
    proxy.workers.barrier().await;
    until(|| proxy.workers.counters().upstream_open == 0).await;
}

#[tokio::test]
async fn a_request_in_flight_outlives_its_backends_retirement() {
    let gate = Arc::new(Semaphore::new(0));
    let at_backend = Arc::clone(&gate);
    let backend = Backend::scripted(move |mut served| {
        let gate = Arc::clone(&at_backend);
        async move {
            served.head().await;
            gate.acquire().await.unwrap().forget();
            served.answer("late").await;
        }
    })
    .await;
    let service = web(&[backend.address]);
    let live = endpoint(&service, backend.address);
    let proxy = Proxy::of(vec![service]).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    until(|| !backend.heads().is_empty()).await;
    live.set_retired(crate::endpoint::Marks::GONE);
    proxy.serve(vec![web(&[])], &[]);
    proxy.workers.barrier().await;
    assert_eq!(live.in_flight(), 1);
    gate.add_permits(1);
    assert_eq!(client.response().await.body, "late");
    until(|| live.in_flight() == 0).await;
    assert_eq!(client.ask(GET).await.status(), 503);
}

#[tokio::test]
async fn service_counters_tell_what_was_relayed() {
    let backend = Backend::named("a").await;
    let service = web(&[backend.address]);
    let counters = Arc::clone(&service.counters);
    let proxy = Proxy::of(vec![service]).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        client.ask(GET).await;
    }
    until(|| counters.sum().relayed == [0, 3, 0, 0, 0]).await;
    let sums = proxy.workers.counters();
    assert_eq!((sums.upstream_opened, sums.upstream_reused), (1, 2));
    assert!(sums.bytes_received >= 3 * GET.len() as u64 && sums.bytes_sent > 0);
    assert!(Duration::from_micros(counters.sum().duration_micros) < Duration::from_mins(1));
}

#[tokio::test]
async fn a_request_whose_table_has_nothing_left_goes_by_the_newest() {
    let gate = Arc::new(Semaphore::new(0));
    let at_backend = Arc::clone(&gate);
    let old = Backend::scripted(move |mut served| {
        let gate = Arc::clone(&at_backend);
        async move {
            served.head().await;
            gate.acquire().await.unwrap().forget();
            // Closed without an answer: the request may be sent again, but not here.
        }
    })
    .await;
    let new = Backend::named("new").await;
    let service = web(&[old.address]);
    let retired = endpoint(&service, old.address);
    let proxy = Proxy::of(vec![service]).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    until(|| !old.heads().is_empty()).await;
    proxy.serve(vec![web(&[new.address])], &[]);
    retired.set_retired(crate::endpoint::Marks::GONE);
    proxy.workers.barrier().await;
    gate.add_permits(1);
    assert_eq!(client.response().await.body, "new");
    assert_eq!(old.heads().len(), 1);
}
