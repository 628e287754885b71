//! A connection that a backend agrees to upgrade becomes a tunnel.

use weir_tests::{Backend, Behaviour, Client, Cluster};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_both_ways_after_the_101() {
    let backend = Backend::with("a", Behaviour::Upgrade).await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut client = Client::open(cluster.traffic()).await.unwrap();

    let response = client.send("GET", UPGRADE).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(response.head.get("upgrade"), Some("websocket"));
    for word in [&b"\x81\x05hello"[..], b"\x00\xff\r\n\r\n"] {
        client.wire.send(word).await.unwrap();
        assert_eq!(client.wire.exactly(word.len()).await.unwrap(), word);
    }
    client.wire.finish().await.unwrap();
    assert!(client.ends().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_agree_answers_as_ever() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut client = Client::open(cluster.traffic()).await.unwrap();

    assert_eq!(client.send("GET", UPGRADE).await.unwrap().text(), "a");
    assert_eq!(client.get("/").await.unwrap().text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_101_that_nobody_asked_for_is_a_bad_answer() {
    let raw = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: evil\r\n\r\n";
    let backend = Backend::with("a", Behaviour::Raw(raw.to_owned())).await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;

    assert_eq!(weir_tests::get(cluster.traffic(), "/").await.unwrap().status(), 502);
}
