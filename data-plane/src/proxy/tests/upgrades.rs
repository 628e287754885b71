//! Connections that stop being HTTP.

use tokio::io::AsyncWriteExt;

use super::harness::{Backend, Proxy, endpoint, until, web};

const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n";

#[tokio::test]
async fn after_101_bytes_go_both_ways_and_each_end_closes_by_itself() {
    let backend = Backend::scripted(|mut served| async move {
        let head = served.head().await.unwrap_or_default();
        assert!(head.contains("connection: upgrade") && head.contains("upgrade: echo"), "{head}");
        served
            .send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello")
            .await;
        let early = served.bytes(5).await;
        served.send(&early).await;
        // The client closes its half first; ours is still open.
        let rest = served.rest().await;
        served.send(&format!("{rest}!")).await;
    })
    .await;
    let service = web(&[backend.address]);
    let live = endpoint(&service, backend.address);
    let proxy = Proxy::of(vec![service]).await;
    let mut client = proxy.client().await;
    client.send(&format!("{UPGRADE}early")).await;
    let head = client.head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: echo"), "{head}");
    assert_eq!(client.bytes(10).await, "helloearly");
    assert_eq!((live.in_flight(), proxy.workers.in_flight()), (1, 1));
    client.send("last").await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "last!");
    until(|| live.in_flight() == 0 && proxy.workers.in_flight() == 0).await;
}

#[tokio::test]
async fn a_backend_that_declines_answers_as_usual() {
    let backend = Backend::named("no").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    assert_eq!(client.ask(UPGRADE).await.body, "no");
    assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.body, "no");
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_a_bad_gateway() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
        served.rest().await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let response = proxy.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(response.status(), 502);
    assert!(response.body.ends_with("(upgrade_unexpected)\n"));
}

#[tokio::test]
async fn h2c_is_not_passed_on() {
    let backend = Backend::named("a").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    proxy
        .ask("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n\r\n")
        .await;
    let head = &backend.heads()[0];
    assert!(!head.contains("h2c") && !head.contains("http2-settings"), "{head}");
}

#[tokio::test]
async fn nothing_of_a_body_gets_into_the_tunnel() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
        served.rest().await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    client.send(&UPGRADE.replace("connection:", "content-length: 5\r\nconnection:")).await;
    let response = client.ask("ab").await;
    assert_eq!(response.status(), 502, "the backend did not wait for the end of the request");
}
