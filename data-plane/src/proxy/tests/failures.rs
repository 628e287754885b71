//! Backends that refuse, vanish, stall or talk nonsense.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::{io::AsyncWriteExt, time::Duration};

use super::harness::{Backend, Proxy, eager, endpoint, refusing, service, until, web};
use crate::{
    balance::{Balance, Groups, Pick},
    endpoint::Endpoint,
};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// A fault of ours, on every request.
#[derive(Debug)]
struct Faulty;

impl Balance for Faulty {
    fn pick(&self, _pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        panic!("a fault that a test makes")
    }
}

fn reason(body: &str) -> &str {
    body.rsplit(['(', ')']).nth(1).unwrap_or("")
}

#[tokio::test]
async fn a_refusing_backend_costs_no_error_and_breaks_no_order() {
    let (a, b) = (Backend::named("a").await, Backend::named("b").await);
    let proxy = Proxy::of(vec![web(&[a.address, refusing(), b.address])]).await;
    let mut client = proxy.client().await;
    let mut order = String::new();
    for _ in 0..10 {
        // Also what must not be sent twice: nothing of it was sent.
        order.push_str(&client.ask("POST / HTTP/1.1\r\nhost: a\r\n\r\n").await.body);
    }
    assert!("ababababababab".contains(&order), "{order}");
    assert!(proxy.workers.counters().retries >= 3);
}

#[tokio::test]
async fn when_all_refuse_the_client_is_told() {
    let proxy = Proxy::of(vec![web(&[refusing(), refusing()])]).await;
    for request in [GET, "POST / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let response = proxy.ask(request).await;
        assert_eq!((response.status(), reason(&response.body)), (503, "connect_refused"));
        assert_eq!(response.field("retry-after"), Some("1"), "nothing was sent, so it may be tried again");
    }
}

#[tokio::test]
async fn when_one_got_further_than_a_refusal_the_client_is_told_that() {
    let bad = Backend::scripted(|mut served| async move {
        served.head().await;
    })
    .await;
    let proxy = Proxy::of(vec![service("web", &[bad.address, refusing()], eager)]).await;
    for _ in 0..4 {
        let response = proxy.ask(GET).await;
        assert_eq!((response.status(), reason(&response.body)), (502, "backend_reset"));
        assert_eq!(response.field("retry-after"), None);
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_backend_closed_is_not_used() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.answer("once").await;
    })
    .await;
    let service = service("web", &[backend.address], |service| service.retry_policy.num_retries = 0);
    let proxy = Proxy::of(vec![service]).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        assert_eq!(client.ask("POST / HTTP/1.1\r\nhost: a\r\n\r\n").await.status(), 200);
        until(|| proxy.workers.counters().upstream_open == 0).await;
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_repeated_only_if_that_is_harmless() {
    let resetting = || {
        Backend::scripted(|mut served| async move {
            served.head().await;
        })
    };
    let (bad, good) = (resetting().await, Backend::named("good").await);
    let proxy = Proxy::of(vec![web(&[bad.address, good.address])]).await;
    for _ in 0..4 {
        let response = proxy.ask(GET).await;
        assert_eq!(response.body, "good");
    }
    assert!(
        bad.heads().len() >= 3,
        "every request but perhaps the first met the bad backend before the good one"
    );
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(proxy.ask("POST / HTTP/1.1\r\nhost: a\r\n\r\n").await.status());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502], "the one that met the bad backend was not sent again");
}

#[tokio::test]
async fn a_body_that_is_not_all_there_any_more_is_not_sent_again() {
    let bad = Backend::scripted(|mut served| async move {
        served.head().await;
        served.bytes(1).await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[bad.address, bad.address])]).await;
    let body = "x".repeat(100_000);
    let put = format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let response = proxy.ask(&put).await;
    assert_eq!((response.status(), reason(&response.body)), (502, "backend_reset"));
    assert_eq!(bad.heads().len(), 1);
}

#[tokio::test]
async fn a_small_body_is_sent_again_where_that_means_the_same() {
    let bad = Backend::scripted(|mut served| async move {
        served.head().await;
        served.bytes(1).await;
    })
    .await;
    let good = Backend::scripted(|mut served| async move {
        served.head().await;
        let body = served.bytes(2).await;
        served.answer(&body).await;
    })
    .await;
    let ask = |method| format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab");
    for (method, expected) in [("PUT", [200, 200]), ("POST", [200, 502])] {
        let proxy = Proxy::of(vec![web(&[bad.address, good.address])]).await;
        let mut statuses = [proxy.ask(&ask(method)).await.status(), proxy.ask(&ask(method)).await.status()];
        statuses.sort_unstable();
        assert_eq!(statuses, expected, "{method}");
    }
}

#[tokio::test]
async fn nonsense_is_a_bad_gateway_and_not_repeated() {
    let bad = Backend::scripted(|mut served| async move {
        served.head().await;
        served.send("HTTP/9.9 nonsense\r\n\r\n").await;
        served.rest().await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[bad.address, bad.address])]).await;
    let response = proxy.ask(GET).await;
    assert_eq!((response.status(), reason(&response.body)), (502, "backend_malformed"));
    assert_eq!(bad.heads().len(), 1);
}

