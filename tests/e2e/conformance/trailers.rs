//! Trailers stay trailers: RFC 9110 section 6.5, RFC 9112 section 7.1.2.

use super::stage::{Reach, Stage};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_requests() {
    let mut stage = Stage::start().await;
    for (trailers, arrive) in [
        ("X-Sum: 42\r\n", "x-sum: 42\r\n"),
        ("X-Sum: 42\r\nX-More: 1\r\nX-Sum: 43\r\n", "x-sum: 42\r\nx-more: 1\r\nx-sum: 43\r\n"),
        ("Content-Length: 5\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", ""),
        ("Host: other\r\nX-Sum: 42\r\n", "x-sum: 42\r\n"),
        ("AUTHORIZATION: Basic x\r\nX-Sum: 42\r\n", "x-sum: 42\r\n"),
        ("Connection: close\r\nX-Sum: 42\r\n", "x-sum: 42\r\n"),
        ("X-Forwarded-For: 6.6.6.6\r\nX-Sum: 42\r\n", "x-sum: 42\r\n"),
    ] {
        let seen = stage.relays(trailers, format!("{HEAD}{trailers}\r\n")).await;
        let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let came = body.split_once("0\r\n").unwrap_or_default().1;
        stage.check(came == format!("{arrive}\r\n"), || format!("{trailers:?} arrived as {came:?}"));
        stage.check(!head.contains("x-sum"), || format!("{trailers:?} became a header: {head:?}"));
        stage.check(!head.contains("authorization"), || format!("{trailers:?} became a header: {head:?}"));
    }
    for trailers in [
        "X-Sum : 1\r\n",
        "X Sum: 1\r\n",
        "X-Sum: 1\r\n 2\r\n",
        "X-Sum: \x01\r\n",
        "X-Sum\r\n",
        ": 1\r\n",
        "X-Sum: 1\n",
    ] {
        stage.refuses_with(trailers, format!("{HEAD}{trailers}\r\n"), 400, Reach::Beginning).await;
    }
    let many = "X-Many: 1\r\n".repeat(101);
    let long = format!("X-Long: {}\r\n", "x".repeat(40_000));
    for (what, trailers) in [("101 trailers", many), ("a trailer of 40,000 bytes", long)] {
        let got = stage.send(format!("{HEAD}{trailers}\r\n")).await;
        let holds = matches!(got.response.status(), 400 | 431) && got.is_refusal(got.response.status());
        stage.check(holds, || format!("{what}: {}", got.told()));
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_responses() {
    let mut stage = Stage::start().await;
    for announced in ["", "Trailer: X-Sum\r\n"] {
        for te in ["", "TE: trailers\r\nConnection: TE\r\n"] {
            let part = stage.part().await;
            let mut client = stage.client().await;
            client.wire.send(part.request("GET /", te, "")).await.unwrap();
            let mut backend = part.backend.accept().await.unwrap();
            backend.head().await.unwrap();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{announced}\r\n5\r\nhello\r\n0\r\n\
                 X-Sum: 42\r\nContent-Length: 7\r\nX-More: 1\r\nTransfer-Encoding: x\r\n\r\n"
            );
            backend.send(answer).await.unwrap();
            let response = client.response("GET").await.unwrap_or_default();
            let trailers: Vec<_> = response
                .trailers
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
                .collect();
            let expected = [("x-sum".to_owned(), "42"), ("x-more".to_owned(), "1")];
            let clean = response.head.get("x-sum").is_none() && response.text() == "hello";
            stage.check(trailers == expected && clean, || {
                format!("{announced:?} {te:?}: {trailers:?} after {:?}", response.head.raw)
            });
        }
    }

    // A client of HTTP/1.0 knows neither chunks nor trailers.
    let part = stage.part().await;
    let mut client = stage.client().await;
    client.wire.send(format!("GET / HTTP/1.0\r\nHost: {}\r\n\r\n", part.host)).await.unwrap();
    let mut backend = part.backend.accept().await.unwrap();
    backend.head().await.unwrap();
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n";
    backend.send(answer).await.unwrap();
    let response = client.response("GET").await.unwrap_or_default();
    let holds = response.text() == "hello" && !response.head.chunked() && response.trailers.is_empty();
    stage.check(holds, || format!("HTTP/1.0: {response:?}"));
    stage.end();
}
