//! Backends and proxies leave without one failed request.

mod living_agent;
mod transaction;

use std::time::Duration;

use tokio::task::JoinSet;
use weir_proto::v1::{self, OperatorState};
use weir_tests::{Backend, Behaviour, Client, Cluster, Daemons, Load, Signal, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_backend_gets_nothing_new_once_the_proxies_acknowledged() {
    let (a, b, c) = (Backend::start("a").await, Backend::start("b").await, Backend::start("c").await);
    let cluster = Cluster::builder().proxies(2).start().await;
    cluster.serve("web", &[&a, &b, &c]).await;
    let loads: Vec<_> = cluster.proxies.iter().map(|p| Load::start(p.traffic, 8, Duration::ZERO)).collect();
    for load in &loads {
        load.progress(200).await;
    }

    let drained = format!("web/{}", b.address());
    for _ in 0..5 {
        let revision = cluster.api.operator_state(&drained, OperatorState::Draining).await.unwrap();
        cluster.api.acknowledged(revision, 2).await;
        // What was sent before the acknowledgement may still arrive.
        for proxy in &cluster.proxies {
            proxy.is_done_with("web", b.address()).await;
        }
        let seen = b.requests();
        for load in &loads {
            load.progress(300).await;
        }
        assert_eq!(b.requests(), seen);

        let revision = cluster.api.operator_state(&drained, OperatorState::Enabled).await.unwrap();
        cluster.api.acknowledged(revision, 2).await;
        until("the backend to be used again", async || (b.requests() > seen).then_some(())).await;
    }
    for load in loads {
        assert_eq!(load.stop().await.failures, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deregistering_with_drain_waits_for_what_is_in_flight() {
    let (a, b) = (Backend::with("a", Behaviour::Hold).await, Backend::start("b").await);
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&a, &b]).await;
    let mut requests = JoinSet::new();
    let traffic = cluster.traffic();
    for _ in 0..4 {
        requests.spawn(async move { get(traffic, "/").await.unwrap() });
    }
    a.has(2).await;

    let mut registry = cluster.api.registry.clone();
    let target = v1::deregister_request::Target::Backend(format!("web/{}", a.address()));
    let drain = Some(weir_proto::duration_to_wire(Duration::from_secs(15)));
    let deregister = tokio::spawn(async move {
        registry.deregister(v1::DeregisterRequest { target: Some(target), drain }).await.unwrap().into_inner()
    });
    until("the backend to drain", async || {
        let backends = cluster.api.backends("web").await.unwrap();
        backends.iter().any(|b| b.operator_state() == OperatorState::Draining).then_some(())
    })
    .await;
    cluster.settled().await;
    for _ in 0..10 {
        assert_eq!(get(traffic, "/").await.unwrap().text(), "b");
    }
    assert!(!deregister.is_finished(), "two requests are still in flight");

    a.release(2);
    let answer = deregister.await.unwrap();
    assert!(answer.existed && answer.unacknowledged_proxies.is_empty(), "{answer:?}");
    assert_eq!(answer.in_flight, 0);
    while let Some(response) = requests.join_next().await {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert_eq!(cluster.api.backends("web").await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_takes_too_long_ends_what_is_left() {
    let a = Backend::with("a", Behaviour::Hold).await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&a]).await;
    let traffic = cluster.traffic();
    // One that may not be sent a second time.
    let post = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    let request = tokio::spawn(async move {
        let mut client = Client::open(traffic).await.unwrap();
        client.send("POST", post).await.unwrap()
    });
    a.has(1).await;

    let target = v1::deregister_request::Target::Backend(format!("web/{}", a.address()));
    let drain = Some(weir_proto::duration_to_wire(Duration::from_secs(1)));
    let request_to_leave = v1::DeregisterRequest { target: Some(target), drain };
    let answer = cluster.api.registry.clone().deregister(request_to_leave).await.unwrap().into_inner();
    assert_eq!((answer.existed, answer.in_flight), (true, 0));
    let answer = request.await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("backend_drain_timeout"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_told_to_end_finishes_its_requests() {
    let backend = Backend::with("a", Behaviour::Hold).await;
    let mut daemons = Daemons::start(1).await;
    daemons.api.register("web", backend.address()).await.unwrap();
    daemons.api.settled(1).await;
    let traffic = daemons.traffic[0];
    let mut idle = Client::open(traffic).await.unwrap();
    backend.release(1);
    assert_eq!(idle.get("/").await.unwrap().text(), "a");

    let mut requests = JoinSet::new();
    for _ in 0..10 {
        requests.spawn(async move { get(traffic, "/").await });
    }
    backend.has(11).await;
    daemons.proxies[0].signal(Signal::TERM);
    assert!(idle.ends().await, "idle connections are closed");
    until("the port to be closed", async || Client::open(traffic).await.is_err().then_some(())).await;

    backend.release(10);
    while let Some(response) = requests.join_next().await {
        assert_eq!(response.unwrap().unwrap().text(), "a");
    }
    assert_eq!(daemons.proxies[0].exit().await.code(), Some(0), "{}", daemons.proxies[0].output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lame_duck_still_serves() {
    let backend = Backend::start("a").await;
    let mut cluster = Cluster::builder().lame_duck(Duration::from_secs(5)).start().await;
    cluster.serve("web", &[&backend]).await;
    let load = Load::start(cluster.traffic(), 4, Duration::ZERO);
    load.progress(100).await;
    let proxy = cluster.proxies.pop().unwrap();

    proxy.terminate();
    until("readiness to fail", async || {
        (get(proxy.admin, "/readyz").await.ok()?.status() == 503).then_some(())
    })
    .await;
    assert_eq!(get(proxy.admin, "/livez").await.unwrap().status(), 200);
    assert_eq!(get(proxy.traffic, "/").await.unwrap().text(), "a");
    load.progress(100).await;
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    proxy.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let backend = Backend::with("a", Behaviour::Hold).await;
    let mut daemons = Daemons::start(1).await;
    daemons.api.register("web", backend.address()).await.unwrap();
    daemons.api.settled(1).await;
    let traffic = daemons.traffic[0];
    let request = tokio::spawn(async move { get(traffic, "/").await });
    backend.has(1).await;

    daemons.proxies[0].signal(Signal::TERM);
    until("the port to be closed", async || Client::open(traffic).await.is_err().then_some(())).await;
    daemons.proxies[0].signal(Signal::TERM);
    let status = daemons.proxies[0].exit().await;
    assert!(!status.success(), "{status}");
    assert!(request.await.unwrap().is_err(), "the request is cut off");
}
