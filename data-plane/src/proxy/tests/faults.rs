//! Trouble that a service asks for, and trouble of our own.

use std::sync::Arc;

use tokio::time::{Duration, Instant};
use weir_proto::FaultInjection;

use super::harness::{Backend, Proxy, eager, endpoint, service, until};
use crate::{
    balance::{Balance, Groups, Pick},
    endpoint::Endpoint,
    table::ServiceEntry,
};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn faulty(backend: &Backend, faults: FaultInjection) -> Arc<ServiceEntry> {
    service("web", &[backend.address], |service| service.fault_injection = Some(faults))
}

#[tokio::test]
async fn a_request_is_answered_with_the_status_that_is_asked_for_and_sent_nowhere() {
    for status in [200, 204, 304, 404, 418, 429, 503, 599] {
        let backend = Backend::named("a").await;
        let faults = FaultInjection { delay: None, abort: Some((100, status)) };
        let proxy = Proxy::of(vec![faulty(&backend, faults)]).await;
        let mut client = proxy.client().await;
        for request in [GET, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab", GET] {
            client.send(request).await;
            if matches!(status, 204 | 304) {
                // They have no body, whatever they say of its length; the next answer follows.
                let head = client.head().await;
                assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
                assert!(head.contains("fault_injected"), "{head}");
            } else {
                assert_eq!(client.response().await.outcome(), (status, "fault_injected"));
            }
        }
        assert!(backend.heads().is_empty());
    }
}

#[tokio::test]
async fn a_request_waits_as_long_as_is_asked_for() {
    let backend = Backend::named("a").await;
    let delay = Duration::from_millis(200);
    let faults = FaultInjection { delay: Some((100, delay)), abort: None };
    let proxy = Proxy::of(vec![faulty(&backend, faults)]).await;
    let start = Instant::now();
    assert_eq!(proxy.ask(GET).await.body, "a");
    assert!(start.elapsed() >= delay);
}

#[tokio::test]
async fn nothing_happens_to_no_percent_of_the_requests() {
    let backend = Backend::named("a").await;
    let faults = FaultInjection { delay: Some((0, Duration::from_hours(1))), abort: Some((0, 503)) };
    let proxy = Proxy::of(vec![faulty(&backend, faults)]).await;
    let mut client = proxy.client().await;
    for _ in 0..50 {
        assert_eq!(client.ask(GET).await.body, "a");
    }
}

/// Fails where a second backend is asked for.
#[derive(Debug)]
struct Once(Arc<Endpoint>);

impl Balance for Once {
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        assert!(pick.tried.is_empty(), "a fault that a test makes");
        Some(&self.0)
    }
}

#[tokio::test]
async fn a_fault_of_ours_between_two_attempts_gives_every_place_back() {
    let bad = Backend::resetting().await;
    let mut entry = service("web", &[bad.address], eager);
    let live = endpoint(&entry, bad.address);
    let balance = Groups::by(Arc::new(Once(Arc::clone(&live))), vec![Arc::clone(&live)]);
    Arc::get_mut(&mut entry).unwrap().balance = balance;
    let gate = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    for n in 1..=3 {
        assert_eq!(proxy.ask(GET).await.outcome(), (500, "internal"));
        until(|| (gate.gate().held(), live.in_flight()) == (0, 0)).await;
        assert_eq!(proxy.workers.counters().panics, n);
    }
    until(|| live.connections().open() == 0).await;
}
