//! Another protocol only after the backend's 101: RFC 9110 section 7.8.

use super::stage::{Stage, reason, told};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_only_after_the_101() {
    let mut stage = Stage::start().await;
    // The backend agrees: what the client sent too early comes after its 101, and nothing is lost or doubled.
    let part = stage.part().await;
    let mut client = stage.client().await;
    client.wire.send(part.request("GET /chat", UPGRADE, "early")).await.unwrap();
    let mut backend = part.backend.accept().await.unwrap();
    let head = backend.head().await.unwrap();
    let asked = head.get("upgrade") == Some("websocket")
        && head.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade"));
    stage.check(asked, || format!("the backend got {:?}", head.raw));
    backend.send("HTTP/1.1 103 Hints\r\n\r\n").await.unwrap();
    stage.check(client.wire.head().await.is_ok(), || "no 103".to_owned());
    backend
        .send("HTTP/1.1 101 Fine\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        .await
        .unwrap();
    let head = client.wire.head().await.unwrap_or_default();
    let holds = head.start().starts_with("HTTP/1.1 101") && head.get("upgrade") == Some("websocket");
    stage.check(holds, || format!("the client got {:?}", head.raw));
    stage.check(client.wire.exactly(5).await.unwrap_or_default() == b"hello", || "no hello".to_owned());
    stage.check(backend.exactly(5).await.unwrap_or_default() == b"early", || "no early bytes".to_owned());
    // Each direction ends by itself.
    client.wire.finish().await.unwrap();
    stage.check(backend.rest().await.is_ok_and(|rest| rest.is_empty()), || "no end".to_owned());
    backend.send("bye").await.unwrap();
    backend.finish().await.unwrap();
    let rest = client.wire.rest().await.unwrap_or_default();
    stage.check(rest == b"bye", || format!("after the client's end: {rest:?}"));
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_101_pipelined_bytes_are_requests() {
    let mut stage = Stage::start().await;
    for status in [200, 400, 426] {
        let part = stage.part().await;
        let mut client = stage.client().await;
        let next = part.request("GET /next", "", "");
        client.wire.send(part.request("GET /chat", UPGRADE, &next)).await.unwrap();
        let mut backend = part.backend.accept().await.unwrap();
        backend.head().await.unwrap();
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        backend.send(answer).await.unwrap();
        let response = client.response("GET").await.unwrap_or_default();
        stage.check(response.status() == status, || format!("{status}: {}", told(&response)));
        // On the same connection nothing of it came behind the head.
        let stray = backend.rest().await.unwrap_or_default();
        stage.check(stray.is_empty(), || format!("{status}: stray {:?}", String::from_utf8_lossy(&stray)));

        let Ok(mut second) = part.backend.accept().await else {
            stage.check(false, || format!("{status}: the pipelined request is lost"));
            continue;
        };
        let head = second.head().await.unwrap_or_default();
        let relayed = head.start() == "GET /next HTTP/1.1" && head.get("via").is_some();
        stage.check(relayed, || format!("{status}: next: {:?}", head.raw));
        second.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").await.unwrap();
        let next = client.response("GET").await.unwrap_or_default();
        stage.check(next.text() == "next", || format!("{status}: next: {}", told(&next)));
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_upgrade_for_us() {
    let mut stage = Stage::start().await;
    for (fields, expected) in [
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", None),
        ("Connection: upgrade, http2-settings\r\nUpgrade: H2C\r\nHTTP2-Settings: AAMAAABk\r\n", None),
        ("Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n", Some("websocket")),
        ("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", Some("websocket")),
        ("Connection: Upgrade\r\nUpgrade: h2c/1, h2, HTTP/2.0, H2-16\r\n", None),
        ("Connection: Upgrade\r\nUpgrade: h2, websocket/13, http/3\r\n", Some("websocket/13")),
        ("Upgrade: websocket\r\n", None),
        ("Connection: keep-alive\r\nUpgrade: websocket\r\n", None),
        ("Connection: Upgrade\r\n", None),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: web\r\n{fields}\r\n");
        let seen = stage.relays(fields, request).await;
        let head = weir_tests::Head { raw: String::from_utf8_lossy(&seen).into_owned() };
        let settings = head.all("http2-settings");
        let names = head.get("connection").unwrap_or_default().to_ascii_lowercase().contains("upgrade");
        let holds = head.get("upgrade") == expected && names == expected.is_some() && settings.is_empty();
        stage.check(holds, || format!("{fields:?}: {:?}", head.raw));
    }
    let request = format!("GET / HTTP/1.0\r\nHost: web\r\n{UPGRADE}\r\n");
    let seen = stage.relays("HTTP/1.0", request).await;
    let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
    stage.check(!text.contains("upgrade"), || format!("HTTP/1.0: {text}"));
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_101_that_was_not_asked_for() {
    let mut stage = Stage::start().await;
    let switch = "HTTP/1.1 101 Fine\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    for fields in ["", "Upgrade: websocket\r\n", "Connection: Upgrade\r\nUpgrade: h2c\r\n"] {
        let part = stage.part().await;
        let mut client = stage.client().await;
        client.wire.send(part.request("GET /", fields, "")).await.unwrap();
        let mut backend = part.backend.accept().await.unwrap();
        backend.head().await.unwrap();
        backend.send(switch).await.unwrap();
        let response = client.response("GET").await.unwrap_or_default();
        let holds = response.status() == 502 && reason(&response.head) == Some("upgrade_unexpected");
        stage.check(holds, || format!("{fields:?}: {}", told(&response)));
        let (came, end) = backend.to_end().await;
        let ended = end != weir_tests::End::Never;
        stage.check(came.is_empty() && ended, || format!("{fields:?}: the backend's connection: {end:?}"));
    }
    stage.end();
}
