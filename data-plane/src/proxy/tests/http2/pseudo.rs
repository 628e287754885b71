//! Pseudo-fields where none may be: RFC 9113 sections 8.1 and 8.3.

use bytes::Bytes;
use http::Response;
use tokio::sync::mpsc;

use super::{
    super::harness::{Backend, Proxy, within},
    backends::saying,
    client::{GoodClient, request},
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, PROTOCOL_ERROR, RawClient, block, frame,
    },
    server::{Server, http2},
};

/// Lines with the name given in full, which enter the codec's table.
fn remembered(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = block(lines);
    bytes[0] = 0x40;
    bytes
}

#[tokio::test]
async fn trailers_with_pseudo_fields_reset_the_stream_and_reach_no_backend() {
    let (told, mut tells) = mpsc::unbounded_channel();
    let server = Server::scripted(move |mut asked| {
        let told = told.clone();
        async move {
            let body = asked.body().await;
            told.send(body.map(|(body, trailers)| (body, trailers.map(|map| map.len()))).ok()).unwrap();
            let _ = asked.respond.send_response(Response::new(()), true);
        }
    })
    .await;
    let proxy = Proxy::of(vec![http2(&[server.address])]).await;
    let mut client = RawClient::to(&proxy).await;
    let post = [(":method", "POST"), GET[1], GET[2], GET[3]];
    // What the trailers below mean by a number.
    client.send(&frame(HEADERS, END_HEADERS, 1, &[block(&post), remembered(&[("x-a", "1")])].concat())).await;
    client.send(&frame(DATA, END_STREAM, 1, b"ab")).await;
    assert_eq!(client.outcome().await, Ok(200));
    assert_eq!(within(tells.recv()).await, Some(Some((Bytes::from_static(b"ab"), None))));
    let trailers = |bytes: &[u8], stream| {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        [frame(HEADERS, END_STREAM, stream, first), frame(CONTINUATION, END_HEADERS, stream, second)].concat()
    };
    let mut stream = 3;
    for bytes in [
        block(&[(":method", "GET")]),
        block(&[(":path", "/admin"), ("x-sum", "3")]),
        block(&[(":status", "200")]),
        remembered(&[(":authority", "b")]),
        // The same again, by its number; a number of the static table.
        vec![0xbe],
        vec![0x82],
        // A name by its number.
        vec![0x04, 2, b'/', b'b'],
    ] {
        client.open(stream, &post, 0).await;
        client.send(&[frame(DATA, 0, stream, b"ab"), trailers(&bytes, stream)].concat()).await;
        assert_eq!(client.outcome().await, Err(PROTOCOL_ERROR), "{bytes:x?}");
        assert_eq!(within(tells.recv()).await, Some(None), "{bytes:x?}");
        stream += 2;
    }
    // The connection goes on, and fields of other kinds arrive.
    for bytes in [block(&[("x-sum", "3")]), vec![0xbf]] {
        client.open(stream, &post, 0).await;
        client.send(&[frame(DATA, 0, stream, b"ab"), trailers(&bytes, stream)].concat()).await;
        assert_eq!(client.outcome().await, Ok(200), "{bytes:x?}");
        assert_eq!(within(tells.recv()).await, Some(Some((Bytes::from_static(b"ab"), Some(1)))));
        stream += 2;
    }
}

#[tokio::test]
async fn a_response_with_a_pseudo_field_of_requests_is_a_bad_gateway() {
    let head = |flags, lines: &[(&str, &str)]| frame(HEADERS, END_HEADERS | flags, 1, &block(lines));
    let good = head(END_STREAM, &[(":status", "200")]);
    for said in [
        head(END_STREAM, &[(":status", "200"), (":path", "/")]),
        head(0, &[(":method", "GET"), (":status", "200"), ("x", "y")]),
        [head(0, &[(":status", "103"), (":authority", "a")]), good.clone()].concat(),
    ] {
        let bytes = said.clone();
        let backend = saying(move |_| bytes.clone()).await;
        let proxy = Proxy::of(vec![http2(&[backend.address])]).await;
        let post = request("POST", "/").body(()).unwrap();
        let answer = GoodClient::to(&proxy).await.ask(post).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.reason()), (502, "backend_malformed"), "{said:x?}");
    }
}

/// An answer whose trailers have these lines.
async fn with_trailers(lines: [(&'static str, &'static str); 2]) -> (Backend, Proxy) {
    let backend = saying(move |stream| {
        [
            frame(HEADERS, END_HEADERS, stream, &block(&[(":status", "200")])),
            frame(DATA, 0, stream, b"half"),
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&lines)),
        ]
        .concat()
    })
    .await;
    let proxy = Proxy::of(vec![http2(&[backend.address])]).await;
    (backend, proxy)
}

#[tokio::test]
async fn trailers_with_a_status_cut_the_answer() {
    let (_backend, proxy) = with_trailers([(":status", "200"), ("x-sum", "3")]).await;
    let error = GoodClient::to(&proxy).await.get("/").await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let rest = client.rest().await;
    assert!(rest.contains("half") && !rest.ends_with("0\r\n\r\n"), "{rest}");
}

/// They may be there when the head is looked at, and spoil that, too.
#[tokio::test]
async fn trailers_with_a_pseudo_field_of_requests_never_look_like_a_good_end() {
    let (_backend, proxy) = with_trailers([(":path", "/"), ("x-sum", "3")]).await;
    match GoodClient::to(&proxy).await.get("/").await {
        Ok(answer) => assert_eq!((answer.status.as_u16(), answer.reason()), (502, "backend_malformed")),
        Err(error) => assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR)),
    }
}

#[tokio::test]
async fn answers_that_end_with_their_head_and_trailers_of_other_fields_pass() {
    let backend = saying(|stream| {
        let head =
            |flags, status| frame(HEADERS, END_HEADERS | flags, stream, &block(&[(":status", status)]));
        let trailers = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&[("x-sum", "3")]));
        match stream % 4 {
            1 => [head(0, "103"), head(END_STREAM, "200")].concat(),
            _ => [head(0, "200"), trailers].concat(),
        }
    })
    .await;
    let proxy = Proxy::of(vec![http2(&[backend.address])]).await;
    let mut client = GoodClient::to(&proxy).await;
    for n in 0..8 {
        let answer = client.get("/").await.unwrap();
        let trailers = answer.trailers.map_or(0, |map| map.len());
        assert_eq!((answer.status.as_u16(), trailers), (200, n % 2));
    }
}
