//! How large heads and trailers may be, as listeners and services say.

use weir_proto::{Limits, ResponseLimits};

use super::harness::{Backend, Proxy, Response, service, web};

const LIMITS: ResponseLimits = ResponseLimits { max_header_bytes: 1024, max_headers: 4 };

#[tokio::test]
async fn a_request_line_is_as_long_as_the_listener_says() {
    let backend = Backend::named("a").await;
    for (most, header) in [(256, 32 * 1024), (100_000, 128 * 1024)] {
        let limits = Limits { max_request_line_bytes: most, max_header_bytes: header, ..Limits::default() };
        let proxy = Proxy::limited(vec![web(&[backend.address])], limits).await;
        let line = |len: usize| format!("GET /{} HTTP/1.1", "a".repeat(len - "GET / HTTP/1.1".len()));
        let fits = proxy.ask(&format!("{}\r\nHost: a\r\n\r\n", line(most as usize))).await;
        assert_eq!(fits.status(), 200, "{most}");
        let long = proxy.ask(&format!("{}\r\nHost: a\r\n\r\n", line(most as usize + 1))).await;
        assert_eq!(long.outcome(), (414, "uri_too_long"), "{most}");
    }
}

async fn answered(answer: String, limits: ResponseLimits) -> Response {
    let backend = Backend::scripted(move |mut served| {
        let answer = answer.clone();
        async move {
            served.head().await;
            served.send(&answer).await;
            served.rest().await;
        }
    })
    .await;
    let entry = service("web", &[backend.address], |service| service.response_limits = limits);
    Proxy::of(vec![entry]).await.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await
}

#[tokio::test]
async fn a_backends_head_is_as_large_as_its_service_says() {
    let fields =
        |n: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{}\r\n", "x: y\r\n".repeat(n - 1));
    let long = |n: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: {}\r\n\r\n", "y".repeat(n));
    let refused = (502, "backend_header_too_large");
    assert_eq!(answered(fields(4), LIMITS).await.status(), 200);
    assert_eq!(answered(fields(5), LIMITS).await.outcome(), refused);
    assert_eq!(answered(long(900), LIMITS).await.status(), 200);
    assert_eq!(answered(long(1024), LIMITS).await.outcome(), refused);
    assert_eq!(answered(long(65_536), ResponseLimits::default()).await.outcome(), refused);
    let large = ResponseLimits { max_header_bytes: 1 << 20, max_headers: 1000 };
    assert_eq!(answered(long(1_000_000), large).await.status(), 200);
    assert_eq!(answered(fields(1000), large).await.status(), 200);
}

#[tokio::test]
async fn a_backends_trailers_have_the_bounds_of_its_head() {
    for (count, whole) in [(4, true), (5, false)] {
        let backend = Backend::scripted(move |mut served| async move {
            served.head().await;
            served.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n").await;
            served.send(&format!("{}\r\n", "x: y\r\n".repeat(count))).await;
            served.rest().await;
        })
        .await;
        let entry = service("web", &[backend.address], |service| service.response_limits = LIMITS);
        let proxy = Proxy::of(vec![entry]).await;
        let mut client = proxy.client().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        client.head().await;
        let rest = client.rest().await;
        assert_eq!(rest.contains("\r\n0\r\n"), whole, "{count}: {rest:?}");
    }
}

#[tokio::test]
async fn a_clients_trailers_have_the_bounds_of_its_head() {
    let backend = Backend::scripted(|mut served| async move {
        while served.message().await.is_some() {
            served.answer("a").await;
        }
    })
    .await;
    let limits = Limits { max_headers: 4, ..Limits::default() };
    let proxy = Proxy::limited(vec![web(&[backend.address])], limits).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
    let trailers = |n: usize| format!("{head}{}\r\n", "authorization: y\r\n".repeat(n));
    assert_eq!(proxy.ask(&trailers(4)).await.status(), 200);
    assert_eq!(proxy.ask(&trailers(5)).await.outcome(), (400, "request_body_malformed"));
}
