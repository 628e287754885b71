//! A client that goes away takes its request with it, and nobody else's.

use tokio::time::Instant;
use weir_tests::End;

use super::stage::{Stage, told};

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_is_told_at_once_and_not_asked_again() {
    let mut stage = Stage::start().await;
    let get = ("GET /", "", "");
    let upload = ("POST /", "Content-Length: 100\r\n", "some");
    let chunks = ("POST /", "Transfer-Encoding: chunked\r\n", "4\r\nsome\r\n");
    for (line, fields, body) in [get, upload, chunks] {
        for answered in [false, true] {
            let what = format!("{line} {fields:?}, answer under way: {answered}");
            let part = stage.part().await;
            let mut client = stage.client().await;
            client.wire.send(part.request(line, fields, body)).await.unwrap();
            let mut backend = part.backend.accept().await.unwrap();
            backend.head().await.unwrap();
            if answered {
                backend.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome").await.unwrap();
                client.wire.head().await.unwrap();
            }
            client.wire.reset_on_drop().unwrap();
            drop(client);
            let started = Instant::now();
            let (_, end) = backend.to_end().await;
            println!("{what}: {end:?} after {:?}", started.elapsed());
            stage.check(end != End::Never, || format!("{what}: the backend's connection stays"));

            // The next connection is for the next client: the request was not sent again.
            let mut other = stage.client().await;
            other.wire.send(part.request("GET /other", "", "")).await.unwrap();
            let mut next = part.backend.accept().await.unwrap();
            let head = next.head().await.unwrap_or_default();
            stage.check(head.start() == "GET /other HTTP/1.1", || format!("{what}: {:?}", head.raw));
            next.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nother")
                .await
                .unwrap();
            let response = other.response("GET").await.unwrap_or_default();
            stage.check(response.text() == "other", || format!("{what}: {}", told(&response)));
        }
    }
    stage.end();
}
