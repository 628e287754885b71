//! What is tried again, where, how often, and when.

use std::sync::Arc;

use tokio::{
    io::AsyncWriteExt,
    time::{Duration, Instant},
};
use weir_proto::{LbPolicy, Maglev, RetryOn};

use super::harness::{Backend, Proxy, eager, endpoint, refusing, service, until};
use crate::{reason::Reason, table::ServiceEntry};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab";

/// An answer that is nothing but a status.
fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n")
}

fn retrying(backends: &[&Backend], on: RetryOn) -> Arc<ServiceEntry> {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    service("web", &addresses, |service| {
        eager(service);
        service.retry_policy.retry_on = vec![on];
        service.retry_policy.retriable_status_codes = vec![418];
    })
}

#[tokio::test]
async fn another_is_asked_when_the_policy_calls_the_answer_a_failure() {
    for (on, answer, again) in [
        (RetryOn::GatewayError, 502, true),
        (RetryOn::GatewayError, 503, true),
        (RetryOn::GatewayError, 500, false),
        (RetryOn::ServerError, 500, true),
        (RetryOn::ServerError, 429, false),
        (RetryOn::Retriable4xx, 409, true),
        (RetryOn::Retriable4xx, 404, false),
        (RetryOn::RetriableStatusCodes, 418, true),
        (RetryOn::RetriableStatusCodes, 503, false),
        (RetryOn::ResetBeforeResponse, 503, false),
    ] {
        // Whoever has enough gets less, unless it asks for no time.
        let said = status(answer).replacen("\r\n", "\r\nretry-after: 0\r\n", usize::from(answer == 429));
        let (bad, good) = (Backend::saying(said).await, Backend::named("good").await);
        let proxy = Proxy::of(vec![retrying(&[&bad, &good], on)]).await;
        let mut client = proxy.client().await;
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(client.ask(GET).await.status());
        }
        statuses.sort_unstable();
        let expected = if again { [200; 4] } else { [200, 200, answer, answer] };
        assert_eq!(statuses, expected.map(|status| if again { 200 } else { status }), "{on:?} {answer}");
        assert!(bad.heads().len() >= 2);
        assert_eq!(proxy.workers.counters().retries, if again { bad.heads().len() as u64 } else { 0 });
        assert_eq!(bad.connections(), 1, "what was discarded leaves a connection that is as good as before");
    }
}

#[tokio::test]
async fn what_is_not_valid_counts_as_the_answer_of_a_gateway() {
    let (bad, good) = (Backend::saying("HTTP/9 no\r\n\r\n").await, Backend::named("good").await);
    let proxy = Proxy::of(vec![retrying(&[&bad, &good], RetryOn::GatewayError)]).await;
    for _ in 0..2 {
        assert_eq!(proxy.ask(GET).await.body, "good");
    }
    assert!(!bad.heads().is_empty());
}

#[tokio::test]
async fn a_post_that_was_answered_is_repeated_only_if_the_service_says_so() {
    for (allowed, expected) in [(false, [200, 200, 503, 503]), (true, [200; 4])] {
        let (bad, good) = (Backend::saying(status(503)).await, Backend::echo().await);
        let service = service("web", &[bad.address, good.address], |service| {
            eager(service);
            service.retry_policy.retry_on = vec![RetryOn::ServerError];
            service.retry_policy.retry_non_idempotent = allowed;
        });
        let proxy = Proxy::of(vec![service]).await;
        let mut client = proxy.client().await;
        let mut statuses = Vec::new();
        for _ in 0..4 {
            let response = client.ask(POST).await;
            assert!(response.status() == 503 || response.body == "ab");
            statuses.push(response.status());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, expected);
        let asked = bad.heads().len() + good.heads().len();
        assert_eq!(asked, if allowed { 4 + bad.heads().len() } else { 4 });
    }
}

