//! Probes ask what was configured, before anybody else asks anything, and one at a time.

use std::time::Duration;

use weir_tests::{Backend, Behaviour, Client, Daemons, until};

/// Requests that come first wait for the first probes; on a busy machine that may be long.
const PATIENT: &str = "circuit_breakers: { queue_timeout: 20s }";
const NO_EJECTIONS: &str = "outlier_detection: { disabled: true }";

#[tokio::test(flavor = "multi_thread")]
async fn the_configured_path_decides_and_does_so_before_the_first_request() {
    let (ok, bad) = (|| Behaviour::Name, || Behaviour::Status(500));
    let seems_well = Backend::with("seems-well", Behaviour::at("/healthcheck", bad(), ok())).await;
    let is_well = Backend::with("is-well", Behaviour::at("/healthcheck", ok(), bad())).await;
    seems_well.record();
    is_well.record();
    let daemons = Daemons::start(1).await;
    let check = "health_check: { http: { path: /healthcheck }, interval: 100ms }";
    daemons.serve("web", &[check, PATIENT, NO_EJECTIONS], &[seems_well.address(), is_well.address()]).await;

    let mut client = Client::open(daemons.traffic[0]).await.unwrap();
    for _ in 0..50 {
        let answer = client.get("/").await.unwrap();
        assert_eq!((answer.status(), answer.text()), (500, "is-well".to_owned()));
    }
    // As long as its first probe is not answered it gets nothing either.
    let found = daemons
        .finds(0, "web", seems_well.address(), "unhealthy", |found| found["health"] == "unhealthy")
        .await;
    assert!(found["health_reason"].as_str().unwrap().contains("500"), "{found}");
    assert_eq!(daemons.found(0, "web", is_well.address()).await["health"], "healthy");

    // The timer goes on, and nothing but probes ever came to the one that fails them.
    let probes = seems_well.requests();
    until("three more probes", async || (seems_well.requests() >= probes + 3).then_some(())).await;
    for request in seems_well.recorded() {
        assert_eq!(request.head.start(), "GET /healthcheck HTTP/1.1");
        assert!(request.head.get("user-agent").unwrap().starts_with("weir-health-check/"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_takes_its_time_is_never_asked_twice_at_once() {
    let slow = Backend::with("slow", Behaviour::After(Duration::from_millis(250))).await;
    let daemons = Daemons::start(1).await;
    let check = "health_check: { http: {}, interval: 100ms, timeout: 20s }";
    daemons.serve("web", &[check], &[slow.address()]).await;

    until("five probes", async || (slow.requests() >= 5).then_some(())).await;
    assert_eq!(slow.peak(), 1);
    assert_eq!(daemons.found(0, "web", slow.address()).await["health"], "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_answer_in_time_is_unhealthy_and_asked_again() {
    let (hangs, well) = (Backend::with("hangs", Behaviour::Hang).await, Backend::start("well").await);
    let daemons = Daemons::start(1).await;
    let check = "health_check: { http: {}, interval: 100ms, timeout: 100ms }";
    daemons.serve("web", &[check, PATIENT], &[hangs.address(), well.address()]).await;

    let found =
        daemons.finds(0, "web", hangs.address(), "unhealthy", |found| found["health"] == "unhealthy").await;
    assert!(found["health_reason"].as_str().unwrap().contains("within 100ms"), "{found}");
    until("it to be asked again, and given up", async || (hangs.given_up() >= 3).then_some(())).await;

    hangs.set(Behaviour::Name);
    daemons.finds(0, "web", hangs.address(), "healthy again", |found| found["health"] == "healthy").await;
    let mut client = Client::open(daemons.traffic[0]).await.unwrap();
    until("it to be used", async || (client.get("/").await.unwrap().text() == "hangs").then_some(())).await;
}
