//! Backends that speak HTTP/2, well and badly, to clients of both versions.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{self, Duration, Instant},
};
use weir_proto::ServiceProtocol;

use super::{
    super::harness::{Backend, Proxy, endpoint, service, until, within},
    client::{GoodClient, request},
    frames::{
        DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, REFUSED_STREAM, RST_STREAM, SETTINGS, block, frame,
    },
    server::{Server, http2},
};

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: Shop\r\nX-A: 1\r\n\r\n";

#[tokio::test]
async fn an_http1_client_does_not_notice() {
    let server = Server::named("hello").await;
    let proxy = Proxy::of(vec![http2(&[server.address])]).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        client.send(GET).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
        assert_eq!(client.bytes(15).await, "5\r\nhello\r\n0\r\n\r\n");
    }
    let asked = server.requests().remove(0);
    assert_eq!(asked.uri, "http://Shop/a?b");
    assert_eq!(asked.headers["x-a"], "1");
    assert!(asked.headers.get("host").is_none());
    assert!(asked.headers.get("connection").is_none());
    assert!(server.connections() <= 2, "one for each worker that served");
}

#[tokio::test]
async fn bodies_and_trailers_of_http1_arrive() {
    let server = Server::scripted(|mut asked| async move {
        let (body, trailers) = asked.body().await.unwrap();
        assert_eq!(trailers.unwrap()["x-sum"], "3");
        let mut out = asked.respond.send_response(Response::new(()), false).unwrap();
        out.send_data(body, false).unwrap();
        out.send_trailers(HeaderMap::from_iter([("x-back".parse().unwrap(), HeaderValue::from_static("4"))]))
            .unwrap();
    })
    .await;
    let proxy = Proxy::of(vec![http2(&[server.address])]).await;
    let mut client = proxy.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.send("3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.bytes(8).await, "3\r\nabc\r\n");
    assert_eq!(client.bytes(16).await, "0\r\nx-back: 4\r\n\r\n");
}

#[tokio::test]
async fn a_large_body_passes_both_ways_at_once() {
    const SIZE: usize = 4 << 20;
    let server = Server::scripted(|mut asked| async move {
        let mut out = asked.echo().await;
        out.send_data(Bytes::new(), true).unwrap();
    })
    .await;
    let proxy = Proxy::of(vec![http2(&[server.address])]).await;
    assert!(GoodClient::to(&proxy).await.gets_back(SIZE).await);
}

#[tokio::test]
async fn requests_share_connections_and_wait_for_a_place() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counts, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::built(builder, move |asked| {
        let (now, most) = (Arc::clone(&counts), Arc::clone(&peak));
        async move {
            most.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Relaxed);
            asked.answer("ok");
        }
    })
    .await;
    let proxy = Proxy::of(vec![http2(&[server.address])]).await;
    let mut first = GoodClient::to(&proxy).await;
    first.get("/").await.unwrap();
    let asked = (0..200).map(|_| first.beside());
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    assert!(server.connections() <= 8, "{}", server.connections());
    assert!(most.load(Relaxed) <= 16);
}

#[tokio::test]
async fn a_retired_backend_loses_its_connections() {
    let server = Server::named("hello").await;
    let service = http2(&[server.address]);
    let proxy = Proxy::of(vec![Arc::clone(&service)]).await;
    GoodClient::to(&proxy).await.get("/").await.unwrap();
    assert_eq!(proxy.workers.counters().upstream_open, 1);
    endpoint(&service, server.address).set_retired(crate::endpoint::Marks::GONE);
    proxy.workers.barrier().await;
    until(|| proxy.workers.counters().upstream_open == 0).await;
}

/// What a backend says to the request on a stream.
type Said = fn(u32) -> Vec<u8>;

