//! What is no request, said frame by frame: refused, and never handed on.

use weir_proto::Limits;

use super::{
    super::harness::{Backend, Proxy, web},
    client::GoodClient,
    frames::{
        DATA, END_HEADERS, END_STREAM, GET, HEADERS, PREFACE, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM,
        RawClient, SETTINGS, block, frame,
    },
};

/// A good request, but for what is exchanged or added.
fn request<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut lines = GET.to_vec();
    for (name, value) in changes {
        match lines.iter_mut().find(|line| line.0 == *name) {
            Some(line) => line.1 = value,
            None => lines.push((name, value)),
        }
    }
    lines
}

async fn proxied() -> (Backend, Proxy) {
    let backend = Backend::named("hello").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    (backend, proxy)
}

#[tokio::test]
async fn what_is_no_request_is_reset_and_never_forwarded() {
    let (backend, proxy) = proxied().await;
    let without = |name: &str| GET.into_iter().filter(|line| line.0 != name).collect::<Vec<_>>();
    let late = [GET[0], GET[1], ("x", "y"), GET[2], GET[3]].to_vec();
    let twice = [GET[0], GET[1], GET[2], GET[3], (":path", "/b")].to_vec();
    for lines in [
        request(&[("X-Upper", "y")]),
        request(&[("x y", "z")]),
        request(&[("", "z")]),
        request(&[("x:y", "z")]),
        request(&[("x", "a\rb")]),
        request(&[("x", "a\nb")]),
        request(&[("x", "a\0b")]),
        request(&[("x", " a")]),
        request(&[("x", "a ")]),
        request(&[("connection", "close")]),
        request(&[("connection", "x")]),
        request(&[("keep-alive", "timeout=5")]),
        request(&[("proxy-connection", "close")]),
        request(&[("transfer-encoding", "chunked")]),
        request(&[("upgrade", "websocket")]),
        request(&[("te", "gzip")]),
        request(&[("te", "trailers, gzip")]),
        without(":method"),
        without(":path"),
        without(":scheme"),
        twice,
        late,
        request(&[(":unknown", "x")]),
        request(&[(":status", "200")]),
        request(&[(":path", "")]),
        request(&[(":path", "a")]),
        request(&[(":path", "/a b")]),
        request(&[(":path", "/a\r\nb: c")]),
        request(&[(":path", "http://b/")]),
        request(&[(":method", "G T")]),
        request(&[(":protocol", "websocket"), (":method", "CONNECT")]),
        request(&[("content-length", "1")]),
        request(&[("content-length", "+0")]),
        request(&[("content-length", "0, 0")]),
        [&request(&[("content-length", "0")])[..], &[("content-length", "0")]].concat(),
    ] {
        let mut client = RawClient::to(&proxy).await;
        client.open(1, &lines, END_STREAM).await;
        assert_eq!(client.outcome().await, Err(PROTOCOL_ERROR), "{lines:?}");
    }
    assert_eq!(backend.heads(), [""; 0]);
    // It goes on: others notice nothing.
    assert_eq!(GoodClient::to(&proxy).await.get("/").await.unwrap().status, 200);
}

#[tokio::test]
async fn what_only_the_request_is_wrong_in_harms_no_other_on_its_connection() {
    let (backend, proxy) = proxied().await;
    let mut client = RawClient::to(&proxy).await;
    client.open(1, &request(&[("connection", "close")]), END_STREAM).await;
    assert_eq!(client.outcome().await, Err(PROTOCOL_ERROR));
    client.open(3, &request(&[("x", " a")]), END_STREAM).await;
    assert_eq!(client.outcome().await, Err(PROTOCOL_ERROR));
    client.get(5).await;
    assert_eq!(client.outcome().await, Ok(200));
    assert_eq!(backend.heads().len(), 1);
}

