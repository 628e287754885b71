//! Answers that have no body, whatever they say: RFC 9110 sections 6.4.1 and 8.6, RFC 9112 section 6.3.

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn head_204_and_304_have_no_body() {
    let mut stage = Stage::start().await;
    let part = stage.part().await;
    let mut client = stage.client().await;
    let mut backend = None;
    // What the client is told about the length: as the backend said it, but never for a 204.
    for (method, status, framing, length, chunked) in [
        ("HEAD", 200, "Content-Length: 5\r\n", Some("5"), false),
        ("HEAD", 200, "", None, false),
        ("HEAD", 200, "Transfer-Encoding: chunked\r\n", None, true),
        ("HEAD", 404, "Content-Length: 0\r\n", Some("0"), false),
        ("HEAD", 204, "", None, false),
        ("GET", 204, "", None, false),
        ("GET", 204, "Content-Length: 0\r\n", None, false),
        ("GET", 204, "Content-Length: 5\r\n", None, false),
        ("GET", 204, "Transfer-Encoding: chunked\r\n", None, false),
        ("GET", 304, "", None, false),
        ("GET", 304, "Content-Length: 5\r\n", Some("5"), false),
        ("POST", 204, "", None, false),
    ] {
        let what = format!("{method} {status} {framing:?}");
        if client.wire.send(part.request(&format!("{method} /"), "", "")).await.is_err() {
            stage.check(false, || format!("{what}: the connection has ended"));
            client = stage.client().await;
            client.wire.send(part.request(&format!("{method} /"), "", "")).await.unwrap();
        }
        // The backend's connection is good for more as long as nothing came behind a head.
        let mut wire = match backend.take() {
            Some(wire) => wire,
            None => part.backend.accept().await.unwrap(),
        };
        if wire.head().await.is_err() {
            wire = part.backend.accept().await.unwrap();
            wire.head().await.unwrap();
        }
        wire.send(format!("HTTP/1.1 {status} Fine\r\nX-A: 1\r\n{framing}\r\n")).await.unwrap();
        let head = client.wire.head().await.unwrap_or_default();
        let holds = head.start().starts_with(&format!("HTTP/1.1 {status} "))
            && head.get("x-a") == Some("1")
            && head.get("content-length") == length
            && (chunked || !head.chunked());
        stage.check(holds, || format!("{what}: {:?}", head.raw));
        backend = Some(wire);
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_where_there_is_none_reaches_nobody() {
    let mut stage = Stage::start().await;
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for (method, status, framing) in [
        ("HEAD", 200, "Content-Length: 50\r\n"),
        ("HEAD", 200, ""),
        ("GET", 204, ""),
        ("GET", 204, "Content-Length: 50\r\n"),
        ("GET", 304, "Content-Length: 50\r\n"),
        ("GET", 304, "Transfer-Encoding: chunked\r\n"),
    ] {
        let what = format!("{method} {status} {framing:?}");
        let part = stage.part().await;
        let mut client = stage.client().await;
        client.wire.send(part.request(&format!("{method} /"), "", "")).await.unwrap();
        let mut first = part.backend.accept().await.unwrap();
        first.head().await.unwrap();
        first.send(format!("HTTP/1.1 {status} Fine\r\n{framing}\r\n{poison}")).await.unwrap();
        let head = client.wire.head().await.unwrap_or_default();
        stage.check(head.start().contains(&status.to_string()), || format!("{what}: {:?}", head.raw));

        client.wire.send(part.request("GET /next", "", "")).await.unwrap();
        let Ok(mut second) = part.backend.accept().await else {
            let next = client.response("GET").await.unwrap_or_default();
            stage.check(false, || format!("{what}: the connection was used again; next: {:?}", next.text()));
            continue;
        };
        second.head().await.unwrap();
        second.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").await.unwrap();
        let next = client.response("GET").await.unwrap_or_default();
        stage.check(next.text() == "next", || format!("{what}: next: {:?} {:?}", next.head.raw, next.text()));
    }
    stage.end();
}
