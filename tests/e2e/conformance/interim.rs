//! Interim responses: RFC 9110 section 15.2.

use super::stage::{Stage, reason, told};

const FINAL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test(flavor = "multi_thread")]
async fn interim_responses_are_relayed_in_order() {
    let mut stage = Stage::start().await;
    let part = stage.part().await;
    for interims in [
        &["HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nX-A: 1\r\n\r\n"][..],
        &["HTTP/1.1 100 Continue\r\n\r\n"],
        &[
            "HTTP/1.1 102 Processing\r\n\r\n",
            "HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n",
            "HTTP/1.1 103 Hints\r\nLink: </b>\r\n\r\n",
        ],
        &["HTTP/1.1 199 Own\r\n\r\n"; 10],
    ] {
        let mut client = stage.client().await;
        client.wire.send(part.request("GET /", "", "")).await.unwrap();
        let mut backend = part.backend.accept().await.unwrap();
        backend.head().await.unwrap();
        for interim in interims {
            if backend.send(interim).await.is_err() {
                stage.check(false, || format!("{interims:?}: the backend's connection was cut"));
                break;
            }
            // Each is on its way before the next one exists.
            let head = client.wire.head().await.unwrap_or_default();
            let sent = weir_tests::Head { raw: (*interim).to_owned() };
            let same = |name| head.all(name) == sent.all(name);
            let holds = head.start().split(' ').nth(1) == sent.start().split(' ').nth(1)
                && same("link")
                && same("x-a")
                && head.get("content-length").is_none();
            stage.check(holds, || format!("{interim:?} arrived as {:?}", head.raw));
        }
        // Where it was cut there is no response either, and the row fails.
        let _ = backend.send(FINAL.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
        let response = client.response("GET").await.unwrap_or_default();
        stage.check(response.text() == "ok", || format!("after {interims:?}: {}", told(&response)));
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_gets_none() {
    let mut stage = Stage::start().await;
    let part = stage.part().await;
    let mut client = stage.client().await;
    client.wire.send(format!("GET / HTTP/1.0\r\nHost: {}\r\n\r\n", part.host)).await.unwrap();
    let mut backend = part.backend.accept().await.unwrap();
    backend.head().await.unwrap();
    backend.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await.unwrap();
    backend.send("HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
    backend.send(FINAL).await.unwrap();
    let head = client.wire.head().await.unwrap_or_default();
    stage.check(head.start().contains(" 200 "), || format!("first came {:?}", head.raw));
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_or_bad_ones_are_a_bad_answer() {
    let mut stage = Stage::start().await;
    for (what, interims) in [
        ("eleven", "HTTP/1.1 103 Hints\r\n\r\n".repeat(11)),
        ("a bad field", "HTTP/1.1 103 Hints\r\nX A: 1\r\n\r\n".to_owned()),
        ("a folded field", "HTTP/1.1 103 Hints\r\nX-A: 1\r\n 2\r\n\r\n".to_owned()),
        ("an unasked 101", "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n".to_owned()),
        ("a 101 behind another", "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 101 Switching\r\n\r\n".to_owned()),
    ] {
        let part = stage.part().await;
        let mut client = stage.client().await;
        client.wire.send(part.request("GET /", "", "")).await.unwrap();
        let mut backend = part.backend.accept().await.unwrap();
        backend.head().await.unwrap();
        backend.send(format!("{interims}{FINAL}")).await.unwrap();
        let response = client.response("GET").await.unwrap_or_default();
        let holds = response.status() == 502 && reason(&response.head).is_some();
        stage.check(holds, || format!("{what}: {}", told(&response)));
    }
    // What they say about a body they cannot have is not said on.
    let part = stage.part().await;
    let mut client = stage.client().await;
    client.wire.send(part.request("GET /", "", "")).await.unwrap();
    let mut backend = part.backend.accept().await.unwrap();
    backend.head().await.unwrap();
    backend.send(format!("HTTP/1.1 103 Hints\r\nContent-Length: 5\r\n\r\n{FINAL}")).await.unwrap();
    let mut head = client.wire.head().await.unwrap_or_default();
    stage.check(!head.start().contains(" 103 ") || head.get("content-length").is_none(), || {
        format!("Content-Length in a 103: {:?}", head.raw)
    });
    if head.start().contains(" 103 ") {
        head = client.wire.head().await.unwrap_or_default();
    }
    stage.check(!head.raw.is_empty(), || "nothing came after a 103 with Content-Length".to_owned());
    stage.end();
}
