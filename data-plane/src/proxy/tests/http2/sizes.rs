//! How large heads and trailers may be, as listeners and services say.

use http::{HeaderMap, HeaderValue, Response};
use weir_proto::{Limits, ResponseLimits};

use super::{
    super::harness::{Proxy, service},
    client::{GoodClient, request},
    server::Server,
};

fn fields(name: &'static str, count: usize, value: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    for _ in 0..count {
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

/// A backend that answers with this head and these trailers, and the proxy before it.
async fn answering(head: HeaderMap, trailers: HeaderMap) -> (Server, Proxy) {
    let server = Server::scripted(move |mut asked| {
        let (head, trailers) = (head.clone(), trailers.clone());
        async move {
            let mut response = Response::new(());
            *response.headers_mut() = head;
            let Ok(mut out) = asked.respond.send_response(response, trailers.is_empty()) else { return };
            if !trailers.is_empty() {
                // The proxy may have reset it.
                let _ = out.send_trailers(trailers);
            }
        }
    })
    .await;
    let entry = service("web", &[server.address], |service| {
        service.protocol = weir_proto::ServiceProtocol::Http2;
        service.response_limits = ResponseLimits { max_header_bytes: 1024, max_headers: 4 };
    });
    let proxy = Proxy::of(vec![entry]).await;
    (server, proxy)
}

#[tokio::test]
async fn a_target_is_as_long_as_a_request_line_may_be() {
    let server = Server::named("a").await;
    let limits = Limits { max_request_line_bytes: 256, ..Limits::default() };
    let proxy = Proxy::limited(vec![super::server::http2(&[server.address])], limits).await;
    let mut client = GoodClient::to(&proxy).await;
    assert_eq!(client.get(&format!("/{}", "a".repeat(255))).await.unwrap().status, 200);
    let long = client.get(&format!("/{}", "a".repeat(256))).await.unwrap();
    assert_eq!((long.status.as_u16(), long.reason()), (414, "uri_too_long"));
}

#[tokio::test]
async fn a_backends_head_is_as_large_as_its_service_says() {
    for (head, expected) in [
        (fields("x", 4, "y"), (200, "")),
        (fields("x", 5, "y"), (502, "backend_header_too_large")),
        (fields("x", 1, &"y".repeat(900)), (200, "")),
        (fields("x", 1, &"y".repeat(1000)), (502, "backend_malformed")),
    ] {
        let (_server, proxy) = answering(head, HeaderMap::new()).await;
        let post = request("POST", "/").body(()).unwrap();
        let answer = GoodClient::to(&proxy).await.ask(post).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.reason()), expected);
    }
}

#[tokio::test]
async fn a_backends_trailers_have_the_bounds_of_its_head() {
    for (count, whole) in [(4, true), (5, false)] {
        let (_server, proxy) = answering(HeaderMap::new(), fields("x", count, "y")).await;
        let answer = GoodClient::to(&proxy).await.get("/").await;
        assert_eq!(answer.is_ok_and(|answer| answer.trailers.is_some()), whole, "{count}");
    }
}

#[tokio::test]
async fn a_clients_trailers_have_the_bounds_of_its_head() {
    let server = Server::scripted(|mut asked| async move {
        if asked.body().await.is_ok() {
            asked.answer("a");
        }
    })
    .await;
    let limits = Limits { max_headers: 4, ..Limits::default() };
    let proxy = Proxy::limited(vec![super::server::http2(&[server.address])], limits).await;
    for (count, expected) in [(4, Ok(200)), (5, Err(Some(h2::Reason::PROTOCOL_ERROR)))] {
        let post = request("POST", "/").body(()).unwrap();
        let answer = GoodClient::to(&proxy).await.upload(post, &[b"a"], Some(fields("x", count, "y"))).await;
        let outcome = answer.map(|answer| answer.status.as_u16()).map_err(|e| e.reason());
        assert_eq!(outcome, expected, "{count}");
    }
}
