//! Every method is relayed, with its body and with whatever the backend answers; CONNECT and TRACE are not.

use weir_tests::{Backend, Behaviour, Client, Cluster};

#[tokio::test(flavor = "multi_thread")]
async fn every_method_arrives_with_its_body() {
    let backend = Backend::start("a").await;
    backend.record();
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut client = Client::open(cluster.traffic()).await.unwrap();

    let methods =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "QUERY", "BREW", "X-Y_Z"];
    for method in methods {
        let body = if matches!(method, "GET" | "HEAD") { "" } else { "some body" };
        let length = body.len();
        let request = format!("{method} /m HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}");
        let response = client.send(method, request).await.unwrap();
        assert_eq!(response.status(), 200, "{method}");
        assert_eq!(response.head.length(), Some(1), "{method}");
        assert_eq!(response.text(), if method == "HEAD" { "" } else { "a" }, "{method}");

        let seen = backend.recorded().pop().unwrap();
        assert_eq!(seen.head.start(), format!("{method} /m HTTP/1.1"));
        assert_eq!(seen.body, body.as_bytes(), "{method}");
    }
    assert_eq!(backend.requests(), methods.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_and_trace_are_refused_here() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;

    for request in
        ["CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: test\r\n\r\n"]
    {
        let response = Client::open(cluster.traffic()).await.unwrap().send("GET", request).await.unwrap();
        assert_eq!(response.status(), 405, "{request}");
        assert!(
            response.head.get("allow").is_some_and(|allow| allow.contains("GET")),
            "{}",
            response.head.raw
        );
    }
    assert_eq!(backend.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_comes_back() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut client = Client::open(cluster.traffic()).await.unwrap();

    for status in [200, 201, 204, 206, 299, 301, 304, 400, 404, 418, 429, 451, 500, 502, 503, 504, 599] {
        backend.set(Behaviour::Status(status));
        let response = client.get("/").await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.head.get("x-backend"), Some("a"));
    }
}