#[tokio::test]
async fn what_is_understood_and_refused_gets_an_answer() {
    let (backend, proxy) = proxied().await;
    for (lines, status) in [
        (request(&[("host", "b")]), 400),
        (request(&[(":authority", "user@a")]), 400),
        (vec![GET[0], GET[1], GET[3]], 400),
        (request(&[(":path", "*")]), 400),
        (request(&[(":scheme", "ftp")]), 400),
        (vec![(":method", "CONNECT"), (":authority", "a:443")], 405),
        (request(&[(":method", "TRACE")]), 405),
        (request(&[("expect", "tea")]), 417),
        (request(&[("x", "y"); 1]).into_iter().chain([("cookie", "a=1"); 120]).collect(), 431),
        (request(&[("x", &"y".repeat(40_000))]), 431),
        (request(&[("host", "a")]), 200),
    ] {
        let mut client = RawClient::to(&proxy).await;
        client.open(1, &lines, END_STREAM).await;
        let names: Vec<_> = lines.iter().take(5).collect();
        assert_eq!(client.outcome().await, Ok(status), "{names:.20?}");
    }
    assert_eq!(backend.heads().len(), 1);
}

#[tokio::test]
async fn a_body_of_another_length_is_reset() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.rest().await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    for (length, data) in [("3", &b"ab"[..]), ("3", b"abcd"), ("0", b"a")] {
        let mut client = RawClient::to(&proxy).await;
        client.open(1, &request(&[(":method", "POST"), ("content-length", length)]), 0).await;
        client.send(&frame(DATA, END_STREAM, 1, data)).await;
        assert_eq!(client.outcome().await, Err(PROTOCOL_ERROR), "{length} {data:?}");
    }
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_can_be_repeated() {
    let silent = Backend::scripted(|mut served| async move {
        served.head().await;
        served.rest().await;
    })
    .await;
    let limits = Limits { max_concurrent_streams: 3, ..Limits::default() };
    let proxy = Proxy::limited(vec![web(&[silent.address])], limits).await;
    let mut client = RawClient::to(&proxy).await;
    for stream in [1, 3, 5, 7, 9] {
        client.get(stream).await;
    }
    for stream in [7, 9] {
        let reset = client.until(RST_STREAM).await;
        assert_eq!((reset.stream, reset.code()), (stream, REFUSED_STREAM));
    }
}

#[tokio::test]
async fn a_connection_that_does_not_begin_with_the_preface_ends() {
    let (backend, proxy) = proxied().await;
    let mut client = RawClient::silent(&proxy).await;
    client.send(&PREFACE[..18]).await;
    client.send(b"XX\r\n\r\n\0\0\0").await;
    while client.any().await.is_some() {}
    assert_eq!(backend.heads(), [""; 0]);
}

#[tokio::test]
async fn pieces_of_a_header_are_put_together() {
    let (_backend, proxy) = proxied().await;
    let mut client = RawClient::to(&proxy).await;
    let block = block(&GET);
    client.send(&frame(HEADERS, END_STREAM, 1, &block[..5])).await;
    client.send(&frame(super::frames::CONTINUATION, 0, 1, &block[5..20])).await;
    client.send(&frame(super::frames::CONTINUATION, END_HEADERS, 1, &block[20..])).await;
    assert_eq!(client.outcome().await, Ok(200));
    client.send(&frame(SETTINGS, 0, 0, b"")).await;
    client.get(3).await;
    assert_eq!(client.outcome().await, Ok(200));
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_refused_when_it_does() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.rest().await;
    })
    .await;
    let limits = Limits { max_request_body_bytes: Some(3), ..Limits::default() };
    let proxy = Proxy::limited(vec![web(&[backend.address])], limits).await;
    for (length, pieces) in [(None, &[&b"ab"[..], b"cd"][..]), (Some("4"), &[b"abcd"])] {
        let mut client = RawClient::to(&proxy).await;
        let mut lines = request(&[(":method", "POST")]);
        lines.extend(length.map(|length| ("content-length", length)));
        client.open(1, &lines, 0).await;
        for piece in pieces {
            client.send(&frame(DATA, 0, 1, piece)).await;
        }
        assert_eq!(client.outcome().await, Ok(413), "{length:?}");
    }
}
