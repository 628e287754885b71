//! A service that fails again and again is spared for a while; then one request finds out whether it is back.

use std::time::Duration;

use tokio::time::Instant;
use weir_tests::{Backend, Behaviour, Daemons, Load, Response, get, until};

const OPEN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_lets_one_through_at_a_time_and_closes_on_success() {
    let backend = Backend::with("a", Behaviour::Status(500)).await;
    let daemons = Daemons::start(1).await;
    let breakers =
        format!("circuit_breakers: {{ consecutive_failures: 5, open_time: {}ms }}", OPEN.as_millis());
    daemons.serve("web", &[&breakers, "outlier_detection: { disabled: true }"], &[backend.address()]).await;
    let ask = async || get(daemons.traffic[0], "/").await.unwrap();

    // What is in between keeps it closed.
    // It opens with the last one's answer, which this is before.
    let mut opened = Instant::now();
    for status in [500, 500, 500, 500, 200, 500, 500, 500, 500, 500] {
        backend.set(Behaviour::Status(status));
        opened = Instant::now();
        assert_eq!(ask().await.status(), status);
    }
    for _ in 0..10 {
        let answer = ask().await;
        // A machine that took longer than that has seen something else.
        if opened.elapsed() < OPEN {
            refused(&answer);
            assert_eq!(backend.requests(), 10);
        }
    }
    daemons.proxies[0].line("the circuit is open").await;

    // One finds out that it still fails.
    until("the one request", async || {
        ask().await;
        (backend.requests() >= 11).then_some(())
    })
    .await;
    assert!(opened.elapsed() >= OPEN, "{:?}", opened.elapsed());
    let opened = Instant::now();
    let answer = ask().await;
    if opened.elapsed() < OPEN {
        refused(&answer);
    }

    // The next one takes its time; until it has an answer no other goes.
    let before = backend.requests();
    backend.set(Behaviour::Hold);
    let finds_out = Load::start(daemons.traffic[0], 1, Duration::from_millis(1));
    until("the one request", async || (backend.requests() > before).then_some(())).await;
    for _ in 0..50 {
        refused(&ask().await);
    }
    assert_eq!((backend.requests(), backend.peak()), (before + 1, 1));

    backend.set(Behaviour::Name);
    backend.release(1);
    finds_out.progress(1).await;
    let outcome = finds_out.stop().await;
    assert!(outcome.failures.iter().all(|why| why.contains("(circuit_open)")), "{:?}", outcome.failures);
    daemons.proxies[0].line("the circuit is closed").await;
    for _ in 0..10 {
        assert_eq!(ask().await.status(), 200);
    }
}

fn refused(answer: &Response) {
    assert_eq!(answer.status(), 503);
    assert!(answer.head.get("proxy-status").unwrap().contains("\"circuit_open\""), "{}", answer.head.raw);
    let seconds: u64 = answer.head.get("retry-after").unwrap().parse().unwrap();
    assert!((1..=OPEN.as_secs()).contains(&seconds), "{seconds}");
}
