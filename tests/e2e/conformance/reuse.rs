//! A connection is used again only when the message before is whole, on both sides, and nothing came behind it.

use super::stage::{Stage, told};

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_a_response_reach_nobody() {
    let mut stage = Stage::start().await;
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for framing in ["Content-Length: 2\r\n\r\nok", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"] {
        for at_once in [true, false] {
            let what = format!("{framing:?}, at once: {at_once}");
            let part = stage.part().await;
            let mut client = stage.client().await;
            client.wire.send(part.request("GET /", "", "")).await.unwrap();
            let mut first = part.backend.accept().await.unwrap();
            first.head().await.unwrap();
            let behind = if at_once { poison } else { "" };
            first.send(format!("HTTP/1.1 200 OK\r\n{framing}{behind}")).await.unwrap();
            let response = client.response("GET").await.unwrap_or_default();
            stage.check(response.text() == "ok", || format!("{what}: {}", told(&response)));
            if !at_once {
                first.send(poison).await.unwrap();
            }

            client.wire.send(part.request("GET /next", "", "")).await.unwrap();
            let Ok(mut second) = part.backend.accept().await else {
                let next = client.response("GET").await.unwrap_or_default();
                stage.check(false, || format!("{what}: used again; next: {:?}", next.text()));
                continue;
            };
            second.head().await.unwrap();
            second.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").await.unwrap();
            let next = client.response("GET").await.unwrap_or_default();
            stage.check(next.text() == "next", || format!("{what}: next: {:?}", next.text()));
        }
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_has_not_read_the_body_gets_no_other_request() {
    let mut stage = Stage::start().await;
    for framing in ["Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n"] {
        let part = stage.part().await;
        let mut client = stage.client().await;
        // The rest of the body never comes, or comes too late.
        client.wire.send(part.request("POST /", framing, "5\r\nhello\r\n")).await.unwrap();
        let mut first = part.backend.accept().await.unwrap();
        first.head().await.unwrap();
        first.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        let response = client.response("POST").await.unwrap_or_default();
        stage.check(response.text() == "ok", || format!("{framing:?}: {}", told(&response)));

        let mut other = stage.client().await;
        other.wire.send(part.request("GET /other", "", "")).await.unwrap();
        let Ok(mut second) = part.backend.accept().await else {
            stage.check(false, || format!("{framing:?}: the connection was used again"));
            continue;
        };
        let head = second.head().await.unwrap_or_default();
        stage.check(head.start() == "GET /other HTTP/1.1", || format!("{framing:?}: {:?}", head.raw));
        second.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother").await.unwrap();
        let next = other.response("GET").await.unwrap_or_default();
        stage.check(next.text() == "other", || format!("{framing:?}: {}", told(&next)));
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_keep_good_connections() {
    let mut stage = Stage::start().await;
    let mut client = stage.client().await;
    for request in [
        "GET /1 HTTP/1.1\r\nHost: web\r\n\r\n",
        "POST /2 HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello",
        "POST /3 HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: 1\r\n\r\n",
        "GET /4 HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n",
        "HEAD /5 HTTP/1.1\r\nHost: web\r\n\r\n",
        "GET /6 HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n",
    ] {
        let method = request.split(' ').next().unwrap_or_default();
        let response = client.send(method, request).await.unwrap_or_default();
        stage.check(response.status() == 200, || format!("{request:?}: {}", told(&response)));
    }
    stage.check(client.ends().await, || "Connection: close is not heard".to_owned());
    let connections = stage.backend.seen().len();
    stage.check(connections == 1, || format!("{connections} connections to the backend"));
    stage.end();
}
