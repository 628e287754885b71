//! Backends that answer 500, nothing, garbage or too slowly are taken out, and no POST is sent to a second one.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use weir_tests::{Backend, Behaviour, Client, Daemons, Load, Response, get, until};

const EJECT: &str =
    "outlier_detection: { max_ejection_percent: 100, base_ejection_time: 10m, max_ejection_time: 1h }";
/// So that those who are well get everything, however few they are.
const NO_PANIC: &str = "healthy_panic_threshold: 0";
/// Even where more may be repeated than by default, a POST of which bytes were sent is not.
const RETRIES: &str = "retry_policy: { num_retries: 3, retry_on: [connect-failure, reset-before-response, gateway-error, 5xx] }";

#[tokio::test(flavor = "multi_thread")]
async fn they_are_ejected_with_the_reason_and_no_post_is_sent_twice() {
    let total = if crate::soak() { 10_000 } else { 2_000 };
    let garbage = || "HTTP/1.1 2\u{0}0 OK\r\nno field\r\n\r\n".to_owned();
    let bad = [
        (Backend::with("fails", Behaviour::Status(500)).await, "consecutive_5xx"),
        (Backend::with("overloaded", Behaviour::Status(503)).await, "consecutive_gateway_failure"),
        (
            Backend::with("resets", Behaviour::RawThenReset(String::new())).await,
            "consecutive_gateway_failure",
        ),
        (
            Backend::with("closes", Behaviour::RawThenClose(String::new())).await,
            "consecutive_gateway_failure",
        ),
        (Backend::with("garbage", Behaviour::RawThenClose(garbage())).await, "consecutive_gateway_failure"),
    ];
    let good = [Backend::start("a").await, Backend::start("b").await];
    let all: Vec<&Backend> = bad.iter().map(|(backend, _)| backend).chain(&good).collect();
    for backend in &all {
        backend.record();
    }
    let daemons = Daemons::start(1).await;
    let addresses: Vec<_> = all.iter().map(|backend| backend.address()).collect();
    daemons.serve("web", &[EJECT, NO_PANIC, RETRIES], &addresses).await;

    let answers = post(daemons.traffic[0], total).await;

    let mut seen: HashMap<String, usize> = HashMap::new();
    for backend in &all {
        assert_eq!(backend.recorded().len(), backend.requests(), "{}: all of each request", backend.name());
        for request in backend.recorded() {
            *seen.entry(request.head.get("x-id").unwrap().to_owned()).or_default() += 1;
        }
    }
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "sent more than once: {twice:?}");
    assert_eq!(seen.len(), total, "each was sent to somebody");
    for (backend, reason) in &bad {
        let found = daemons.found(0, "web", backend.address()).await;
        assert_eq!(found["ejection"]["reason"], *reason, "{}: {found}", backend.name());
        // Five in a row, and what the other clients had under way meanwhile.
        assert!(
            (5..5 + CLIENTS).contains(&backend.requests()),
            "{} got {}",
            backend.name(),
            backend.requests()
        );
    }
    let failed: usize = bad.iter().map(|(backend, _)| backend.requests()).sum();
    assert_eq!((answers[&200], answers.values().sum::<usize>()), (total - failed, total), "{answers:?}");
    assert_eq!(
        post(daemons.traffic[0], 100).await,
        BTreeMap::from([(200, 100)]),
        "nobody meets them any more"
    );
    println!("{total} POSTs, each sent once: {answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_drips_is_passed_on_as_it_comes_and_cut_where_it_stops() {
    let drips = Backend::with("drips", Behaviour::Drip(20, Duration::from_millis(20))).await;
    let daemons = Daemons::start(1).await;
    let timeouts = "timeouts: { body_idle: 5s }";
    daemons.serve("web", &[timeouts], &[drips.address()]).await;
    let answer = get(daemons.traffic[0], "/").await.unwrap();
    assert_eq!((answer.status(), answer.text()), (200, ".".repeat(20)));

    // Longer between two bytes than it may: what is not whole never looks so.
    drips.set(Behaviour::Drip(20, Duration::from_mins(1)));
    daemons.serve("web", &["timeouts: { body_idle: 100ms }"], &[drips.address()]).await;
    let mut client = Client::open(daemons.traffic[0]).await.unwrap();
    let cut = client.get("/").await;
    assert!(cut.is_err(), "{cut:?}");
    until("it to be counted", async || {
        let counted = daemons.counted(0, "weir_proxy_requests_total", &[("reason", "body_timeout")]).await;
        (counted >= 1.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_in_the_middle_of_its_answers_is_ejected_too() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_owned();
    let breaks = Backend::with("breaks", Behaviour::RawThenClose(cut)).await;
    let well = Backend::start("well").await;
    let daemons = Daemons::start(1).await;
    daemons.serve("web", &[EJECT, NO_PANIC], &[breaks.address(), well.address()]).await;

    let outcome = Load::run(daemons.traffic[0], 1, 100).await;

    let found = daemons.found(0, "web", breaks.address()).await;
    assert_eq!(found["ejection"]["reason"], "consecutive_gateway_failure", "{found}");
    assert_eq!((outcome.failed, breaks.requests()), (5, 5), "{:?}", outcome.failures);
}

const CLIENTS: usize = 8;

/// So many POSTs, each with an id of its own. How many got which status.
async fn post(address: SocketAddr, total: usize) -> BTreeMap<u16, usize> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let left = Arc::new(AtomicUsize::new(total));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let left = left.clone();
        clients.spawn(async move {
            let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
            let mut client = Client::open(address).await.unwrap();
            while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                let id = NEXT.fetch_add(1, Relaxed);
                let head =
                    format!("POST / HTTP/1.1\r\nHost: test\r\nX-Id: {id}\r\nContent-Length: 4\r\n\r\n");
                let answer: Response = client.send("POST", head + "body").await.unwrap();
                *answers.entry(answer.status()).or_default() += 1;
                if answer.head.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                    client = Client::open(address).await.unwrap();
                }
            }
            answers
        });
    }
    let mut all = BTreeMap::new();
    while let Some(answers) = clients.join_next().await {
        for (status, count) in answers.unwrap() {
            *all.entry(status).or_default() += count;
        }
    }
    all
}
