//! Fields arrive in their order and in their spelling: repeated ones keep their places among the others.

use super::stage::Stage;

const FIELDS: [&str; 12] = [
    "X-Zebra: 1",
    "x-apple: 1",
    "Accept: text/html",
    "X-Zebra: 2",
    "cOOkie: a=1",
    "ACCEPT: */*;q=0.1",
    "Cookie: b=2",
    "x-Zebra: 3",
    "User-Agent: test",
    "X-Empty:",
    "X_Under_Score: 1",
    "X-Apple: 2",
];

#[tokio::test(flavor = "multi_thread")]
async fn order_and_spelling_are_kept() {
    let mut stage = Stage::start().await;
    let part = stage.part().await;
    let lines = FIELDS.join("\r\n") + "\r\n";

    let mut client = stage.client().await;
    client.wire.send(part.request("GET /", &lines, "")).await.unwrap();
    let mut backend = part.backend.accept().await.unwrap();
    let head = backend.head().await.unwrap();
    let at_backend = ours(&head.raw);
    stage.check(at_backend == FIELDS, || format!("the backend got {at_backend:#?}"));

    backend.send(format!("HTTP/1.1 200 Fine\r\n{lines}Content-Length: 2\r\n\r\nok")).await.unwrap();
    let response = client.response("GET").await.unwrap_or_default();
    let at_client = ours(&response.head.raw);
    stage.check(at_client == FIELDS, || format!("the client got {at_client:#?}"));
    stage.end();
}

/// Those lines of a head that the test wrote.
fn ours(head: &str) -> Vec<String> {
    let is_ours = |line: &&str| {
        let name = |line: &str| line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        FIELDS.iter().any(|field| name(field) == name(line))
    };
    head.split("\r\n").skip(1).filter(is_ours).map(|line| line.trim_end().to_owned()).collect()
}