#[tokio::test]
async fn bytes_after_a_response_reach_nobody() {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let backend = Backend::scripted(|mut served| async move {
        while served.head().await.is_some() {
            let n = COUNT.fetch_add(1, Relaxed);
            served.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{n}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")).await;
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    for n in 0..5 {
        assert_eq!(client.ask(GET).await.body, n.to_string());
        until(|| proxy.workers.counters().upstream_open == 0).await;
    }
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_given_up() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.rest().await;
    })
    .await;
    let service = service("web", &[backend.address], |service| {
        service.timeouts.request = Duration::from_millis(100);
    });
    let proxy = Proxy::of(vec![service]).await;
    let response = proxy.ask(GET).await;
    assert_eq!((response.status(), reason(&response.body)), (504, "response_timeout"));
    let response = proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx").await;
    assert_eq!(response.status(), 504);
}

#[tokio::test]
async fn a_truncated_body_does_not_end_cleanly() {
    let backend = Backend::scripted(|mut served| async move {
        let head = served.head().await.unwrap_or_default();
        let framing =
            if head.contains("/length") { "content-length: 9" } else { "transfer-encoding: chunked" };
        served.send(&format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n1\r\nx\r\n")).await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    for target in ["/length", "/chunked"] {
        let mut client = proxy.client().await;
        client.send(&format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        client.head().await;
        assert_eq!(client.rest().await, "1\r\nx\r\n");
    }
    // HTTP/1.0 has no other sign of a cut than a reset.
    let mut client = proxy.client().await;
    client.send("GET /chunked HTTP/1.0\r\nhost: a\r\n\r\n").await;
    client.head().await;
    let mut rest = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut client.0, &mut rest).await;
    assert_eq!(end.map_err(|e| e.kind()).err(), Some(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_body_that_stops_is_cut() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx").await;
        served.rest().await;
    })
    .await;
    let service = service("web", &[backend.address], |service| {
        service.timeouts.body_idle = Duration::from_millis(100);
    });
    let live = endpoint(&service, backend.address);
    let proxy = Proxy::of(vec![service]).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    client.head().await;
    assert_eq!(client.rest().await, "x");
    until(|| live.in_flight() == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let (gone, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::scripted(move |mut served| {
        let gone = gone.clone();
        async move {
            served.head().await;
            served.rest().await;
            let _ = gone.send(());
        }
    })
    .await;
    let service = web(&[backend.address]);
    let counters = std::sync::Arc::clone(&service.counters);
    let proxy = Proxy::of(vec![service]).await;
    for (before, request) in
        [GET, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab"].into_iter().enumerate()
    {
        let mut client = proxy.client().await;
        client.send(request).await;
        until(|| backend.heads().len() == before + 1).await;
        client.0.shutdown().await.unwrap();
        super::harness::within(seen.recv()).await;
    }
    let reason = crate::reason::Reason::ClientGone as usize;
    until(|| counters.sum().reasons[reason] == 2).await;
    assert_eq!(proxy.workers.counters().retries, 0);
}

#[tokio::test]
async fn a_fault_of_ours_ends_one_request_and_nothing_else() {
    let backend = Backend::named("a").await;
    let good = web(&[backend.address]);
    let mut faulty = service("faulty", &[backend.address], |_| {});
    let entry = Arc::get_mut(&mut faulty).unwrap();
    entry.balance = Groups::by(Arc::new(Faulty), vec![endpoint(&good, backend.address)]);
    let form = Arc::clone(&faulty);
    let proxy = Proxy::of(vec![good, faulty]).await;
    let mut neighbour = proxy.client().await;
    assert_eq!(neighbour.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.body, "a");
    for request in [
        "GET / HTTP/1.1\r\nhost: faulty\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: faulty\r\ncontent-length: 4\r\n\r\nbody",
    ] {
        let mut client = proxy.client().await;
        let response = client.ask(request).await;
        assert_eq!((response.status(), reason(&response.body)), (500, "internal"));
        assert_eq!(client.rest().await, "", "what follows cannot be trusted");
    }
    assert_eq!(neighbour.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.body, "a");
    until(|| proxy.workers.in_flight() == 0).await;
    assert_eq!(proxy.workers.counters().panics, 2);
    until(|| form.counters.sum().reasons[crate::reason::Reason::Internal as usize] == 2).await;
    until(|| form.live.gate().held() == 0).await;
}

#[tokio::test]
async fn an_answer_whose_end_is_doubtful_is_not_relayed() {
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: gzip",
    ] {
        let backend = Backend::scripted(move |mut served| async move {
            while served.head().await.is_some() {
                served.send(&format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n3\r\nabc\r\n0\r\n\r\n")).await;
            }
        })
        .await;
        let proxy = Proxy::of(vec![web(&[backend.address])]).await;
        let response = proxy.ask(GET).await;
        assert_eq!((response.status(), reason(&response.body)), (502, "backend_malformed"), "{framing}");
        until(|| proxy.workers.counters().upstream_open == 0).await;
        assert_eq!(backend.heads().len(), 1, "it was answered, so it is not asked again");
    }
}
