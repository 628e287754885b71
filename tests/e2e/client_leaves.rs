//! Clients that leave take their requests along, and say nothing about the backend.

use weir_tests::{Backend, Behaviour, Client, Daemons, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn many_that_leave_eject_nobody_and_nothing_is_tried_again() {
    let (a, b) = (Backend::with("a", Behaviour::Hang).await, Backend::with("b", Behaviour::Hang).await);
    let daemons = Daemons::start(1).await;
    let eject = "outlier_detection: { consecutive_5xx: 1, consecutive_gateway_failure: 1, max_ejection_percent: 100 }";
    let circuit = "circuit_breakers: { consecutive_failures: 1, open_time: 1h }";
    let retries = "retry_policy: { num_retries: 5, retry_on: [gateway-error, 5xx] }";
    daemons.serve("web", &[eject, circuit, retries], &[a.address(), b.address()]).await;

    for gone in 1..=30 {
        let mut client = Client::open(daemons.traffic[0]).await.unwrap();
        client.wire.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
        until("the request", async || (a.requests() + b.requests() == gone).then_some(())).await;
        drop(client);
        until("its cancellation", async || (a.given_up() + b.given_up() == gone).then_some(())).await;
    }

    assert_eq!((a.requests(), b.requests()), (15, 15), "none is tried again");
    let counted = async |reason| daemons.counted(0, "weir_proxy_requests_total", &[("reason", reason)]).await;
    until("all to be counted", async || (counted("client_gone").await >= 30.0).then_some(())).await;
    for backend in [&a, &b] {
        let idle =
            daemons.finds(0, "web", backend.address(), "without requests", |found| found["in_flight"] == 0);
        assert!(idle.await["ejection"].is_null());
        backend.set(Behaviour::Name);
    }
    for _ in 0..4 {
        assert_eq!(get(daemons.traffic[0], "/").await.unwrap().status(), 200);
    }
    assert_eq!((a.requests(), b.requests()), (17, 17), "both are used as before");
}
