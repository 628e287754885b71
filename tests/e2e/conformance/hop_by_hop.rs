//! What belongs to one hop stays on it, in both directions: RFC 9110 section 7.6.1.

use weir_tests::Head;

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn fields_named_in_connection() {
    let mut stage = Stage::start().await;
    for connection in [
        "x-a",
        "X-A, close",
        "close,x-a",
        "keep-alive, , X-a ,,",
        "x-a\r\nConnection: close",
        "close\r\nX-B: 2\r\nCONNECTION: x-A",
    ] {
        let fields = format!("X-A: 1\r\nConnection: {connection}\r\nX-a: 2\r\nX-Ab: 3\r\n");
        let (head, response) = both_ways(&stage, &fields).await;
        for (side, head) in [("backend", head), ("client", response)] {
            let holds = head.all("x-a").is_empty() && head.all("x-ab") == ["3"];
            stage.check(holds, || format!("{connection:?}: the {side} got {:?}", head.raw));
        }
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_cannot_remove_what_is_essential() {
    let mut stage = Stage::start().await;
    let part = stage.part().await;
    let mut client = stage.client().await;
    let fields = "Connection: Host, Content-Length, Via, Cookie, Authorization, Content-Type, X-Forwarded-For\r\n\
                  Cookie: a=1\r\nAuthorization: Basic x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n";
    client.wire.send(part.request("POST /", fields, "hello")).await.unwrap();
    let mut backend = part.backend.accept().await.unwrap();
    let head = backend.head().await.unwrap();
    for name in
        ["host", "content-length", "via", "cookie", "authorization", "content-type", "x-forwarded-for"]
    {
        stage.check(head.all(name).len() == 1, || format!("{name} at the backend: {:?}", head.raw));
    }
    stage.check(head.all("connection").is_empty(), || format!("Connection was relayed: {:?}", head.raw));
    stage.check(backend.exactly(5).await.unwrap_or_default() == b"hello", || "the body is lost".to_owned());
    let answer = "HTTP/1.1 200 OK\r\nConnection: content-length, set-cookie, content-type\r\nSet-Cookie: a\r\n\
                  Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    backend.send(answer).await.unwrap();
    let response = client.response("GET").await.unwrap_or_default();
    let holds = response.head.all("set-cookie") == ["a"]
        && response.head.all("content-type") == ["text/plain"]
        && response.text() == "ok";
    stage.check(holds, || format!("the client got {response:?}"));
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_alive_proxy_connection_te_and_upgrade() {
    let mut stage = Stage::start().await;
    let fields = "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip, deflate;q=0.5\r\n\
                  Upgrade: websocket\r\nX-Ab: 3\r\n";
    let (head, response) = both_ways(&stage, fields).await;
    for (side, head) in [("backend", head), ("client", response)] {
        for name in ["keep-alive", "proxy-connection", "te", "upgrade"] {
            let got = head.all(name);
            stage.check(got.is_empty(), || format!("{name} at the {side}: {got:?}"));
        }
        stage.check(head.all("x-ab") == ["3"], || format!("the {side} got {:?}", head.raw));
    }
    // That trailers are welcome may be said on, but nothing else of it.
    let (head, _) = both_ways(&stage, "TE: trailers, gzip;q=0.5\r\nConnection: TE\r\n").await;
    let holds = head.all("te").iter().all(|value| value.eq_ignore_ascii_case("trailers"));
    stage.check(holds, || format!("TE at the backend: {:?}", head.all("te")));
    stage.end();
}

/// Clients are not believed where they say that they come from, however they spell it.
#[tokio::test(flavor = "multi_thread")]
async fn forwarded_fields_are_set_anew() {
    let mut stage = Stage::start().await;
    let names = [
        "X-Forwarded-For",
        "X_Forwarded_For",
        "x-forwarded_for",
        "X_FORWARDED-FOR",
        "X-Forwarded-Proto",
        "X_Forwarded_Proto",
        "X-Forwarded-Host",
        "X_Forwarded_Host",
        "X-Forwarded-Port",
        "X_forwarded_port",
        "X-Forwarded-Server",
        "X-Forwarded-Prefix",
        "X-Forwarded-User",
        "Forwarded",
        "FORWARDED",
        "X-Real-IP",
        "X_Real_IP",
        "x-real_ip",
    ];
    let fields = names.join(": 6.6.6.6\r\n") + ": 6.6.6.6\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: web\r\n{fields}X-Forwarded: kept\r\n\r\n");
    let seen = stage.relays("all of them", request).await;
    let head = Head { raw: String::from_utf8_lossy(&seen).into_owned() };

    stage.check(!head.raw.contains("6.6.6.6"), || format!("believed: {:?}", head.raw));
    for (name, value) in
        [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "http"), ("x-forwarded-host", "web")]
    {
        stage.check(head.all(name) == [value], || format!("{name}: {:?}", head.all(name)));
    }
    stage.end();
}

/// CGI and its heirs make one name of `-` and `_`.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_pose_as_others_are_dropped() {
    let mut stage = Stage::start().await;
    let names = ["Transfer_Encoding", "content_length", "Proxy_Connection", "X-Forwarded_For", "X_Real_IP"];
    let fields = names.join(": chunked\r\n") + ": chunked\r\nX_Other: kept\r\n";
    let (head, response) = both_ways(&stage, &fields).await;
    for (side, head) in [("backend", head), ("client", response)] {
        let holds = names.iter().all(|name| head.all(name).is_empty()) && head.all("x_other") == ["kept"];
        stage.check(holds, || format!("the {side} got {:?}", head.raw));
    }
    stage.end();
}

/// These fields in a request and in the response to it: what the backend and what the client gets.
async fn both_ways(stage: &Stage, fields: &str) -> (Head, Head) {
    let part = stage.part().await;
    let mut client = stage.client().await;
    client.wire.send(part.request("GET /", fields, "")).await.unwrap();
    let mut backend = part.backend.accept().await.unwrap();
    let head = backend.head().await.unwrap();
    backend.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok")).await.unwrap();
    let response = client.response("GET").await.unwrap_or_default();
    (head, response.head)
}