#[tokio::test]
async fn no_backend_is_asked_twice_and_no_more_than_the_policy_allows() {
    let mut backends = Vec::new();
    for _ in 0..5 {
        backends.push(Backend::resetting().await);
    }
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    // By its key, a request would always get the same one.
    let policies = [LbPolicy::RoundRobin, LbPolicy::Random, LbPolicy::Maglev(Maglev::default())];
    for (policy, (asked, retries)) in
        policies.iter().flat_map(|policy| [(1, 0), (2, 1), (4, 3), (5, 9)].map(|case| (policy, case)))
    {
        let before: Vec<_> = backends.iter().map(|backend| backend.heads().len()).collect();
        let service = service("web", &addresses, |service| {
            eager(service);
            service.lb_policy = policy.clone();
            service.retry_policy.num_retries = retries;
        });
        let proxy = Proxy::of(vec![service]).await;
        assert_eq!(proxy.ask(GET).await.outcome(), (502, "backend_reset"));
        let times = backends.iter().zip(before).map(|(backend, before)| backend.heads().len() - before);
        let times: Vec<_> = times.filter(|times| *times > 0).collect();
        // With more retries than backends, each is asked before one is asked again.
        assert_eq!(times.len(), asked, "{policy:?}, {retries} retries: {times:?}");
        assert_eq!(times.iter().sum::<usize>(), 1 + retries as usize);
    }
}

#[tokio::test]
async fn a_post_that_met_no_connection_is_sent_elsewhere_with_all_of_its_body() {
    let good = Backend::echo().await;
    let refuses = refusing();
    let service = service("web", &[refuses, good.address], eager);
    let proxy = Proxy::of(vec![service]).await;
    let body = "x".repeat(100_000);
    let post = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for _ in 0..4 {
        assert_eq!(proxy.ask(&post).await.body, body);
    }
    assert!(proxy.workers.counters().retries >= 2);
    assert_eq!(good.heads().len(), 4);
}

#[tokio::test]
async fn once_anything_was_answered_nothing_is_repeated() {
    for begun in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
    ] {
        let bad = || {
            Backend::scripted(move |mut served| async move {
                served.head().await;
                served.send(begun).await;
            })
        };
        let (one, two) = (bad().await, bad().await);
        let service = service("web", &[one.address, two.address], |service| {
            eager(service);
            service.retry_policy.retry_on = RetryOn::DEFAULT.to_vec();
        });
        let proxy = Proxy::of(vec![service]).await;
        let mut client = proxy.client().await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let said = client.rest().await;
        assert!(said.contains(" 502 ") || said.contains("content-length: 9\r\n"), "{begun:?}: {said}");
        assert_eq!(one.heads().len() + two.heads().len(), 1, "{begun:?}");
    }
}

#[tokio::test]
async fn a_backend_that_asks_for_a_pause_gets_it() {
    let answer = "HTTP/1.1 503 So\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    let (one, two) = (Backend::saying(answer).await, Backend::saying(answer).await);
    let proxy = Proxy::of(vec![retrying(&[&one, &two], RetryOn::GatewayError)]).await;
    let start = Instant::now();
    assert_eq!(proxy.ask(GET).await.status(), 503);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!((one.heads().len(), two.heads().len()), (1, 1));
}

#[tokio::test]
async fn an_answer_that_asks_for_more_time_than_there_is_is_passed_on() {
    for asked in ["15", "99999999999999999999", "Fri, 31 Dec 2100 23:59:59 GMT"] {
        let answer = format!("HTTP/1.1 503 So\r\nretry-after: {asked}\r\ncontent-length: 4\r\n\r\nbusy");
        let (one, two) = (Backend::saying(answer.clone()).await, Backend::saying(answer).await);
        let proxy = Proxy::of(vec![retrying(&[&one, &two], RetryOn::GatewayError)]).await;
        let response = proxy.ask(GET).await;
        assert_eq!((response.status(), &*response.body), (503, "busy"));
        assert_eq!(response.field("retry-after"), Some(asked));
        assert_eq!(one.heads().len() + two.heads().len(), 1);
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_pause_ends_its_request() {
    // Longer than any test waits.
    let answer = "HTTP/1.1 503 So\r\nretry-after: 14\r\ncontent-length: 0\r\n\r\n";
    let (one, two) = (Backend::saying(answer).await, Backend::saying(answer).await);
    let entry = retrying(&[&one, &two], RetryOn::GatewayError);
    let counters = Arc::clone(&entry.counters);
    let endpoints = [&one, &two].map(|backend| endpoint(&entry, backend.address));
    let proxy = Proxy::of(vec![entry]).await;
    for request in [GET, "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab"] {
        let before = counters.sum().reasons[Reason::ClientGone as usize];
        let mut client = proxy.client().await;
        client.send(request).await;
        until(|| {
            let failed: u64 = endpoints.iter().map(|endpoint| endpoint.passive().totals().1).sum();
            failed == before + 1
        })
        .await;
        client.0.shutdown().await.unwrap();
        until(|| counters.sum().reasons[Reason::ClientGone as usize] == before + 1).await;
    }
    assert_eq!(one.heads().len() + two.heads().len(), 2);
}
