//! What never reaches a backend, and what the client is told.

use tokio::time::Duration;
use weir_proto::{Limits, Route, v1};

use super::{
    harness::{Backend, Proxy, service, until, via, web},
    scripts::Hold,
};

async fn refused(proxy: &Proxy, request: &str) -> (u16, String) {
    let response = proxy.ask(request).await;
    let details = response.field("proxy-status").and_then(|field| field.split('"').nth(1)).unwrap_or("");
    assert!(response.body.ends_with(&format!("({details})\n")), "{response:?}");
    (response.status(), details.to_owned())
}

#[tokio::test]
async fn bad_requests_are_answered_with_their_reason() {
    let backend = Backend::named("a").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let long = "a".repeat(9_000);
    let large = "a".repeat(33_000);
    let many = "x: y\r\n".repeat(101);
    for (request, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", (400, "host_missing")),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", (400, "host_repeated")),
        ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", (400, "host_invalid")),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            (501, "coding_unknown"),
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            (400, "request_malformed"),
        ),
        ("GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n", (400, "scheme_unsupported")),
        ("CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", (405, "method_not_allowed")),
        ("TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", (405, "method_not_allowed")),
        (
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: tea\r\ncontent-length: 1\r\n\r\n",
            (417, "expectation_failed"),
        ),
        (&format!("GET / HTTP/1.1\r\nhost: a\r\nvia: {}\r\n\r\n", via()), (508, "loop_detected")),
        (&format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), (414, "uri_too_long")),
        (&format!("GET / HTTP/1.1\r\nhost: a\r\nx: {large}\r\n\r\n"), (431, "header_too_large")),
        (&format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), (431, "header_too_large")),
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", (400, "request_malformed")),
        ("nonsense\r\n\r\n", (400, "request_malformed")),
    ] {
        let (status, reason) = refused(&proxy, request).await;
        assert_eq!((status, reason.as_str()), expected, "{}", &request[..request.len().min(60)]);
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_bad_request_ends_its_connection_and_no_other() {
    let backend = Backend::named("a").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let (mut good, mut bad) = (proxy.client().await, proxy.client().await);
    assert_eq!(good.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.status(), 200);
    let response = bad.ask("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((response.status(), response.field("connection")), (400, Some("close")));
    assert_eq!(bad.rest().await, "");
    assert_eq!(good.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.status(), 200);
}

#[tokio::test]
async fn a_malformed_request_after_a_good_one_is_answered_after_it() {
    let backend = Backend::named("a").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.body, "a");
    let response = client.ask("GET / HTTP/1.1\r\nho st: a\r\n\r\n").await;
    assert_eq!(response.status(), 400);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let proxy = Proxy::of(vec![]).await;
    proxy.ask("GET / HTTP/1.1\r\n\r\n").await;
    let reason = crate::reason::Reason::HostMissing as usize;
    until(|| proxy.workers.counters().unrouted.reasons[reason] == 1).await;
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let proxy = Proxy::of(vec![]).await;
    let mut client = proxy.client().await;
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 1\r\n"), "{head}");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn max_forwards_0_is_answered_here() {
    let backend = Backend::named("a").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let response = proxy.ask("OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n").await;
    assert_eq!(response.status(), 200);
    assert!(response.field("allow").is_some_and(|allow| allow.contains("GET")));
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn what_is_not_configured_is_told_apart() {
    const REQUEST: &str = "GET /x HTTP/1.1\r\nhost: b\r\n\r\n";
    let proxy = Proxy::bare(Limits::default(), None).await;
    assert_eq!(refused(&proxy, REQUEST).await, (503, "nothing_configured".to_owned()));
    proxy.serve(vec![], &[]);
    assert_eq!(refused(&proxy, REQUEST).await, (503, "nothing_configured".to_owned()));
    proxy.serve(vec![web(&[])], &[]);
    assert_eq!(refused(&proxy, REQUEST).await, (503, "no_backends".to_owned()));
    proxy.serve(vec![web(&[]), service("c", &[], |_| {})], &[]);
    assert_eq!(refused(&proxy, REQUEST).await, (404, "no_route".to_owned()));
    let route = |host: &str| {
        let services = vec![v1::WeightedService { name: "missing".into(), weight: None }];
        let matching = v1::RouteMatch { host: host.into(), path: None };
        Route::try_from(v1::Route { r#match: Some(matching), services, ..Default::default() }).unwrap()
    };
    proxy.serve(vec![web(&[])], &[route("other")]);
    assert_eq!(refused(&proxy, REQUEST).await, (404, "no_route".to_owned()));
    proxy.serve(vec![web(&[])], &[route("b")]);
    assert_eq!(refused(&proxy, REQUEST).await, (503, "no_service".to_owned()));
}

#[tokio::test]
async fn without_routes_the_host_names_the_service() {
    let (a, b) = (Backend::named("a").await, Backend::named("b").await);
    let services = vec![service("a", &[a.address], |_| {}), service("b", &[b.address], |_| {})];
    let proxy = Proxy::of(services).await;
    for (host, body) in [("B:8080", "b"), ("a", "a")] {
        assert_eq!(proxy.ask(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).await.body, body);
    }
}

#[tokio::test]
async fn a_slow_head_is_answered_with_408_and_an_idle_connection_closed_silently() {
    let limits = Limits {
        header_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let proxy = Proxy::limited(vec![], limits).await;
    let (mut slow, mut idle) = (proxy.client().await, proxy.client().await);
    let response = slow.ask("GET / HTTP/1.1\r\nhost").await;
    assert_eq!(response.status(), 408);
    assert!(response.body.ends_with("(header_timeout)\n"));
    assert_eq!(slow.rest().await, "");
    assert_eq!(idle.rest().await, "");
}

#[tokio::test]
async fn a_slow_body_is_answered_with_408_and_the_backend_cut_off() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.rest().await;
    })
    .await;
    let limits = Limits { body_idle_timeout: Duration::from_millis(100), ..Limits::default() };
    let service = web(&[backend.address]);
    let endpoint = super::harness::endpoint(&service, backend.address);
    let proxy = Proxy::limited(vec![service], limits).await;
    let (status, reason) = refused(&proxy, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab").await;
    assert_eq!((status, reason.as_str()), (408, "request_body_timeout"));
    until(|| endpoint.in_flight() == 0).await;
}

#[tokio::test]
async fn a_malformed_body_is_refused() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        let rest = served.rest().await;
        assert!(!rest.ends_with("0\r\n\r\n"), "the message must not be completed: {rest}");
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let request = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n";
    assert_eq!(refused(&proxy, request).await, (400, "request_body_malformed".to_owned()));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let hold = Hold::new();
    let backend = hold.backend().await;
    let limits = Limits { max_connections: 1, ..Limits::default() };
    let proxy = Proxy::limited(vec![web(&[backend.address])], limits).await;
    let mut first = proxy.client().await;
    first.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(|| hold.now() == 1).await;
    assert_eq!(proxy.client().await.rest().await, "");
    until(|| proxy.workers.counters().connections_refused == 1).await;
    drop(first);
    until(|| proxy.workers.counters().connections_open == 0).await;
    hold.release(2);
    assert_eq!(proxy.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.body, "held");
}

#[tokio::test]
async fn a_refused_body_is_drained_or_its_connection_closed() {
    let proxy = Proxy::of(vec![]).await;
    let mut client = proxy.client().await;
    let whole = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    for _ in 0..2 {
        assert_eq!(client.ask(whole).await.status(), 503);
    }
    let part = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\n\r\nhello";
    assert_eq!(client.ask(part).await.status(), 503);
    assert_eq!(client.rest().await, "");
}
