//! What is cut short never looks whole: RFC 9112 section 8; and an early answer is read whole: section 9.6.

use weir_tests::End;

use super::stage::{Stage, soon, told};

/// How a message that is cut short says how long it is, what there is of it, and how its sender ends.
const CUT: [(&str, &str, bool); 8] = [
    ("Content-Length: 10\r\n", "four", false),
    ("Content-Length: 10\r\n", "four", true),
    ("Content-Length: 10\r\n", "", false),
    ("Transfer-Encoding: chunked\r\n", "4\r\nfour\r\n", false),
    ("Transfer-Encoding: chunked\r\n", "4\r\nfour\r\n", true),
    ("Transfer-Encoding: chunked\r\n", "8\r\nfour", false),
    ("Transfer-Encoding: chunked\r\n", "4\r\nfour\r\n0\r\n", false),
    ("Transfer-Encoding: chunked\r\n", "4\r\nfour\r\n0\r\nX-A: 1\r\n", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn responses_that_are_cut_short() {
    let mut stage = Stage::start().await;
    let bad_chunk = ("Transfer-Encoding: chunked\r\n", "4\r\nfour\r\nzz\r\n0\r\n\r\n", false);
    for (framing, body, reset) in CUT.into_iter().chain([bad_chunk]) {
        for version in ["1.1", "1.0"] {
            let what = format!("{framing:?} {body:?}, reset: {reset}, to HTTP/{version}");
            let part = stage.part().await;
            let mut client = stage.wire().await;
            client.send(format!("GET / HTTP/{version}\r\nHost: {}\r\n\r\n", part.host)).await.unwrap();
            let mut backend = part.backend.accept().await.unwrap();
            backend.head().await.unwrap();
            backend.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n")).await.unwrap();
            // The answer is under way before it ends.
            let head = client.head().await.unwrap_or_default();
            backend.send(body).await.unwrap();
            if reset {
                backend.reset_on_drop().unwrap();
            }
            drop(backend);
            let (came, end) = client.to_end().await;
            let text = String::from_utf8_lossy(&came).into_owned();
            let holds = match (head.length(), head.chunked()) {
                (Some(length), _) => came.len() < length && end != End::Never,
                (None, true) => {
                    !text.ends_with("0\r\n\r\n") && !text.contains("\r\n0\r\n") && end != End::Never
                }
                // The end of the connection is the end of the body: only a reset says that it is not.
                (None, false) => end == End::Reset,
            };
            stage.check(holds, || format!("{what}: {:?}, then {text:?}, {end:?}", head.raw));
        }
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_cut_short() {
    let mut stage = Stage::start().await;
    for (framing, body, reset) in CUT {
        let what = format!("{framing:?} {body:?}, reset: {reset}");
        stage.backend.forget();
        let mut client = stage.wire().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: web\r\n{framing}\r\n")).await.unwrap();
        let under_way = soon(async || stage.backend.seen().iter().any(|seen| !seen.rest.is_empty())).await;
        client.send(body).await.unwrap();
        if reset {
            client.reset_on_drop().unwrap();
        }
        drop(client);
        let ended = soon(async || {
            let seen = stage.backend.seen();
            seen.iter().all(|received| received.rest.is_empty() || received.ended)
        });
        let ended = ended.await;
        let complete = stage.backend.complete();
        stage.check(complete.is_empty() && ended, || {
            format!("{what}: under way: {under_way}, cut: {ended}, complete: {complete:?}")
        });
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_bad_request_is_read_whole() {
    let mut stage = Stage::start().await;
    let upload = "x".repeat(1 << 20);
    for (what, head, status) in [
        ("two Hosts", "POST / HTTP/1.1\r\nHost: web\r\nHost: web\r\nContent-Length: 1048576\r\n\r\n", 400),
        ("a bad length", "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: +1048576\r\n\r\n", 400),
        ("unknown coding", "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("nonsense", "nonsense\r\n\r\n", 400),
    ] {
        stage.refuses(&format!("{what} before 1 MiB"), format!("{head}{upload}"), status).await;
    }
    stage.end();
}

/// The backend answers and reads no more; the client reads the answer when it has sent what it wanted to send.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_to_a_large_upload_is_read_whole() {
    let mut stage = Stage::start().await;
    let piece = "x".repeat(1 << 20);
    for close in ["Connection: close\r\n", ""] {
        let part = stage.part().await;
        let mut client = stage.client().await;
        let head = part.request("POST /", "Content-Length: 1073741824\r\n", "some of it");
        client.wire.send(head).await.unwrap();
        let mut backend = part.backend.accept().await.unwrap();
        backend.head().await.unwrap();
        let answer =
            format!("HTTP/1.1 413 Too Much\r\n{close}Content-Length: 100000\r\n\r\n{}", "y".repeat(100_000));
        backend.send(answer).await.unwrap();
        let head = client.wire.head().await.unwrap_or_default();
        let sent = client.wire.send(&piece).await;
        let body = client.wire.exactly(100_000).await.map(|body| body.len());
        let holds = head.start().contains(" 413 ") && body.as_ref().is_ok_and(|length| *length == 100_000);
        stage.check(holds, || format!("{close:?}: {:?}, body: {body:?}, sent: {sent:?}", head.raw));
        let announced = head.get("connection") == Some("close");
        stage.check(announced, || format!("{close:?}: the end is not announced: {:?}", head.raw));
        // The upload never was whole, so the backend's connection is not used again.
        drop(client);
        let (_, end) = backend.to_end().await;
        stage.check(end != End::Never, || format!("{close:?}: the backend's connection: {end:?}"));
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_ends_before_it_answers() {
    let mut stage = Stage::start().await;
    for (what, bytes) in [
        ("half a status line", "HTTP/1.1 20"),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A"),
        ("an interim response alone", "HTTP/1.1 103 Hints\r\n\r\n"),
    ] {
        let part = stage.part().await;
        let mut client = stage.client().await;
        client.wire.send(part.request("POST /", "Content-Length: 2\r\n", "ok")).await.unwrap();
        let mut backend = part.backend.accept().await.unwrap();
        backend.head().await.unwrap();
        backend.exactly(2).await.unwrap();
        backend.send(bytes).await.unwrap();
        drop(backend);
        let response = client.response("POST").await.unwrap_or_default();
        let holds = response.status() == 502 && super::stage::reason(&response.head).is_some();
        stage.check(holds, || format!("{what}: {}", told(&response)));
    }
    stage.end();
}
