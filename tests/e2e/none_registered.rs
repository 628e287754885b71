//! Where nobody can answer, the answer is quick and says why.

use tokio::time::Instant;
use weir_proto::v1::OperatorState;
use weir_tests::{Backend, Cluster, Response, at_once, get};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_configured() {
    let cluster = Cluster::start().await;
    let response = quick(&cluster).await;
    assert_eq!(response.status(), 503);
    assert!(response.head.get("retry-after").is_some(), "{}", response.head.raw);
    assert!(
        response.head.get("proxy-status").is_some_and(|s| s.starts_with("weir; error=")),
        "{}",
        response.head.raw
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn none_enabled() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let id = format!("web/{}", backend.address());
    cluster.api.operator_state(&id, OperatorState::Disabled).await.unwrap();
    cluster.settled().await;

    let response = quick(&cluster).await;
    assert_eq!(response.status(), 503);
    assert!(response.head.get("retry-after").is_some(), "{}", response.head.raw);

    cluster.api.operator_state(&id, OperatorState::Enabled).await.unwrap();
    cluster.settled().await;
    assert_eq!(quick(&cluster).await.text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_refuse() {
    let (mut a, mut b) = (Backend::start("a").await, Backend::start("b").await);
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&a, &b]).await;
    a.stop().await;
    b.stop().await;
    let answer = quick(&cluster).await;
    assert_eq!((answer.status(), answer.head.get("retry-after")), (503, Some("1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_leaves() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    cluster.api.deregister(&format!("web/{}", backend.address())).await.unwrap();
    cluster.settled().await;
    assert_eq!(quick(&cluster).await.status(), 503);
}

async fn quick(cluster: &Cluster) -> Response {
    let started = Instant::now();
    let response = get(cluster.traffic(), "/").await.unwrap();
    at_once("an answer without a backend", started);
    response
}
