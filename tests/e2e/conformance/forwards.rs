//! Messages that count their hops: `Max-Forwards`, `OPTIONS *` and `Via`. RFC 9110 sections 7.6.2, 7.6.3 and 9.3.7.

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn max_forwards_and_options_of_the_server() {
    let mut stage = Stage::start().await;
    for target in ["/", "*"] {
        stage.backend.forget();
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: web\r\nMax-Forwards: 0\r\n\r\n");
        let answer = stage.client().await.send("GET", request).await.unwrap_or_default();
        let holds = answer.status() == 200 && answer.head.get("allow").is_some();
        stage.check(holds, || format!("OPTIONS {target} with 0: {:?}", answer.head.raw));
        let complete = stage.backend.complete();
        stage.check(complete.is_empty(), || format!("OPTIONS {target} with 0 reached the backend"));

        for (sent, expected) in [("1", "0"), ("10", "9"), ("007", "6")] {
            let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: web\r\nmax-FORWARDS: {sent}\r\n\r\n");
            let seen = stage.relays(&format!("OPTIONS {target} with {sent}"), request).await;
            let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
            let line = format!("options {target} http/1.1\r\n");
            let holds = text.starts_with(&line) && text.contains(&format!("max-forwards: {expected}\r\n"));
            stage.check(holds, || format!("OPTIONS {target} with {sent}: {text:?}"));
        }
    }
    let seen = stage.relays("GET with 0", "GET / HTTP/1.1\r\nHost: web\r\nMax-Forwards: 0\r\n\r\n").await;
    let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
    stage.check(text.contains("max-forwards: 0\r\n"), || format!("GET with 0: {text:?}"));
    let seen = stage.relays("OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n").await;
    let text = String::from_utf8_lossy(&seen).into_owned();
    stage.check(text.starts_with("OPTIONS * HTTP/1.1\r\n"), || format!("OPTIONS *: {text:?}"));
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn via_grows_by_one_in_each_direction() {
    let mut stage = Stage::start().await;
    let part = stage.part().await;
    for (request, ours) in [
        (part.request("GET /", "", ""), "1.1 weir-"),
        (format!("GET / HTTP/1.0\r\nHost: {}\r\nConnection: keep-alive\r\n\r\n", part.host), "1.0 weir-"),
        (
            part.request("GET /", "Via: 1.0 fred, 1.1 p.example\r\nX-A: 1\r\nvia: 2 other\r\n", ""),
            "1.1 weir-",
        ),
    ] {
        let theirs: Vec<String> = values(&request, "via");
        let mut client = stage.client().await;
        client.wire.send(&request).await.unwrap();
        let mut backend = part.backend.accept().await.unwrap();
        let head = backend.head().await.unwrap();
        let seen = values(&head.raw, "via");
        let added = seen.strip_prefix(theirs.as_slice()).unwrap_or_default();
        let holds = added.len() == 1 && added[0].starts_with(ours);
        stage.check(holds, || format!("{request:?}: {seen:?}"));

        let answer = "HTTP/1.1 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        backend.send(answer).await.unwrap();
        let response = client.response("GET").await.unwrap_or_default();
        let seen = values(&response.head.raw, "via");
        let holds = seen.len() == 2 && seen[0] == "1.1 inner" && seen[1].starts_with("1.1 weir-");
        stage.check(holds, || format!("the answer to {request:?}: {seen:?}"));

        // What we are called is known now: a request that says that it was here is a loop.
        let name = added.first().and_then(|via| via.split(' ').nth(1)).unwrap_or("weir").to_owned();
        let request = part.request("GET /", &format!("Via: 1.1 fred, 1.1 {}\r\n", name.to_uppercase()), "");
        let answer = stage.client().await.send("GET", request).await.unwrap_or_default();
        let reason = super::stage::reason(&answer.head) == Some("loop_detected");
        stage.check(answer.status() == 508 && reason, || format!("a loop: {:?}", answer.head.raw));
    }
    stage.end();
}

/// The elements of all fields with this name.
fn values(head: &str, name: &str) -> Vec<String> {
    let head = weir_tests::Head { raw: head.to_owned() };
    head.all(name).iter().flat_map(|value| value.split(',')).map(|value| value.trim().to_owned()).collect()
}
