//! Answers of backends that can be read in two ways are not passed on: RFC 9112 sections 5 and 6.

use weir_tests::End;

use super::stage::{Stage, reason, told};

#[tokio::test(flavor = "multi_thread")]
async fn malformed_responses() {
    let mut stage = Stage::start().await;
    let huge = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 2\r\n\r\nok", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\nok", "X-Many: 1\r\n".repeat(20_000));
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: 1\r\n\t2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n X-A: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: 1\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nX-A: 1\rX-B: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "ICY 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "<html>hello</html>\r\n\r\n",
        "\x15\x03\x01\0\x02\x02\x46\r\n\r\n",
        &huge,
        &many,
    ] {
        let what = format!("{:.90}", format!("{answer:?}"));
        let part = stage.part().await;
        let mut client = stage.client().await;
        client.wire.send(part.request("POST /", "Content-Length: 2\r\n", "ok")).await.unwrap();
        let mut backend = part.backend.accept().await.unwrap();
        backend.head().await.unwrap();
        backend.exactly(2).await.unwrap();
        // A proxy that has seen enough may end the connection before all is written.
        let _ = backend.send(answer).await;
        let response = client.response("POST").await.unwrap_or_default();
        let holds = response.status() == 502 && reason(&response.head).is_some();
        stage.check(holds, || format!("{what}: {}", told(&response)));
        let (came, end) = backend.to_end().await;
        let ended = came.is_empty() && end != End::Never;
        stage.check(ended, || format!("{what}: the backend's connection: {came:?} {end:?}"));
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_but_good_responses() {
    let mut stage = Stage::start().await;
    for (answer, status) in [
        ("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200),
        ("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200),
        ("HTTP/1.1 299 Très bien\r\ncontent-length:2\r\n\r\nok", 299),
        ("HTTP/1.1 599 Own\r\nContent-Length: \t2 \r\n\r\nok", 599),
        ("HTTP/1.1 404 No\r\nX-A:\r\nContent-Length: 2\r\n\r\nok", 404),
        ("HTTP/1.1 500 Oh\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 500),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\no\r\n01\r\nk\r\n0\r\n\r\n", 200),
        ("HTTP/1.1 200 OK\r\n\r\nok", 200),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", 200),
        ("HTTP/1.0 200 OK\r\n\r\nok", 200),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200),
    ] {
        for version in ["1.1", "1.0"] {
            let what = format!("{answer:?} to HTTP/{version}");
            let part = stage.part().await;
            let mut client = stage.client().await;
            client.wire.send(format!("GET / HTTP/{version}\r\nHost: {}\r\n\r\n", part.host)).await.unwrap();
            let mut backend = part.backend.accept().await.unwrap();
            backend.head().await.unwrap();
            backend.send(answer).await.unwrap();
            drop(backend);
            let response = client.response("GET").await.unwrap_or_default();
            let holds = response.status() == status && response.text() == "ok";
            stage.check(holds, || format!("{what}: {:?} {:?}", response.head.raw, response.text()));
            let chunked = response.head.chunked();
            stage.check(version == "1.1" || !chunked, || format!("{what}: {:?}", response.head.raw));
        }
    }
    stage.end();
}
