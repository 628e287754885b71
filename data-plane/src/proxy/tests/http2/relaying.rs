//! From HTTP/2 clients to HTTP/1 backends and back.

use http::{HeaderMap, HeaderValue};

use super::{
    super::harness::{Backend, Proxy, via, web},
    client::{GoodClient, request},
};

#[tokio::test]
async fn a_request_becomes_one_of_http1() {
    let backend = Backend::named("hello").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let request = request("GET", "/b?c")
        .header("cookie", "a=1")
        .header("x-a", "1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .header("x-forwarded-for", "9.9.9.9")
        .body(())
        .unwrap();
    let answer = GoodClient::to(&proxy).await.ask(request).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"hello"[..]));
    assert_eq!(answer.field("content-length"), Some("5"));
    assert_eq!(answer.field("via"), Some(&via()[..]));
    assert!(answer.field("connection").is_none());
    let head = backend.heads().remove(0);
    assert!(head.starts_with("GET /b?c HTTP/1.1\r\n"), "{head}");
    for line in [
        "host: a",
        "cookie: a=1; b=2",
        "x-a: 1",
        "x-forwarded-for: 127.0.0.1",
        &via().replace("1.1", "via: 2.0"),
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    assert_eq!(head.matches("cookie").count(), 1);
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let backend = Backend::named("hello").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = GoodClient::to(&proxy).await;
    // From now on it knows how many there may be at a time.
    client.get("/").await.unwrap();
    let asked = (0..300).map(|_| client.beside());
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(&answer.unwrap().body[..], b"hello");
    }
    assert_eq!(proxy.workers.counters().connections_opened, 1);
}

#[tokio::test]
async fn a_body_of_unknown_length_and_its_trailers_are_relayed() {
    let backend = Backend::scripted(|mut served| async move {
        while let Some(head) = served.head().await {
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            assert_eq!(served.bytes(39).await, "5\r\nhello\r\n6\r\n world\r\n0\r\nx-checksum: 7\r\n\r\n"[..39]);
            served.bytes(2).await;
            served
                .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n")
                .await;
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let trailers = HeaderMap::from_iter([("x-checksum".parse().unwrap(), HeaderValue::from_static("7"))]);
    let post = request("POST", "/").body(()).unwrap();
    let answer =
        GoodClient::to(&proxy).await.upload(post, &[b"hello", b" world"], Some(trailers)).await.unwrap();
    assert_eq!(&answer.body[..], b"abc");
    assert_eq!(answer.trailers.unwrap()["x-sum"], "6");
}

#[tokio::test]
async fn a_large_body_is_relayed_whole_both_ways() {
    const SIZE: usize = 3 << 20;
    let backend = Backend::scripted(|mut served| async move {
        while served.head().await.is_some() {
            let body = served.bytes(SIZE).await;
            served.answer(&body).await;
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    assert!(GoodClient::to(&proxy).await.gets_back(SIZE).await);
}

#[tokio::test]
async fn responses_before_the_last_one_are_relayed() {
    let backend = Backend::scripted(|mut served| async move {
        while served.head().await.is_some() {
            served.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await;
            served.answer("late").await;
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let client = GoodClient::to(&proxy).await;
    let mut sender = client.sender.clone().ready().await.unwrap();
    let (mut response, _) = sender.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    let early = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
    assert_eq!((early.status().as_u16(), &early.headers()["link"]), (103, &HeaderValue::from_static("</a>")));
    assert_eq!(response.await.unwrap().status(), 200);
}

#[tokio::test]
async fn bodyless_answers_end_with_their_head() {
    let backend = Backend::scripted(|mut served| async move {
        while let Some(head) = served.head().await {
            let (status, length) = if head.starts_with("HEAD") {
                ("200 OK", "content-length: 5\r\n")
            } else {
                ("204 No Content", "")
            };
            served.send(&format!("HTTP/1.1 {status}\r\n{length}\r\n")).await;
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = GoodClient::to(&proxy).await;
    let head = client.ask(request("HEAD", "/").body(()).unwrap()).await.unwrap();
    assert_eq!((head.status.as_u16(), head.field("content-length"), head.body.len()), (200, Some("5"), 0));
    let none = client.get("/").await.unwrap();
    assert_eq!((none.status.as_u16(), none.field("content-length"), none.body.len()), (204, None, 0));
}

#[tokio::test]
async fn a_truncated_answer_never_looks_complete() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let error = GoodClient::to(&proxy).await.get("/").await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
}

#[tokio::test]
async fn our_own_answers_say_why() {
    let proxy = Proxy::of(vec![web(&[])]).await;
    let mut client = GoodClient::to(&proxy).await;
    let answer = client.get("/").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.reason()), (503, "no_backends"));
    assert_eq!(answer.field("retry-after"), Some("1"));
    let post = request("POST", "/").body(()).unwrap();
    let answer = client.upload(post, &[b"unread"], None).await.unwrap();
    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(client.get("/").await.unwrap().status.as_u16(), 503);
}

#[tokio::test]
async fn a_cancelled_request_is_cancelled_at_the_backend() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::scripted(move |mut served| {
        let told = told.clone();
        async move {
            served.head().await;
            told.send("came").unwrap();
            served.rest().await;
            told.send("gone").unwrap();
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let client = GoodClient::to(&proxy).await;
    let mut sender = client.sender.clone().ready().await.unwrap();
    let (response, mut out) = sender.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    assert_eq!(tells.recv().await, Some("came"));
    out.send_reset(h2::Reason::CANCEL);
    drop(response);
    assert_eq!(super::super::harness::within(tells.recv()).await, Some("gone"));
}
