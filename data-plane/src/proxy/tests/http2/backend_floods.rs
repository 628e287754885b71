//! Backends that make work without answering: their connections end, and others notice nothing.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    super::harness::{Backend, Proxy, service, until},
    backends::saying,
    client::{GoodClient, request},
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, SETTINGS,
        WINDOW_UPDATE, block, frame,
    },
    server::Server,
};

/// Frames of a flood; the answer comes after it.
const MANY: usize = 20_000;

fn status(stream: u32, status: &str, flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &block(&[(":status", status)]))
}

/// What a request hears whose backend says `begin`, the flood, and then the rest of an answer.
async fn flood(begin: &[u8], part: &[u8]) {
    let said = [begin, &part.repeat(MANY), &status(1, "200", END_STREAM)].concat();
    let (bad, good) = (saying(move |_| said.clone()).await, Server::named("good").await);
    let http2 = |name, backend: std::net::SocketAddr| {
        service(name, &[backend], |service| service.protocol = weir_proto::ServiceProtocol::Http2)
    };
    let proxy = Proxy::of(vec![http2("bad", bad.address), http2("good", good.address)]).await;
    let post =
        |host: &str| http::Request::builder().method("POST").uri(format!("http://{host}/")).body(()).unwrap();
    let mut client = GoodClient::to(&proxy).await;
    let answer = client.ask(post("bad")).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.reason()), (502, "backend_reset"));
    assert_eq!(client.ask(post("good")).await.unwrap().body, Bytes::from_static(b"good"));
    until(|| {
        let sums = proxy.workers.counters();
        (sums.upstream_floods, sums.upstream_open) == (1, 1)
    })
    .await;
}

#[tokio::test]
async fn of_pings() {
    flood(b"", &frame(PING, 0, 0, &[0; 8])).await;
}

#[tokio::test]
async fn of_answers_to_pings_that_nobody_sent() {
    flood(b"", &frame(PING, 1, 0, &[0; 8])).await;
}

#[tokio::test]
async fn of_settings() {
    flood(b"", &frame(SETTINGS, 0, 0, b"")).await;
}

#[tokio::test]
async fn of_priorities() {
    flood(b"", &frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7])).await;
}

#[tokio::test]
async fn of_window_updates() {
    flood(b"", &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await;
}

#[tokio::test]
async fn of_unknown_frames() {
    flood(b"", &frame(99, 0, 0, b"x")).await;
}

#[tokio::test]
async fn of_goaways_that_let_everything_go_on() {
    flood(b"", &frame(GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])).await;
}

/// Before the head, because a request that got one hears of the end by a reset.
#[tokio::test]
async fn of_continuations() {
    flood(&frame(HEADERS, 0, 1, b""), &frame(CONTINUATION, 0, 1, b"")).await;
}

/// As gRPC libraries do: for every piece that comes, windows and a ping that measures how far it is.
#[tokio::test]
async fn a_backend_that_is_sent_much_may_update_windows_and_ping() {
    const SIZE: usize = 24 << 20;
    let backend = Backend::scripted(|mut served| async move {
        let (mut hello, mut bytes) = (frame(SETTINGS, 0, 0, b""), 0);
        hello.extend(frame(SETTINGS, 1, 0, b""));
        served.stream.write_all(&hello).await.unwrap();
        served.stream.read_exact(&mut [0; 24]).await.unwrap();
        while bytes < SIZE {
            let mut head = [0; 9];
            served.stream.read_exact(&mut head).await.unwrap();
            let [l0, l1, l2, kind, _, s0, s1, s2, s3] = head;
            let mut rest = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
            served.stream.read_exact(&mut rest).await.unwrap();
            if kind == DATA && !rest.is_empty() {
                bytes += rest.len();
                let n = u32::try_from(rest.len()).unwrap().to_be_bytes();
                let updates = [
                    frame(WINDOW_UPDATE, 0, 0, &n),
                    frame(WINDOW_UPDATE, 0, u32::from_be_bytes([s0, s1, s2, s3]), &n),
                    frame(PING, 0, 0, b"bdp-ping"),
                ];
                served.stream.write_all(&updates.concat()).await.unwrap();
            }
        }
        served.stream.write_all(&status(1, "200", END_STREAM)).await.unwrap();
        served.rest().await;
    })
    .await;
    let proxy = Proxy::of(vec![super::server::http2(&[backend.address])]).await;
    let mut client = GoodClient::to(&proxy).await;
    let text: &'static [u8] = vec![b'x'; SIZE].leak();
    let put = request("PUT", "/").header("content-length", SIZE).body(()).unwrap();
    assert_eq!(client.upload(put, &[text], None).await.unwrap().status, 200);
    assert_eq!(proxy.workers.counters().upstream_floods, 0);
}
