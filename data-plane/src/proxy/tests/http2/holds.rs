//! Clients that fall silent in the middle of something, or take nothing.

use tokio::time::Duration;
use weir_proto::Limits;

use super::{
    super::harness::{Backend, Proxy, until, web},
    frames::{
        CANCEL, DATA, END_STREAM, ENHANCE_YOUR_CALM, GET, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM,
        RawClient, SETTINGS, block, frame,
    },
};

const SHORT: Duration = Duration::from_millis(300);

async fn limited(limits: Limits) -> (Backend, Proxy) {
    let backend = Backend::named("hello").await;
    let proxy = Proxy::limited(vec![web(&[backend.address])], limits).await;
    (backend, proxy)
}

/// Whether the only connection has ended.
fn has_ended(proxy: &Proxy) -> bool {
    let counters = proxy.workers.counters();
    counters.connections_opened == 1 && counters.connections_open == 0
}

#[tokio::test]
async fn who_never_begins_is_not_waited_for() {
    let (_backend, proxy) = limited(Limits { header_timeout: SHORT, ..Limits::default() }).await;
    let mut client = RawClient::silent(&proxy).await;
    client.send(PREFACE).await;
    client.end().await;
    until(|| has_ended(&proxy)).await;
}

#[tokio::test]
async fn a_header_that_does_not_end_is_not_waited_for() {
    let (_backend, proxy) = limited(Limits { header_timeout: SHORT, ..Limits::default() }).await;
    let mut client = RawClient::to(&proxy).await;
    client.send(&frame(HEADERS, END_STREAM, 1, &block(&GET))).await;
    assert_eq!(client.end().await, Some(ENHANCE_YOUR_CALM));
    let mut client = RawClient::to(&proxy).await;
    client.send(&frame(SETTINGS, 0, 0, &[0; 6])[..11]).await;
    assert_eq!(client.end().await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go() {
    let limits = Limits { idle_timeout: SHORT, header_timeout: Duration::from_mins(10), ..Limits::default() };
    let (_backend, proxy) = limited(limits).await;
    let mut client = RawClient::to(&proxy).await;
    client.get(1).await;
    assert_eq!(client.outcome().await, Ok(200));
    let end = client.until(GOAWAY).await;
    assert_eq!(end.code(), 0);
    client.end().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.rest().await;
    })
    .await;
    let limits = Limits { body_idle_timeout: SHORT, ..Limits::default() };
    let proxy = Proxy::limited(vec![web(&[backend.address])], limits).await;
    let mut client = RawClient::to(&proxy).await;
    client.open(1, &[(":method", "POST"), GET[1], GET[2], GET[3], ("content-length", "5")], 0).await;
    assert_eq!(client.outcome().await, Ok(408));
}

#[tokio::test]
async fn windows_that_stay_closed_are_not_waited_for() {
    let (backend, proxy) = limited(Limits { send_timeout: SHORT, ..Limits::default() }).await;
    let mut client = RawClient::silent(&proxy).await;
    client.send(PREFACE).await;
    // No response may have a byte.
    client.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    client.get(1).await;
    assert_eq!(client.outcome().await, Ok(200));
    let reset = client.until(RST_STREAM).await;
    assert_eq!((reset.stream, reset.code()), (1, CANCEL));
    assert_eq!(backend.heads().len(), 1);
    until(|| proxy.workers.in_flight() == 0).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_not_waited_for() {
    let backend = Backend::scripted(|mut served| async move {
        while served.head().await.is_some() {
            served.answer(&"x".repeat(64 << 20)).await;
        }
    })
    .await;
    let limits = Limits { send_timeout: SHORT, ..Limits::default() };
    let proxy = Proxy::limited(vec![web(&[backend.address])], limits).await;
    let mut client = RawClient::silent(&proxy).await;
    client.send(PREFACE).await;
    // All windows are wide open, but nobody reads.
    client.send(&frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])).await;
    client.send(&frame(super::frames::WINDOW_UPDATE, 0, 0, &[0x70, 0, 0, 0])).await;
    client.get(1).await;
    until(|| has_ended(&proxy)).await;
    until(|| proxy.workers.in_flight() == 0).await;
}

/// Many clients end a stream by an empty frame after the last byte, and give up if it was reset meanwhile.
#[tokio::test]
async fn a_client_has_time_to_say_that_its_body_has_ended() {
    let backend = Backend::scripted(|mut served| async move {
        while let Some(head) = served.head().await {
            served.bytes(if head.contains("content-length: 5") { 5 } else { 0 }).await;
            served.answer("early").await;
        }
    })
    .await;
    let limits = Limits { body_idle_timeout: Duration::from_secs(1), ..Limits::default() };
    let proxy = Proxy::limited(vec![web(&[backend.address])], limits).await;
    for (length, data) in [("5", &b"hello"[..]), ("0", b"")] {
        for says in [true, false] {
            let mut client = RawClient::to(&proxy).await;
            let post = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
            client.open(1, &[&post[..], &[("content-length", length)]].concat(), 0).await;
            client.send(&frame(DATA, 0, 1, data)).await;
            while client.until(DATA).await.flags & END_STREAM == 0 {}
            if says {
                client.send(&frame(DATA, END_STREAM, 1, b"")).await;
                client.send(&frame(PING, 0, 0, b"whatever")).await;
            }
            // Neither a reset before the pong, nor a stream that is never over.
            let expected = if says { PING } else { RST_STREAM };
            assert_eq!(client.next().await.map(|frame| frame.kind), Some(expected), "{length} {says}");
        }
    }
    assert!(backend.connections() <= 2, "one for each worker: the request was whole for the backend");
}
