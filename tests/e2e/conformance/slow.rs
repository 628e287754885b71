//! Clients that take their time. The limits are as short as the tests can wait for.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use weir_proto::{duration_to_wire, v1};
use weir_tests::{Client, End, Response};

use super::stage::{Stage, reason, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_come() {
    let mut stage = Stage::start().await;
    let limits = v1::ListenerLimits {
        header_timeout: Some(duration_to_wire(Duration::from_millis(200))),
        idle_timeout: Some(duration_to_wire(Duration::from_secs(1))),
        ..v1::ListenerLimits::default()
    };
    let listener = v1::Listener { limits: Some(limits), ..v1::Listener::default() };
    stage.traffic = stage.cluster.listen(listener).await;

    for begin in
        ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: web\r\n", "GET / HTTP/1.1\r\nHost: web\r\n\r"]
    {
        stage.refuses(&format!("{begin:?}"), begin, 408).await;
    }
    // Bytes that trickle in buy no time.
    let mut client = stage.client().await;
    client.wire.send("GET / HTTP/1.1\r\n").await.unwrap();
    let answer = trickle(&mut client, "X: 1\r\n", Duration::from_millis(50)).await;
    let holds = answer.status() == 408 && reason(&answer.head) == Some("header_timeout");
    stage.check(holds, || format!("a trickle: {}", told(&answer)));

    // After a good request, too; but where nothing at all has come, the end is silent.
    let mut client = stage.client().await;
    let good = "GET /good HTTP/1.1\r\nHost: web\r\n\r\n";
    stage.check(client.send("GET", good).await.is_ok(), || "no answer".to_owned());
    client.wire.send("GET /bad").await.unwrap();
    let answer = client.response("GET").await.unwrap_or_default();
    let ended = client.ends().await;
    stage.check(answer.status() == 408 && ended, || format!("a second head: {}", told(&answer)));

    let mut client = stage.client().await;
    stage.check(client.send("GET", good).await.is_ok(), || "no answer".to_owned());
    let (came, end) = client.wire.to_end().await;
    stage.check(came.is_empty() && end == End::Clean, || format!("an idle connection: {came:?} {end:?}"));
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops() {
    let mut stage = Stage::start().await;
    let limits = v1::ListenerLimits {
        body_idle_timeout: Some(duration_to_wire(Duration::from_secs(1))),
        ..v1::ListenerLimits::default()
    };
    let listener = v1::Listener { limits: Some(limits), ..v1::Listener::default() };
    stage.traffic = stage.cluster.listen(listener).await;
    for (framing, body) in [
        ("Content-Length: 100\r\n", "some"),
        ("Content-Length: 100\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "4\r\nsome\r\n"),
        ("Transfer-Encoding: chunked\r\n", "8\r\nsome"),
        ("Transfer-Encoding: chunked\r\n", "4\r\nsome\r\n0\r\n"),
    ] {
        timed_out(&mut stage, framing, body).await;
    }
    stage.end();
}

/// The rate is looked at from five seconds on; a body that never stops altogether ends then.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles() {
    let mut stage = Stage::start().await;
    let part = stage.part().await;
    let mut client = stage.client().await;
    client.wire.send(part.request("POST /", "Content-Length: 100000\r\n", "")).await.unwrap();
    let mut backend = part.backend.accept().await.unwrap();
    backend.head().await.unwrap();

    let answer = trickle(&mut client, "x", Duration::from_millis(100)).await;
    let holds = answer.status() == 408 && reason(&answer.head) == Some("request_body_timeout");
    stage.check(holds, || format!("10 bytes a second: {}", told(&answer)));
    let (came, end) = backend.to_end().await;
    stage.check(came.len() < 100_000 && end != End::Never, || format!("the backend's connection: {end:?}"));
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read() {
    let mut stage = Stage::start().await;
    let limits = v1::ListenerLimits {
        send_timeout: Some(duration_to_wire(Duration::from_secs(1))),
        ..v1::ListenerLimits::default()
    };
    let listener = v1::Listener { limits: Some(limits), ..v1::Listener::default() };
    stage.traffic = stage.cluster.listen(listener).await;
    let part = stage.part().await;
    let mut client = stage.client().await;
    client.wire.send(part.request("GET /", "", "")).await.unwrap();
    let mut backend = part.backend.accept().await.unwrap();
    backend.head().await.unwrap();
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").await.unwrap();
    // More than all buffers on the way hold; writing ends when the proxy lets go.
    let piece = vec![b'x'; 1 << 20];
    let mut let_go = None;
    for sent in 0..1024 {
        if let Err(error) = backend.send(&piece).await {
            let_go = Some((sent, error.kind()));
            break;
        }
    }
    let reset = let_go.is_some_and(|(_, kind)| kind != std::io::ErrorKind::TimedOut);
    stage.check(reset, || format!("the backend could not send on after {let_go:?}"));
    let (came, end) = client.wire.to_end().await;
    stage.check(end == End::Reset, || format!("the client got {} bytes, then {end:?}", came.len()));
    stage.end();
}

/// Sends a piece again and again, with a pause between two, until there is an answer, but not for ever.
async fn trickle(client: &mut Client, piece: &str, pause: Duration) -> Response {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(12) {
        if let Ok(answer) = timeout(pause, client.response("GET")).await {
            return answer.unwrap_or_default();
        }
        if client.wire.send(piece).await.is_err() {
            break;
        }
    }
    Response::default()
}

/// A request whose body stops: 408, the end, and the backend's connection is cut.
async fn timed_out(stage: &mut Stage, framing: &str, body: &str) {
    let what = format!("{framing:?} {body:?}");
    let part = stage.part().await;
    let mut client = stage.client().await;
    client.wire.send(part.request("POST /", framing, body)).await.unwrap();
    let mut backend = part.backend.accept().await.unwrap();
    let answer = client.response("POST").await.unwrap_or_default();
    let ended = client.ends().await;
    let holds = answer.status() == 408 && reason(&answer.head) == Some("request_body_timeout") && ended;
    stage.check(holds, || format!("{what}: {}, ended: {ended}", told(&answer)));
    let (came, end) = backend.to_end().await;
    let whole = came.ends_with(b"0\r\n\r\n");
    stage.check(!whole && end != End::Never, || format!("{what}: the backend's connection: {end:?}"));
}
