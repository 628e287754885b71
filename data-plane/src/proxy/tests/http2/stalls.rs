//! HTTP/2 clients that allow no byte of what they ask for: what their requests hold, and who gets it.

use std::sync::Arc;

use tokio::time::Duration;
use weir_proto::{CircuitBreakers, Limits, ServiceProtocol};

use super::{
    super::harness::{Backend, Proxy, eager, ended, service, until},
    client::GoodClient,
    frames::{ENHANCE_YOUR_CALM, GET, GOAWAY, PREFACE, RST_STREAM, RawClient, SETTINGS, frame},
    server::Server,
};
use crate::{reason::Reason, table::ServiceEntry};

const GRACE: Duration = Duration::from_millis(100);

/// More than is ever read ahead.
const SIZE: usize = 1 << 20;

const SMALL: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn bounded(
    address: std::net::SocketAddr,
    protocol: ServiceProtocol,
    change: impl FnOnce(&mut CircuitBreakers),
) -> Arc<ServiceEntry> {
    service("web", &[address], |service| {
        eager(service);
        service.protocol = protocol;
        service.circuit_breakers.stall_grace = GRACE;
        service.circuit_breakers.queue_timeout = Duration::from_mins(1);
        service.timeouts.connect = Duration::from_mins(1);
        change(&mut service.circuit_breakers);
    })
}

/// A client that allows no byte of any answer.
async fn shut(proxy: &Proxy) -> RawClient {
    let mut client = RawClient::silent(proxy).await;
    client.send(PREFACE).await;
    client.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    client
}

async fn ask(client: &mut RawClient, stream: u32, path: &str) {
    client.open(stream, &[GET[0], GET[1], GET[2], (":path", path)], super::frames::END_STREAM).await;
}

/// Answers `/big` with much.
async fn http2_backend() -> Server {
    Server::scripted(|asked| async move {
        let size = if asked.parts.uri.path() == "/big" { SIZE } else { 5 };
        asked.answer("x".repeat(size));
    })
    .await
}

async fn http1_backend() -> Backend {
    Backend::scripted(|mut served| async move {
        while let Some(request) = served.head().await {
            let size = if request.starts_with("GET /big") { SIZE } else { 5 };
            served.answer(&"x".repeat(size)).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_that_is_wholly_here_holds_no_place() {
    let whole = [
        "content-length: 5\r\n\r\nhello",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-trailer: 1\r\n\r\n",
    ];
    for rest in whole {
        let backend = Backend::saying(format!("HTTP/1.1 200 OK\r\n{rest}")).await;
        let entry = bounded(backend.address, ServiceProtocol::Http1, |breakers| breakers.max_requests = 1);
        let live = Arc::clone(&entry.live);
        let proxy = Proxy::of(vec![entry]).await;
        let mut client = shut(&proxy).await;
        for stream in [1, 3, 5] {
            ask(&mut client, stream, "/").await;
            assert_eq!(client.outcome().await, Ok(200), "{rest}");
            until(|| live.gate().held() == 0).await;
        }
        assert!(backend.connections() <= 2, "they go on to others, too");
        // What was kept is what the client gets in the end.
        client.send(&frame(super::frames::WINDOW_UPDATE, 0, 3, &[0, 0, 0, 5])).await;
        let data = client.until(super::frames::DATA).await;
        assert_eq!((data.stream, &data.rest[..]), (3, &b"hello"[..]));
    }
}

#[tokio::test]
async fn an_answer_that_comes_in_pieces_holds_no_place_once_it_is_here() {
    let backend = Backend::scripted(|mut served| async move {
        while served.head().await.is_some() {
            served.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            for piece in ["5\r\nhello\r\n", "1\r\n!\r\n", "0\r\n\r\n"] {
                tokio::task::yield_now().await;
                served.send(piece).await;
            }
        }
    })
    .await;
    let entry = bounded(backend.address, ServiceProtocol::Http1, |breakers| breakers.max_requests = 1);
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    let mut client = shut(&proxy).await;
    ask(&mut client, 1, "/").await;
    assert_eq!(client.outcome().await, Ok(200));
    until(|| live.gate().held() == 0).await;
    assert_eq!(proxy.ask(SMALL).await.status(), 200);
}

/// What fails while nobody takes it must not look like a good end when somebody does.
#[tokio::test]
async fn an_answer_that_is_cut_while_its_client_takes_nothing_does_not_end_well() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
        served.stream.get_ref().set_zero_linger().unwrap();
    })
    .await;
    let entry = bounded(backend.address, ServiceProtocol::Http1, |_| ());
    let counters = Arc::clone(&entry.counters);
    let proxy = Proxy::of(vec![entry]).await;
    let mut client = shut(&proxy).await;
    let mut answered = 0;
    for stream in (1..60).step_by(2) {
        ask(&mut client, stream, "/").await;
        match client.outcome().await {
            Ok(200) => answered += 1,
            // The end came before anything of the answer.
            Ok(502) => continue,
            other => panic!("{other:?}"),
        }
        // The proxy has had its time to hear of the end.
        client.send(&frame(super::frames::PING, 0, 0, b"whatever")).await;
        client.until(super::frames::PING).await;
        client.send(&frame(super::frames::WINDOW_UPDATE, 0, stream, &[0, 0, 1, 0])).await;
        let end = loop {
            let frame = client.next().await.expect("an end");
            if frame.kind == RST_STREAM || frame.flags & super::frames::END_STREAM != 0 {
                break frame.kind;
            }
        };
        assert_eq!(end, RST_STREAM, "{stream}");
    }
    until(|| ended(&counters, Reason::BodyTruncated) == answered).await;
}

#[tokio::test]
async fn an_answer_of_http2_that_is_wholly_here_holds_no_place_either() {
    let server = Server::scripted(|mut asked| async move {
        let mut out = asked.respond.send_response(http::Response::new(()), false).unwrap();
        out.send_data("hello".into(), false).unwrap();
        let trailers = [("x-sum".parse().unwrap(), http::HeaderValue::from_static("4"))];
        out.send_trailers(http::HeaderMap::from_iter(trailers)).unwrap();
    })
    .await;
    let entry = bounded(server.address, ServiceProtocol::Http2, |breakers| breakers.max_requests = 1);
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    let mut client = shut(&proxy).await;
    ask(&mut client, 1, "/").await;
    assert_eq!(client.outcome().await, Ok(200));
    until(|| live.gate().held() == 0).await;
    client.send(&frame(super::frames::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 5])).await;
    assert_eq!(client.until(super::frames::DATA).await.rest, b"hello");
    let trailers = client.until(super::frames::HEADERS).await;
    assert_ne!(trailers.flags & super::frames::END_STREAM, 0);
}

