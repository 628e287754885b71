//! A backend goes offline and comes back: clients notice nothing, and operators are told once each time.

use std::time::Duration;

use weir_tests::{Backend, Daemons, Events, Load, until};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_skipped_and_used_again_with_one_event_down_and_one_up() {
    let (a, mut b, c) = (Backend::start("a").await, Backend::start("b").await, Backend::start("c").await);
    b.record();
    let daemons = Daemons::start(1).await;
    let check =
        "health_check: { http: { path: /health }, interval: 100ms, timeout: 10s, healthy_threshold: 3 }";
    // Requests meet it before the third probe does, and what they meet is not held against it for long.
    let settings = [check, "outlier_detection: { base_ejection_time: 300ms }"];
    daemons.serve("web", &settings, &[a.address(), b.address(), c.address()]).await;
    daemons.finds(0, "web", b.address(), "healthy", |found| found["health"] == "healthy").await;
    let name = format!("web/{}", b.address());
    let events = Events::watch(&daemons.api).await;
    let load = Load::start(daemons.traffic[0], 4, Duration::from_millis(1));
    until("it to be used", async || (b.requests() > 20).then_some(())).await;

    b.stop().await;
    let found = daemons.finds(0, "web", b.address(), "unhealthy", |f| f["health"] == "unhealthy").await;
    assert!(found["health_reason"].as_str().unwrap().contains("refused"), "{found}");
    events.tell(&name, "unhealthy: ").await;
    load.progress(100).await;

    let before = b.recorded().len();
    b.restart().await;
    until("it to be used again", async || b.recorded()[before..].iter().any(is_request).then_some(())).await;
    let probes = b.recorded()[before..].iter().take_while(|request| !is_request(request)).count();
    assert!(probes >= 3, "it was used after {probes} probes");
    events.tell(&name, "healthy again").await;
    load.progress(100).await;

    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    let told: Vec<_> = events.of(&name).into_iter().filter(|message| message.contains("healthy")).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    daemons.proxies[0].line(&format!("{name} is healthy again")).await;
    let log = daemons.proxies[0].output();
    let is_told = |line: &&str| line.contains(&format!("{name} is ")) && line.contains("healthy");
    let lines: Vec<_> = log.lines().filter(is_told).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains(" is unhealthy: ") && lines[1].contains(" is healthy again"), "{lines:#?}");
}

fn is_request(request: &weir_tests::Request) -> bool {
    request.head.start() == "GET / HTTP/1.1"
}
