//! Proxies in front of proxies.

use weir_proto::Limits;

use super::harness::{Backend, Proxy, web};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn called(id: &str) -> Proxy {
    Proxy::called(id, Limits::default(), None).await
}

#[tokio::test]
async fn one_tier_behind_another_is_no_loop() {
    let backend = Backend::named("a").await;
    let (edge, inner) = (called("edge").await, called("inner").await);
    edge.serve(vec![web(&[inner.address])], &[]);
    inner.serve(vec![web(&[backend.address])], &[]);
    assert_eq!(edge.ask(GET).await.body, "a");
    let head = &backend.heads()[0];
    assert_eq!(head.matches("via: 1.1 weir-").count(), 2, "{head}");
}

#[tokio::test]
async fn a_loop_through_another_tier_is_noticed() {
    let (edge, inner) = (called("edge").await, called("inner").await);
    edge.serve(vec![web(&[inner.address])], &[]);
    inner.serve(vec![web(&[edge.address])], &[]);
    let response = edge.ask(GET).await;
    assert_eq!((response.status(), response.body.contains("(loop_detected)")), (508, true));
    assert_eq!(inner.workers.counters().upstream_opened, 1, "it came round once");
}
