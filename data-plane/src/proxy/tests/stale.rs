//! Idle connections that the backend has given up, or will.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use tokio::task::JoinSet;

use super::harness::{Backend, Proxy, Served, endpoint, service, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab";

/// Connections that the proxy has at the same moment.
const AT_ONCE: usize = 8;

/// Answers the first request of each connection, when all have come, and no other one of a connection made before
/// `died`.
async fn dying(died: &Arc<AtomicBool>) -> Backend {
    let (died, come) = (Arc::clone(died), Arc::new(AtomicUsize::new(0)));
    Backend::scripted(move |served| life(served, Arc::clone(&died), Arc::clone(&come))).await
}

async fn life(mut served: Served, died: Arc<AtomicBool>, come: Arc<AtomicUsize>) {
    let born = died.load(Relaxed);
    while served.message().await.is_some() {
        if died.load(Relaxed) != born {
            return;
        }
        come.fetch_add(1, Relaxed);
        until(|| come.load(Relaxed) >= AT_ONCE).await;
        served.answer("a").await;
    }
}

async fn fill(proxy: &Arc<Proxy>) {
    let mut clients = JoinSet::new();
    for _ in 0..AT_ONCE {
        let proxy = Arc::clone(proxy);
        clients.spawn(async move { proxy.ask(GET).await.status() });
    }
    assert_eq!(clients.join_all().await, [200; AT_ONCE]);
}

#[tokio::test]
async fn where_every_idle_connection_is_dead_nothing_fails_and_nothing_is_retried() {
    let died = Arc::new(AtomicBool::new(false));
    let backend = dying(&died).await;
    let entry = service("web", &[backend.address], |service| {
        service.retry_policy.num_retries = 0;
        service.outlier_detection.consecutive_5xx = 1;
    });
    let endpoint = endpoint(&entry, backend.address);
    let proxy = Arc::new(Proxy::of(vec![entry]).await);
    fill(&proxy).await;
    died.store(true, Relaxed);
    for request in 0..4 * AT_ONCE {
        assert_eq!(proxy.ask(GET).await.status(), 200, "request {request}");
    }
    assert_eq!(proxy.workers.counters().retries, 0);
    assert_eq!(endpoint.passive().totals().1, 0, "it says nothing about the backend");
}

#[tokio::test]
async fn what_is_not_idempotent_and_went_to_a_dead_connection_is_not_sent_again() {
    let died = Arc::new(AtomicBool::new(false));
    let backend = dying(&died).await;
    let entry = service("web", &[backend.address], |service| service.outlier_detection.disabled = true);
    let proxy = Arc::new(Proxy::of(vec![entry]).await);
    fill(&proxy).await;
    died.store(true, Relaxed);
    let mut statuses = Vec::new();
    for _ in 0..2 * AT_ONCE {
        statuses.push(proxy.ask(POST).await.status());
    }
    let seen = backend.heads().iter().filter(|head| head.starts_with("POST")).count();
    assert_eq!(seen, 2 * AT_ONCE, "each was seen once");
    let failed = statuses.iter().filter(|status| **status == 502).count();
    assert!((1..=AT_ONCE).contains(&failed), "each dead connection costs one at most: {statuses:?}");
    assert!(statuses.iter().all(|status| [200, 502].contains(status)), "{statuses:?}");
}

/// Says how long it keeps connections.
async fn saying(keep_alive: &'static str) -> Backend {
    Backend::scripted(move |mut served| async move {
        while served.message().await.is_some() {
            served
                .send(&format!("HTTP/1.1 200 OK\r\nKeep-Alive: {keep_alive}\r\ncontent-length: 1\r\n\r\na"))
                .await;
        }
    })
    .await
}

#[tokio::test]
async fn a_connection_that_the_backend_ends_in_a_second_is_not_kept() {
    for (keep_alive, kept) in [
        ("timeout=1", false),
        ("timeout=0, max=100", false),
        ("max=0, timeout=60", false),
        ("timeout=60, max=100", true),
        ("timeout=\"60\"", true),
        ("timeout=soon", true),
        ("TIMEOUT = 1", false),
    ] {
        let backend = saying(keep_alive).await;
        let proxy = Proxy::of(vec![service("web", &[backend.address], |_| {})]).await;
        // Of one client, and so of one worker.
        let mut client = proxy.client().await;
        for _ in 0..3 {
            assert_eq!(client.ask(GET).await.status(), 200);
        }
        assert_eq!(backend.connections(), if kept { 1 } else { 3 }, "{keep_alive}");
    }
}
