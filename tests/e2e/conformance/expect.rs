//! `Expect: 100-continue`: RFC 9110 section 10.1.1.

use super::stage::{Stage, told};

const EXPECT: &str = "Expect: 100-continue\r\nContent-Length: 54\r\n";

/// A body that would be a request if anybody took it for one.
const BODY: &str = "GET /smuggled HTTP/1.1\r\nHost: web\r\nX: 123456789012\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_decides_about_the_body() {
    let mut stage = Stage::start().await;
    assert_eq!(BODY.len(), 54);
    for expect in [EXPECT.to_owned(), EXPECT.replace("100-continue", "100-Continue")] {
        let part = stage.part().await;
        let mut client = stage.client().await;
        client.wire.send(part.request("POST /", &expect, "")).await.unwrap();
        let mut backend = part.backend.accept().await.unwrap();
        let head = backend.head().await.unwrap();
        let relayed = head.get("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        stage.check(relayed, || format!("Expect at the backend: {:?}", head.raw));

        backend.send("HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        let head = client.wire.head().await.unwrap_or_default();
        stage.check(head.start().starts_with("HTTP/1.1 100"), || format!("first came {:?}", head.raw));
        client.wire.send(BODY).await.unwrap();
        let body = backend.exactly(BODY.len()).await.unwrap_or_default();
        stage.check(body == BODY.as_bytes(), || format!("the body: {body:?}"));
        backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        let response = client.response("POST").await.unwrap_or_default();
        stage.check(response.text() == "ok", || told(&response));
    }
    stage.end();
}

/// A client that has its answer may send the body all the same, or go on without it being asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_final_answer_without_a_100() {
    let mut stage = Stage::start().await;
    for status in [413, 200, 401] {
        for sends_body in [true, false] {
            let what = format!("{status}, body sent: {sends_body}");
            let part = stage.part().await;
            let mut client = stage.client().await;
            client.wire.send(part.request("POST /", EXPECT, "")).await.unwrap();
            let mut backend = part.backend.accept().await.unwrap();
            backend.head().await.unwrap();
            backend.send(format!("HTTP/1.1 {status} Final\r\nContent-Length: 2\r\n\r\nok")).await.unwrap();
            let response = client.response("POST").await.unwrap_or_default();
            let holds = response.status() == status && response.text() == "ok";
            stage.check(holds, || format!("{what}: {}", told(&response)));

            // Either the next request is answered or the connection is over; the body never is a request.
            stage.backend.forget();
            let body = if sends_body { BODY } else { "" };
            let next = format!("{body}GET /next HTTP/1.1\r\nHost: web\r\n\r\n");
            let _ = client.wire.send(next).await;
            client.wire.finish().await.unwrap_or_default();
            let (came, _) = client.wire.to_end().await;
            let came = String::from_utf8_lossy(&came).into_owned();
            let smuggled = stage.backend.complete().iter().any(|seen| seen.starts_with(b"GET /smuggled"));
            let answers = came.matches("HTTP/1.1 ").count();
            stage.check(!smuggled && answers <= 1, || format!("{what}: smuggled: {smuggled}; then {came:?}"));
        }
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_expectations_fail() {
    let mut stage = Stage::start().await;
    for expect in ["tea", "100-continue, tea", "100-continued", "200-ok", "100-continue\r\nExpect: tea"] {
        stage.backend.forget();
        let request =
            format!("POST / HTTP/1.1\r\nHost: web\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\nok");
        let answer = stage.client().await.send("POST", request).await.unwrap_or_default();
        stage.check(answer.status() == 417, || format!("{expect:?}: {}", told(&answer)));
        stage.check(stage.backend.complete().is_empty(), || format!("{expect:?} reached the backend"));
    }
    // HTTP/1.0 has no expectations, and no interim responses.
    let request = "POST / HTTP/1.0\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok";
    let seen = stage.relays("HTTP/1.0", request).await;
    let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
    stage.check(!text.contains("expect:"), || format!("HTTP/1.0: {text}"));
    stage.end();
}
