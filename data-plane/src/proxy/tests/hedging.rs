//! A second attempt while the first has not answered.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::{
    io::AsyncWriteExt,
    sync::mpsc::{self, UnboundedReceiver},
    time::{self, Duration, Instant},
};
use weir_proto::{HedgePolicy, Service};

use super::{
    harness::{Backend, Proxy, eager, endpoint, field, service, until, within},
    replay::text,
    scripts::Hold,
};
use crate::{reason::Reason, table::ServiceEntry};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const SOON: Duration = Duration::from_millis(100);
const NEVER: Duration = Duration::from_hours(1);

fn hedged(backends: &[&Backend], delay: Duration, change: impl FnOnce(&mut Service)) -> Arc<ServiceEntry> {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    service("web", &addresses, |service| {
        eager(service);
        service.hedge_policy = Some(HedgePolicy { delay });
        change(service);
    })
}

/// Two backends: whichever is asked first does not answer, and the other one does, with the body that it got. Tells when
/// the connection of the first has been closed.
async fn stalling() -> ([Backend; 2], UnboundedReceiver<()>) {
    let (closed, sees) = mpsc::unbounded_channel();
    let asked = Arc::new(AtomicUsize::new(0));
    let backend = || {
        let (closed, asked) = (closed.clone(), Arc::clone(&asked));
        Backend::scripted(move |mut served| {
            let (closed, asked) = (closed.clone(), Arc::clone(&asked));
            async move {
                while let Some((_, body)) = served.message().await {
                    if asked.fetch_add(1, SeqCst) == 0 {
                        served.rest().await;
                        let _ = closed.send(());
                        return;
                    }
                    served.answer(&format!("answered {body}")).await;
                }
            }
        })
    };
    ([backend().await, backend().await], sees)
}

fn asked(backends: &[Backend; 2]) -> [usize; 2] {
    let mut asked = [backends[0].heads().len(), backends[1].heads().len()];
    asked.sort_unstable();
    asked
}

#[tokio::test]
async fn another_is_asked_after_the_delay_and_whoever_answers_first_counts() {
    let (backends, mut closed) = stalling().await;
    let [one, two] = &backends;
    let entry = hedged(&[one, two], SOON, |_| {});
    let endpoints = [one, two].map(|backend| endpoint(&entry, backend.address));
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    let start = Instant::now();
    let mut client = proxy.client().await;
    assert_eq!(client.ask(GET).await.body, "answered ");
    assert!(start.elapsed() >= SOON);
    assert_eq!(asked(&backends), [1, 1]);
    within(closed.recv()).await.unwrap();
    until(|| live.gate().held() == 0 && endpoints.iter().all(|endpoint| endpoint.in_flight() == 0)).await;
    assert!(
        endpoints.iter().all(|endpoint| endpoint.passive().totals().1 == 0),
        "the loser did nothing wrong"
    );
    assert_eq!(client.ask(GET).await.body, "answered ");
}

#[tokio::test]
async fn nobody_else_is_asked_before_the_delay() {
    let hold = Hold::new();
    let (one, two) = (hold.backend().await, hold.backend().await);
    let proxy = Proxy::of(vec![hedged(&[&one, &two], NEVER, |_| {})]).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    until(|| hold.now() == 1).await;
    hold.release(1);
    assert_eq!(client.response().await.body, "held");
    assert_eq!(one.heads().len() + two.heads().len(), 1);
}

#[tokio::test]
async fn the_first_may_still_answer() {
    let hold = Hold::new();
    let (one, two) = (hold.backend().await, hold.backend().await);
    let proxy = Proxy::of(vec![hedged(&[&one, &two], SOON, |_| {})]).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    until(|| hold.now() == 2).await;
    // The one that was there first gets it.
    hold.release(1);
    assert_eq!(client.response().await.body, "held");
    until(|| proxy.workers.counters().upstream_open == 1).await;
}

