//! What is asked by HTTP/1, and which answers are good.

use super::*;

/// What comes of such an answer, where the body must contain `ok`.
async fn body_says(answer: impl Into<Vec<u8>>) -> Outcome {
    let backend = Backend::answering(answer).await;
    http(|probe| probe.expected_body = "ok".into()).ask(backend.address).await
}

#[tokio::test]
async fn what_is_configured_is_asked() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(http(|_| ()).ask(backend.address).await, Outcome::Passed);
    let question = http(|probe| {
        probe.path = "/healthcheck?full=1".into();
        probe.host = Some("shop.example".into());
        probe.headers = vec![("x-probe".into(), "1".into()), ("x-probe".into(), "2".into())];
    });
    assert_eq!(question.ask(backend.address).await, Outcome::Passed);
    let named = http(|probe| probe.headers = vec![("user-agent".into(), "me".into())]);
    assert_eq!(named.ask(backend.address).await, Outcome::Passed);
    let expected = [
        format!(
            "GET / HTTP/1.1\r\nhost: {}\r\nuser-agent: weir-health-check/{version}\r\n\
             connection: close\r\n\r\n",
            backend.address
        ),
        format!(
            "GET /healthcheck?full=1 HTTP/1.1\r\nhost: shop.example\r\n\
             user-agent: weir-health-check/{version}\r\nx-probe: 1\r\nx-probe: 2\r\nconnection: close\r\n\r\n"
        ),
        format!("GET / HTTP/1.1\r\nhost: {}\r\nuser-agent: me\r\nconnection: close\r\n\r\n", backend.address),
    ];
    assert_eq!(*backend.heads.lock().unwrap(), expected);
}

#[tokio::test]
async fn the_status_decides() {
    for (answer, outcome) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", Outcome::Passed),
        ("HTTP/1.0 302 Found\r\nlocation: /elsewhere\r\n\r\n", Outcome::Passed),
        ("HTTP/1.1 429 Too Many Requests\r\n\r\n", Outcome::Loaded("status 429".into())),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", failed("status 503")),
        ("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Outcome::Passed),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", failed("the answer is not valid HTTP/1")),
    ] {
        let backend = Backend::answering(answer).await;
        assert_eq!(http(|_| ()).ask(backend.address).await, outcome, "{answer}");
    }
}

#[tokio::test]
async fn a_body_is_looked_at_as_far_as_it_goes_however_it_is_framed() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nit is ok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\nit is o\r\n1\r\nk\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nit is ok, and goes on",
        "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nit is ok, and goes on",
    ] {
        assert_eq!(body_says(answer).await, Outcome::Passed, "{answer}");
    }
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nno: ok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n0\r\nk: k\r\n\r\n",
        "HTTP/1.1 200 ok\r\nok: ok\r\ncontent-length: 0\r\n\r\n",
    ] {
        assert_eq!(body_says(answer).await, failed("body lacks \"ok\""), "{answer}");
    }
    let status = body_says("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(status, failed("status 500"));
}

#[tokio::test]
async fn the_end_of_the_connection_may_be_the_end_of_the_body() {
    let question = http(|probe| probe.expected_body = "ok".into());
    for (answer, outcome) in [
        ("HTTP/1.0 200 OK\r\n\r\nit is ok", Outcome::Passed),
        ("HTTP/1.0 200 OK\r\n\r\nit is not", failed("body lacks \"ok\"")),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nit is o", failed("body lacks \"ok\"")),
    ] {
        let backend = Backend::closing(answer).await;
        assert_eq!(question.ask(backend.address).await, outcome, "{answer}");
    }
}

#[tokio::test]
async fn no_connection_outlasts_its_probe() {
    let (ended, mut ends) = tokio::sync::mpsc::channel(1);
    let backend = Backend::scripted(move |mut stream, _| {
        let ended = ended.clone();
        async move {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
            ended.send(()).await.unwrap();
        }
    })
    .await;
    assert_eq!(http(|_| ()).ask(backend.address).await, Outcome::Passed);
    ends.recv().await.unwrap();
}
