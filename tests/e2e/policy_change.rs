//! A new policy is for what comes: what a proxy knows of its backends, and has under way there, it keeps.

use weir_tests::{Backend, Behaviour, Daemons, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn ejections_health_and_requests_in_flight_outlast_it() {
    let busy = Backend::with("busy", Behaviour::at("/health", Behaviour::Name, Behaviour::Hold)).await;
    let fails =
        Backend::with("fails", Behaviour::at("/health", Behaviour::Name, Behaviour::Status(500))).await;
    let sick = Backend::with("sick", Behaviour::Status(500)).await;
    let others = [Backend::start("a").await, Backend::start("b").await];
    let daemons = Daemons::start(1).await;
    let all = [busy.address(), fails.address(), sick.address(), others[0].address(), others[1].address()];
    let check = "health_check: { http: { path: /health }, interval: 100ms }";
    let eject = "outlier_detection: { consecutive_5xx: 2, base_ejection_time: 5m }";
    daemons.serve("web", &[check, eject], &all).await;
    let traffic = daemons.traffic[0];
    daemons.finds(0, "web", sick.address(), "unhealthy", |found| found["health"] == "unhealthy").await;
    daemons.finds(0, "web", busy.address(), "healthy", |found| found["health"] == "healthy").await;

    // Requests until one is held and one backend is ejected.
    let mut held = Vec::new();
    until("an ejection", async || {
        held.push(tokio::spawn(async move { get(traffic, "/").await.unwrap().status() }));
        let found = daemons.found(0, "web", fails.address()).await;
        (!found["ejection"].is_null()).then_some(())
    })
    .await;
    held.retain(|request| !request.is_finished());
    let in_flight = async || daemons.found(0, "web", busy.address()).await["in_flight"].as_u64().unwrap();
    until("the others to end", async || {
        held.retain(|request| !request.is_finished());
        (held.len() as u64 == in_flight().await).then_some(())
    })
    .await;
    let before = held.len() as u64;
    assert!(before > 0, "requests are under way");

    let mut seconds = 0.0;
    for policy in ["least_request: { choice_count: 3 }", "random: {}", "maglev: { table_size: 101 }"] {
        let settings = [
            &format!("lb_policy: {{ {policy} }}"),
            "health_check: { http: { path: /health }, interval: 200ms }",
            "outlier_detection: { consecutive_5xx: 3, base_ejection_time: 10m, max_ejection_time: 1h }",
            "circuit_breakers: { max_requests: 500 }",
        ];
        daemons.serve("web", &settings, &all).await;
        assert_eq!(in_flight().await, before, "{policy}");
        let found = daemons.found(0, "web", fails.address()).await;
        assert_eq!(found["ejection"]["state"], "ejected", "{policy}: {found}");
        let since = found["ejection"]["seconds"].as_f64().unwrap();
        assert!(since > seconds, "{policy}: {found}");
        seconds = since;
        assert_eq!(daemons.found(0, "web", sick.address()).await["health"], "unhealthy", "{policy}");
        for well in &others {
            assert_eq!(daemons.found(0, "web", well.address()).await["health"], "healthy", "{policy}");
        }
    }

    // What is under way comes to its end.
    busy.release(held.len());
    for request in held {
        assert_eq!(request.await.unwrap(), 200);
    }
    until("nothing to be under way", async || (in_flight().await == 0).then_some(())).await;
}
