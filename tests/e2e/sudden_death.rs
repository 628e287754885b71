//! A backend's process is killed or stopped under load: every request is answered.

use std::time::Duration;

use weir_tests::{Backend, Daemons, Load, Port, Process, Signal, until};

/// A busy machine may take long for an answer; that is no failure of those who are well.
const CHECK: &str = "health_check: { http: {}, interval: 100ms, timeout: 2s, unhealthy_threshold: 2 }";
const EJECT: &str = "outlier_detection: { base_ejection_time: 300ms, max_ejection_percent: 50 }";

#[tokio::test(flavor = "multi_thread")]
async fn killing_it_fails_no_request() {
    let port = Port::free();
    let (mut dies, address) = (app(&port).await, port.address());
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::start(1).await;
    daemons.serve("web", &[CHECK, EJECT], &[address, a.address(), b.address()]).await;
    let load = Load::start(daemons.traffic[0], 16, Duration::ZERO);
    for _ in 0..3 {
        daemons
            .finds(0, "web", address, "used", |f| f["health"] == "healthy" && f["ejection"].is_null())
            .await;
        load.progress(500).await;
        dies.kill().await;
        load.progress(500).await;
        daemons.finds(0, "web", address, "found dead", |found| found["health"] == "unhealthy").await;
        dies = app(&port).await;
    }
    daemons.finds(0, "web", address, "back", |f| f["health"] == "healthy" && f["ejection"].is_null()).await;
    load.progress(500).await;
    let outcome = load.stop().await;

    assert_eq!(outcome.failures, Vec::<String>::new());
    assert_eq!(outcome.answers.keys().collect::<Vec<_>>(), ["a", "app", "b"]);
    println!("3 deaths, {} requests answered, 0 failed", outcome.ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_it_fails_no_request_and_keeps_all_but_probes_away() {
    let port = Port::free();
    let (stops, address) = (app(&port).await, port.address());
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::logged().await;
    let timeouts = "timeouts: { per_try: 2s, request: 20s }";
    let retries = "retry_policy: { num_retries: 2, min_retries_per_second: 100 }";
    daemons.serve("web", &[CHECK, EJECT, timeouts, retries], &[address, a.address(), b.address()]).await;
    let load = Load::start(daemons.traffic[0], 8, Duration::from_millis(1));
    load.progress(100).await;

    stops.signal(Signal::STOP);
    daemons.finds(0, "web", address, "found out", |found| found["health"] == "unhealthy").await;
    let first = load.stop().await;
    assert_eq!(first.failures, Vec::<String>::new());
    assert!(first.answers.contains_key("app"), "{first:?}");

    // Whatever had begun has ended; from now on nobody tries it any more.
    let before = daemons.access_logged(0, first.ok()).await.len();
    let second = Load::run(daemons.traffic[0], 8, 300).await;
    assert_eq!((second.failures, second.answers.contains_key("app")), (Vec::<String>::new(), false));
    for line in &daemons.access_logged(0, before + 300).await[before..] {
        assert!(line["attempts"] == 1 && line["backend"] != address.to_string(), "{line}");
    }

    stops.signal(Signal::CONT);
    daemons.finds(0, "web", address, "back", |f| f["health"] == "healthy" && f["ejection"].is_null()).await;
    until("it to be used", async || {
        let outcome = Load::run(daemons.traffic[0], 1, 30).await;
        assert_eq!(outcome.failures, Vec::<String>::new());
        outcome.answers.contains_key("app").then_some(())
    })
    .await;
}

/// A backend that is a process of its own, on this port.
async fn app(port: &Port) -> Process {
    let mut command = Process::command("weir-test-app");
    command.args([&port.address().port().to_string(), "0"]);
    let process = Process::spawn(command);
    assert_eq!(process.address("app").await, port.address());
    process
}
