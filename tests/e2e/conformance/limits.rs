//! How large requests may be: 413, 414 and 431, before a backend hears of them.

use weir_proto::v1;

use super::stage::{Reach, Stage, reason, told};

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_large() {
    let mut stage = Stage::start().await;
    let path = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: web\r\n\r\n", "a".repeat(length));
    stage.relays("a line of just under 8 KiB", path(8 * 1024 - 64)).await;
    stage.refuses("a line of 8 KiB", path(8 * 1024 + 1), 414).await;
    stage.refuses("a line of 20,000", path(20_000), 414).await;
    stage.refuses("a line of 100,000", path(100_000), 414).await;
    stage.refuses("a line without an end", "GET /".to_owned() + &"a".repeat(50_000), 414).await;
    let method = format!("{} / HTTP/1.1\r\nHost: web\r\n\r\n", "M".repeat(20_000));
    let got = stage.send(method).await;
    let holds = matches!(got.response.status(), 400 | 414) && got.is_refusal(got.response.status());
    stage.check(holds, || format!("a method of 20,000: {}", got.told()));

    let field = |length: usize| format!("GET / HTTP/1.1\r\nHost: web\r\nX-A: {}\r\n\r\n", "a".repeat(length));
    stage.relays("a head of just under 32 KiB", field(32 * 1024 - 256)).await;
    stage.refuses("a head of 32 KiB", field(32 * 1024), 431).await;
    stage.refuses("a head of 200,000", field(200_000), 431).await;
    stage.refuses("a name of 40,000", field(1).replace("X-A", &"X".repeat(40_000)), 431).await;

    let fields =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: web\r\n{}\r\n", "X-Many: 1\r\n".repeat(count - 1));
    stage.relays("100 fields", fields(100)).await;
    stage.refuses("101 fields", fields(101), 431).await;
    stage.refuses("2,000 fields", fields(2_000), 431).await;
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large() {
    let mut stage = Stage::start().await;
    let limits = v1::ListenerLimits { max_request_body_bytes: Some(1000), ..v1::ListenerLimits::default() };
    let listener = v1::Listener { limits: Some(limits), ..v1::Listener::default() };
    stage.traffic = stage.cluster.listen(listener).await;

    let declared = |length: usize, sent: usize| {
        format!("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(sent))
    };
    stage.relays("1,000 bytes", declared(1000, 1000)).await;
    // Refused before any of it is there.
    stage.refuses("1,001 bytes declared", declared(1001, 0), 413).await;
    // A body that is there may be passed over, and the connection go on.
    stage.backend.forget();
    let answer = stage.client().await.send("POST", declared(1001, 1001)).await.unwrap_or_default();
    let holds = answer.status() == 413 && reason(&answer.head).is_some();
    stage.check(holds, || format!("1,001 bytes: {}", told(&answer)));
    stage.check(stage.backend.complete().is_empty(), || "1,001 bytes reached the backend".to_owned());
    stage.refuses("1 MiB", declared(1 << 20, 1 << 20), 413).await;
    stage.refuses("2^63-1 bytes", declared(9_223_372_036_854_775_807, 0), 413).await;
    let expects = declared(1001, 0).replace("Host", "Expect: 100-continue\r\nHost");
    stage.refuses("1,001 bytes with Expect", expects, 413).await;

    let chunked = |count: usize| {
        let head = "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{}0\r\n\r\n", "a\r\n0123456789\r\n".repeat(count))
    };
    stage.relays("100 chunks of 10", chunked(100)).await;
    stage.refuses_with("101 chunks of 10", chunked(101), 413, Reach::Beginning).await;
    let head = "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n";
    let one = format!("{head}3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
    stage.refuses_with("a chunk of 1,001", one, 413, Reach::Beginning).await;
    stage.end();
}
