//! Windows that several requests share: whoever takes nothing of its own leaves the others theirs.

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::{
    super::harness::{Backend, Proxy, endpoint, service, until, web, within},
    client::{GoodClient, answer, request},
    server::{Server, http2},
};

/// More than all buffers between a backend and a client together.
const BIG: usize = 64 << 20;

#[tokio::test]
async fn clients_that_read_nothing_hold_up_nobody_else_at_the_same_http2_backend() {
    let big = Bytes::from(vec![b'x'; BIG]);
    let server = Server::scripted(move |asked| {
        let big = big.clone();
        async move {
            let size = if asked.parts.uri.path() == "/big" { BIG } else { 5_000 };
            asked.answer(big.slice(..size));
        }
    })
    .await;
    let entry = http2(&[server.address]);
    let live = endpoint(&entry, server.address);
    let proxy = Proxy::of(vec![entry]).await;
    let mut stalled = Vec::new();
    for _ in 0..80 {
        let mut client = proxy.client().await;
        client.send("GET /big HTTP/1.1\r\nhost: a\r\n\r\n").await;
        stalled.push(client);
    }
    until(|| live.in_flight() == 80).await;
    // More than fits the windows of all connections.
    for _ in 0..500 {
        let mut client = proxy.client().await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert!(client.rest().await.len() > 5_000);
    }
    assert_eq!(live.in_flight(), 80);
}

#[tokio::test]
async fn uploads_that_nobody_takes_hold_up_no_other_upload_of_the_same_connection() {
    let hung = Backend::scripted(|mut served| async move {
        served.head().await;
        // Reads nothing more, and stays.
        std::future::pending::<()>().await;
    })
    .await;
    let healthy = Backend::echo().await;
    let hung_service = service("hung", &[hung.address], |_| {});
    let live = endpoint(&hung_service, hung.address);
    let proxy = Proxy::of(vec![hung_service, web(&[healthy.address])]).await;
    let client = GoodClient::to(&proxy).await;
    let body = Bytes::from(vec![b'x'; BIG]);
    let mut uploads = Vec::new();
    for _ in 0..99 {
        let mut sender = within(client.sender.clone().ready()).await.unwrap();
        let post = http::Request::post("http://hung/").body(()).unwrap();
        let (response, mut out) = sender.send_request(post, false).unwrap();
        out.send_data(body.clone(), true).unwrap();
        uploads.push((response, out));
    }
    until(|| live.in_flight() == 99).await;
    for _ in 0..200 {
        let mut sender = within(client.sender.clone().ready()).await.unwrap();
        let post = request("POST", "/").header("host", "web").body(());
        let post = post.map(|mut post| {
            *post.uri_mut() = "http://web/".parse().unwrap();
            post.headers_mut().remove("host");
            post
        });
        let (response, mut out) = sender.send_request(post.unwrap(), false).unwrap();
        out.send_data(body.slice(..1024), true).unwrap();
        let answer = answer(response).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (http::StatusCode::OK, 1024), "{}", answer.reason());
    }
    assert_eq!(live.in_flight(), 99);
}

/// A backend whose window is smaller than what one request has for it.
#[tokio::test]
async fn an_upload_that_a_backend_does_not_take_holds_up_no_other_one_to_it() {
    let server = Server::scripted(|mut asked| async move {
        if asked.parts.uri.path() == "/hung" {
            // Takes nothing of it: the window of the whole connection is used up.
            return std::future::pending::<()>().await;
        }
        let (body, _) = asked.body().await.unwrap();
        asked.answer(body);
    })
    .await;
    let entry = http2(&[server.address]);
    let live = endpoint(&entry, server.address);
    let proxy = Proxy::of(vec![entry]).await;
    let mut hung = Vec::new();
    for n in 1..=3 {
        let mut client = proxy.client().await;
        client.send("POST /hung HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").await;
        let (_, mut write) = client.0.into_inner().into_split();
        hung.push(tokio::spawn(async move {
            let _ = write.write_all(&vec![b'x'; 1_000_000]).await;
            std::future::pending::<()>().await;
        }));
        until(|| live.in_flight() == n).await;
        for _ in 0..20 {
            let text = "x".repeat(1024);
            let post = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1024\r\n\r\n{text}");
            let mut client = proxy.client().await;
            client.send(&post).await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        }
    }
    for task in hung {
        task.abort();
    }
}