#[tokio::test]
async fn a_body_that_is_all_there_goes_to_both_as_it_was_sent() {
    let body = text(40_000);
    let sized = format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let chunked = "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let empty = "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    for (request, body) in [(&*sized, &*body), (chunked, "body"), (empty, "")] {
        let (backends, _closed) = stalling().await;
        let proxy = Proxy::of(vec![hedged(&[&backends[0], &backends[1]], SOON, |_| {})]).await;
        let mut client = proxy.client().await;
        for _ in 0..2 {
            let response = client.ask(request).await;
            assert!(response.body == format!("answered {body}"), "{}", response.head);
        }
        let heads = [backends[0].heads(), backends[1].heads()].concat();
        assert_eq!(heads.iter().filter(|head| head.starts_with("PUT ")).count(), heads.len());
    }
}

#[tokio::test]
async fn what_must_not_be_done_twice_or_is_large_or_beyond_the_budget_or_alone_is_not_hedged() {
    let large = text((64 << 10) + 1);
    let put = format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{large}", large.len());
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab";
    let spent = |service: &mut Service| {
        (service.retry_policy.budget_percent, service.retry_policy.min_retries_per_second) = (0, 0);
    };
    let unchanged = |_: &mut Service| {};
    let post = (post, 2, unchanged as fn(&mut Service));
    for (request, n, change) in [post, (&put, 2, unchanged), (GET, 2, spent), (GET, 1, unchanged)] {
        let hold = Hold::new();
        let backends = [hold.backend().await, hold.backend().await];
        let entry = hedged(&[&backends[0], &backends[1]][..n], SOON, change);
        let proxy = Proxy::of(vec![entry]).await;
        let mut client = proxy.client().await;
        client.send(request).await;
        until(|| hold.now() == 1).await;
        time::sleep(3 * SOON).await;
        hold.release(2);
        assert_eq!(client.response().await.body, "held");
        assert_eq!(hold.most(), 1, "{}", request.lines().next().unwrap());
    }
}

#[tokio::test]
async fn a_post_is_hedged_where_the_service_says_that_it_may_be_repeated() {
    let (backends, _closed) = stalling().await;
    let entry = hedged(&[&backends[0], &backends[1]], SOON, |service| {
        service.retry_policy.retry_non_idempotent = true;
    });
    let proxy = Proxy::of(vec![entry]).await;
    let response = proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab").await;
    assert_eq!(response.body, "answered ab");
}

#[tokio::test]
async fn one_that_fails_leaves_it_to_the_other() {
    // Whoever is asked second, after the delay, ends the connection at once, and lets the first go.
    let hold = Hold::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let backend = || {
        let (hold, asked) = (Arc::clone(&hold), Arc::clone(&asked));
        Backend::scripted(move |mut served| {
            let (hold, asked) = (Arc::clone(&hold), Arc::clone(&asked));
            async move {
                served.message().await;
                match asked.fetch_add(1, SeqCst) {
                    0 => {
                        hold.pass().await;
                        served.answer("first").await;
                    }
                    1 => {
                        drop(served);
                        hold.release(1);
                    }
                    _ => {}
                }
            }
        })
    };
    let (one, two) = (backend().await, backend().await);
    let proxy = Proxy::of(vec![hedged(&[&one, &two], SOON, |_| {})]).await;
    assert_eq!(proxy.ask(GET).await.body, "first");
    // And where both fail, there is one answer.
    assert_eq!(proxy.ask(GET).await.outcome(), (502, "backend_reset"));
}

#[tokio::test]
async fn the_second_attempt_has_no_more_time_than_the_request() {
    // It would be in time, if its own began when it was sent.
    const ALL: Duration = Duration::from_secs(1);
    let asked = Arc::new(AtomicUsize::new(0));
    let backend = || {
        let asked = Arc::clone(&asked);
        Backend::scripted(move |mut served| {
            let asked = Arc::clone(&asked);
            async move {
                served.message().await;
                if asked.fetch_add(1, SeqCst) == 0 {
                    served.rest().await;
                    return;
                }
                time::sleep(ALL * 9 / 10).await;
                served.answer("late").await;
            }
        })
    };
    let (one, two) = (backend().await, backend().await);
    let entry = hedged(&[&one, &two], ALL / 2, |service| service.timeouts.request = ALL);
    let proxy = Proxy::of(vec![entry]).await;
    assert_eq!(proxy.ask(GET).await.outcome(), (504, "response_timeout"));
}