/// A backend that says hello in HTTP/2, and whenever a request has come, what is made of the number of its stream.
pub(super) async fn saying(bytes: impl Fn(u32) -> Vec<u8> + Clone + Send + 'static) -> Backend {
    Backend::scripted(move |mut served| {
        let bytes = bytes.clone();
        async move {
            let hello = [frame(SETTINGS, 0, 0, b""), frame(SETTINGS, 1, 0, b"")].concat();
            served.send(std::str::from_utf8(&hello).unwrap()).await;
            served.stream.read_exact(&mut [0; 24]).await.unwrap();
            loop {
                let mut head = [0; 9];
                if served.stream.read_exact(&mut head).await.is_err() {
                    return;
                }
                let [_, l1, l2, kind, _, s0, s1, s2, s3] = head;
                let mut rest = vec![0; usize::from(u16::from_be_bytes([l1, l2]))];
                served.stream.read_exact(&mut rest).await.unwrap();
                if kind == HEADERS {
                    let _ = served.stream.write_all(&bytes(u32::from_be_bytes([s0, s1, s2, s3]))).await;
                }
            }
        }
    })
    .await
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

#[tokio::test]
async fn what_was_not_looked_at_is_repeated_whatever_it_is() {
    let refuses: Said = |stream| reset(stream, REFUSED_STREAM);
    let goes: Said = |_| frame(GOAWAY, 0, 0, &[0; 8]);
    for bytes in [refuses, goes] {
        let (bad, good) = (saying(bytes).await, Server::named("good").await);
        let proxy = Proxy::of(vec![http2(&[bad.address, good.address])]).await;
        for _ in 0..4 {
            let mut client = GoodClient::to(&proxy).await;
            let post = request("POST", "/").body(()).unwrap();
            let answer = client.ask(post).await.unwrap();
            assert_eq!(&answer.body[..], b"good");
        }
        assert!(proxy.workers.counters().retries >= 1);
    }
}

#[tokio::test]
async fn a_bad_answer_is_a_bad_gateway() {
    let status = |lines: &[(&str, &str)]| frame(HEADERS, END_HEADERS, 1, &block(lines));
    for (bytes, reason) in [
        (reset(1, 2), "backend_reset"),
        (status(&[("x", "y")]), "backend_malformed"),
        (status(&[(":status", "200"), ("connection", "x")]), "backend_malformed"),
        (status(&[(":status", "200"), ("x", " y")]), "backend_malformed"),
        (
            status(&[(":status", "200"), ("content-length", "1"), ("content-length", "1")]),
            "backend_malformed",
        ),
        (status(&[(":status", "101")]), "backend_malformed"),
        (status(&[(":status", "103")]).repeat(11), "backend_malformed"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "backend_malformed"),
    ] {
        let said = bytes.clone();
        let backend = saying(move |_| said.clone()).await;
        let proxy = Proxy::of(vec![http2(&[backend.address])]).await;
        let post = request("POST", "/").body(()).unwrap();
        let answer = GoodClient::to(&proxy).await.ask(post).await.unwrap();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!((answer.status.as_u16(), answer.reason()), (502, reason), "{shown:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_reset_never_looks_complete() {
    let server = Server::scripted(|mut asked| async move {
        let mut out = asked.respond.send_response(Response::new(()), false).unwrap();
        out.send_data(Bytes::from_static(b"half"), false).unwrap();
        tokio::task::yield_now().await;
        out.send_reset(h2::Reason::INTERNAL_ERROR);
    })
    .await;
    let proxy = Proxy::of(vec![http2(&[server.address])]).await;
    let error = GoodClient::to(&proxy).await.get("/").await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let rest = client.rest().await;
    assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[tokio::test]
async fn an_answer_that_needs_no_more_of_the_request_is_whole_if_it_has_ended() {
    let (sized, chunked, cut) = ("early", "5\r\nearly\r\n0\r\n\r\n", "5\r\nearly\r\n");
    for (length, ends, expected) in
        [(None, END_STREAM, chunked), (Some("5"), END_STREAM, sized), (Some("6"), 0, sized), (None, 0, cut)]
    {
        let backend = saying(move |stream| {
            let lines = [Some((":status", "413")), length.map(|length| ("content-length", length))];
            let head = block(&lines.into_iter().flatten().collect::<Vec<_>>());
            let body = frame(DATA, ends, stream, b"early");
            [frame(HEADERS, END_HEADERS, stream, &head), body, reset(stream, 0)].concat()
        })
        .await;
        let proxy = Proxy::of(vec![http2(&[backend.address])]).await;
        let mut client = proxy.client().await;
        client.send("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 9\r\n\r\nab").await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        assert_eq!(client.rest().await, expected, "{length:?}");
    }
}

#[tokio::test]
async fn a_backend_has_its_time_anew_with_each_piece_that_it_takes() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    const SIZE: usize = 4 << 20;
    let server = Server::scripted(|mut asked| async move {
        let start = Instant::now();
        while let Some(Ok(data)) = asked.incoming.data().await {
            asked.incoming.flow_control().release_capacity(data.len()).unwrap();
            if start.elapsed() < TIMEOUT * 3 / 2 {
                time::sleep(TIMEOUT / 20).await;
            }
        }
        asked.answer("all");
    })
    .await;
    let service = service("web", &[server.address], |service| {
        service.protocol = ServiceProtocol::Http2;
        service.timeouts.request = TIMEOUT;
    });
    let proxy = Proxy::of(vec![service]).await;
    let mut client = proxy.client().await;
    client.send(&format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {SIZE}\r\n\r\n")).await;
    // An early answer is noticed below.
    let _ = client.0.write_all(&vec![0; SIZE]).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[tokio::test]
async fn a_cancelled_request_is_reset_at_the_backend() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::scripted(move |mut asked| {
        let told = told.clone();
        async move {
            told.send(None).unwrap();
            let reason = std::future::poll_fn(|cx| asked.respond.poll_reset(cx)).await;
            told.send(reason.ok()).unwrap();
        }
    })
    .await;
    let proxy = Proxy::of(vec![http2(&[server.address])]).await;
    let client = GoodClient::to(&proxy).await;
    let mut sender = client.sender.clone().ready().await.unwrap();
    let (response, mut out) = sender.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    assert_eq!(within(tells.recv()).await, Some(None));
    out.send_reset(h2::Reason::CANCEL);
    drop(response);
    assert_eq!(within(tells.recv()).await, Some(Some(h2::Reason::CANCEL)));
    // The connection is still there for others.
    assert_eq!(proxy.workers.counters().upstream_open, 1);
}