#[tokio::test]
async fn a_stream_that_allows_nothing_makes_way_for_one_that_waits() {
    let one = |breakers: &mut CircuitBreakers| breakers.max_requests = 1;
    let (http1, http2) = (http1_backend().await, http2_backend().await);
    for entry in [
        bounded(http1.address, ServiceProtocol::Http1, one),
        bounded(http2.address, ServiceProtocol::Http2, one),
    ] {
        let counters = Arc::clone(&entry.counters);
        let proxy = Proxy::of(vec![entry]).await;
        let mut client = shut(&proxy).await;
        ask(&mut client, 1, "/big").await;
        assert_eq!(client.outcome().await, Ok(200));
        assert_eq!(proxy.ask(SMALL).await.status(), 200);
        let reset = client.until(RST_STREAM).await;
        assert_eq!((reset.stream, reset.code()), (1, ENHANCE_YOUR_CALM));
        assert_eq!(ended(&counters, Reason::ClientDisplaced), 1);
    }
}

/// A backend that takes one request at a time on one connection: whoever waits for that is no worse off.
#[tokio::test]
async fn a_place_on_a_backends_connection_is_made_free_as_well() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let server = Server::built(builder, |asked| async move {
        let size = if asked.parts.uri.path() == "/big" { SIZE } else { 5 };
        asked.answer("x".repeat(size));
    })
    .await;
    let one = |breakers: &mut CircuitBreakers| breakers.max_connections_per_backend = 1;
    let proxy = Proxy::of(vec![bounded(server.address, ServiceProtocol::Http2, one)]).await;
    let mut client = shut(&proxy).await;
    ask(&mut client, 1, "/big").await;
    assert_eq!(client.outcome().await, Ok(200));
    // On the same connection, so that the same worker serves it.
    ask(&mut client, 3, "/").await;
    let reset = client.until(RST_STREAM).await;
    assert_eq!((reset.stream, reset.code()), (1, ENHANCE_YOUR_CALM));
    assert_eq!(client.outcome().await, Ok(200));
}

#[tokio::test]
async fn a_connection_whose_streams_are_in_the_way_again_and_again_ends() {
    let backend = http1_backend().await;
    let entry = bounded(backend.address, ServiceProtocol::Http1, |breakers| breakers.max_requests = 1);
    let proxy = Proxy::of(vec![entry]).await;
    let mut client = shut(&proxy).await;
    let mut displaced = 0;
    // Each one waits until the one before it has been displaced.
    for stream in (1..100).step_by(2) {
        ask(&mut client, stream, "/big").await;
    }
    let end = loop {
        let frame = client.next().await.expect("a last word");
        match frame.kind {
            GOAWAY => break frame.code(),
            RST_STREAM => displaced += 1,
            _ => {}
        }
    };
    assert_eq!(end, ENHANCE_YOUR_CALM);
    assert!((5..20).contains(&displaced), "{displaced}");
}

#[tokio::test]
async fn a_connection_whose_streams_stall_for_too_long_ends() {
    let backend = http1_backend().await;
    let entry = bounded(backend.address, ServiceProtocol::Http1, |_| ());
    let limits = Limits { send_timeout: 2 * GRACE, ..Limits::default() };
    let proxy = Proxy::limited(vec![entry], limits).await;
    let mut client = shut(&proxy).await;
    ask(&mut client, 1, "/big").await;
    assert_eq!(client.outcome().await, Ok(200));
    assert_eq!(client.until(GOAWAY).await.code(), ENHANCE_YOUR_CALM);
    until(|| proxy.workers.in_flight() == 0).await;
}

/// Twelve connections of a hundred streams were once enough to take a service down.
#[tokio::test]
async fn crowds_of_streams_that_allow_nothing_keep_nobody_out() {
    let backend = http1_backend().await;
    let entry = bounded(backend.address, ServiceProtocol::Http1, |breakers| {
        breakers.max_requests = 10;
        breakers.max_pending_requests = 10;
    });
    let proxy = Proxy::of(vec![entry]).await;
    for path in ["/", "/big"] {
        let mut crowd = Vec::new();
        for _ in 0..10 {
            let mut client = shut(&proxy).await;
            for stream in (1..200).step_by(2) {
                ask(&mut client, stream, path).await;
            }
            crowd.push(client);
        }
        for _ in 0..20 {
            assert_eq!(proxy.ask(SMALL).await.outcome(), (200, ""), "{path}");
            assert_eq!(GoodClient::to(&proxy).await.get("/").await.unwrap().status, 200, "{path}");
        }
    }
}