#[tokio::test]
async fn the_second_backend_is_told_how_much_time_is_left_then() {
    let (backends, _closed) = stalling().await;
    let entry = hedged(&[&backends[0], &backends[1]], SOON, |service| {
        service.timeouts.request = Duration::from_mins(1);
        service.timeouts.deadline_header = Some("x-left".into());
    });
    let proxy = Proxy::of(vec![entry]).await;
    assert_eq!(proxy.ask(GET).await.body, "answered ");
    let heads = [backends[0].heads(), backends[1].heads()].concat();
    let told = heads.iter().map(|head| field(head, "x-left").unwrap().parse().unwrap());
    let mut told: Vec<u64> = told.collect();
    told.sort_unstable();
    assert!(told[1] == 60_000 && told[0] <= 59_900, "{told:?}");
}

#[tokio::test]
async fn a_client_that_leaves_while_the_second_answers_is_noticed() {
    let asked = Arc::new(AtomicUsize::new(0));
    let backend = || {
        let asked = Arc::clone(&asked);
        Backend::scripted(move |mut served| {
            let asked = Arc::clone(&asked);
            async move {
                served.message().await;
                if asked.fetch_add(1, SeqCst) == 1 {
                    served.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
                }
                served.rest().await;
            }
        })
    };
    let (one, two) = (backend().await, backend().await);
    let entry = hedged(&[&one, &two], SOON, |_| {});
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    for request in [GET, "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab"] {
        asked.store(0, SeqCst);
        let mut client = proxy.client().await;
        client.send(request).await;
        client.head().await;
        assert_eq!(client.bytes(4).await, "half");
        client.0.shutdown().await.unwrap();
        until(|| live.gate().held() == 0).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_both_are_asked_is_noticed() {
    let (one, two) = (Backend::silent().await, Backend::silent().await);
    let entry = hedged(&[&one, &two], SOON, |_| {});
    let (live, counters) = (Arc::clone(&entry.live), Arc::clone(&entry.counters));
    let proxy = Proxy::of(vec![entry]).await;
    let mut client = proxy.client().await;
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab").await;
    until(|| one.heads().len() + two.heads().len() == 2).await;
    client.0.shutdown().await.unwrap();
    until(|| live.gate().held() == 0).await;
    until(|| counters.sum().reasons[Reason::ClientGone as usize] == 1).await;
}

#[tokio::test]
async fn what_follows_a_hedged_request_is_the_next_one() {
    let (backends, _closed) = stalling().await;
    let proxy = Proxy::of(vec![hedged(&[&backends[0], &backends[1]], SOON, |_| {})]).await;
    let mut client = proxy.client().await;
    let put = "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab";
    client.send(&format!("{put}{GET}{put}")).await;
    for expected in ["answered ab", "answered ", "answered ab"] {
        assert_eq!(client.response().await.body, expected);
    }
}

#[tokio::test]
async fn a_body_with_trailers_goes_to_one_only_and_has_them() {
    let backend = || {
        Backend::scripted(|mut served| async move {
            served.head().await;
            let rest = served.bytes("1\r\nx\r\n0\r\nx-sum: 7\r\n\r\n".len()).await;
            time::sleep(2 * SOON).await;
            served.answer(&rest.replace("\r\n", "|")).await;
        })
    };
    let (one, two) = (backend().await, backend().await);
    let proxy = Proxy::of(vec![hedged(&[&one, &two], SOON, |_| {})]).await;
    let put =
        "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 7\r\n\r\n";
    assert_eq!(proxy.ask(put).await.body, "1|x|0|x-sum: 7||");
    assert_eq!(one.heads().len() + two.heads().len(), 1);
}
