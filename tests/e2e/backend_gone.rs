//! A backend that refuses, breaks off or ends idle connections costs the clients nothing.

use std::time::Duration;

use tokio::time::Instant;
use weir_proto::v1;
use weir_tests::{Backend, Behaviour, Client, Cluster, Load, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_refuses_is_skipped() {
    let (a, mut b, c) = (Backend::start("a").await, Backend::start("b").await, Backend::start("c").await);
    let cluster = Cluster::start().await;
    // So that what requests meet is not held against it for long.
    let outlier_detection = v1::OutlierDetection {
        base_ejection_time: Some(weir_proto::duration_to_wire(Duration::from_millis(100))),
        ..v1::OutlierDetection::default()
    };
    let service = v1::Service {
        name: "web".to_owned(),
        outlier_detection: Some(outlier_detection),
        ..v1::Service::default()
    };
    cluster.apply(v1::Document { services: vec![service], ..v1::Document::default() }).await;
    cluster.serve("web", &[&a, &b, &c]).await;
    let run = async || {
        let started = Instant::now();
        let outcome = Load::run(cluster.traffic(), 1, 300).await;
        assert_eq!(outcome.failures, Vec::<String>::new());
        started.elapsed()
    };
    let with_all = run().await;
    let before = a.requests() + c.requests();
    b.stop().await;

    let took = run().await;
    assert_eq!(a.requests() + c.requests(), before + 300);
    // A hundred of them met the dead one. A balancer that pays 100 ms for each needs 10 s more.
    assert!(took < 2 * with_all + Duration::from_secs(5), "{took:?} in place of {with_all:?}");

    b.restart().await;
    until("it to be used again", async || {
        (Load::run(cluster.traffic(), 1, 3).await.answers.len() == 3).then_some(())
    })
    .await;
    assert_eq!(Load::run(cluster.traffic(), 1, 30).await.answers.get("b"), Some(&10));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_under_load_is_not_noticed() {
    let (a, mut b, c) = (Backend::start("a").await, Backend::start("b").await, Backend::start("c").await);
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&a, &b, &c]).await;
    let load = Load::start(cluster.traffic(), 16, Duration::ZERO);
    for _ in 0..5 {
        load.progress(300).await;
        b.stop().await;
        load.progress(300).await;
        b.restart().await;
    }
    let outcome = load.stop().await;

    assert_eq!(outcome.failures, Vec::<String>::new());
    assert!(outcome.answers.len() == 3, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_the_backend_ends_are_not_noticed() {
    let backend = Backend::with("a", Behaviour::CloseIdle).await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;

    let outcome = Load::run(cluster.traffic(), 8, 400).await;

    assert_eq!(outcome.failures, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_never_ends_cleanly() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;

    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_owned();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n".to_owned();
    for raw in [sized, chunked] {
        for behaviour in [Behaviour::RawThenClose(raw.clone()), Behaviour::RawThenReset(raw.clone())] {
            backend.set(behaviour.clone());
            let mut client = Client::open(cluster.traffic()).await.unwrap();
            client.wire.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
            // A reset may overtake what was sent before it.
            if let Ok(response) = client.response("GET").await {
                assert_eq!(response.status(), 502, "{behaviour:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_body_is_never_sent_twice() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&a, &b]).await;
    for backend in [&a, &b] {
        backend.set(Behaviour::RawThenReset(String::new()));
    }

    let mut client = Client::open(cluster.traffic()).await.unwrap();
    let post = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(client.send("POST", post).await.unwrap().status(), 502);
    assert_eq!(a.requests() + b.requests(), 1);

    let mut client = Client::open(cluster.traffic()).await.unwrap();
    assert_eq!(client.get("/").await.unwrap().status(), 502);
    assert_eq!(a.requests() + b.requests(), 3, "a GET is tried once more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_request_along() {
    let backend = Backend::with("a", Behaviour::Hang).await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;

    let mut client = Client::open(cluster.traffic()).await.unwrap();
    client.wire.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    until("the request", async || (backend.requests() == 1).then_some(())).await;
    drop(client);
    until("its cancellation", async || (backend.given_up() == 1).then_some(())).await;
    assert_eq!(backend.requests(), 1, "it is not tried again");
}
