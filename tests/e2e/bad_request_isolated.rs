//! A bad request harms nobody but itself.

use weir_tests::{Backend, Client, Cluster};

#[tokio::test(flavor = "multi_thread")]
async fn others_go_on_whatever_one_client_sends() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut good = Client::open(cluster.traffic()).await.unwrap();
    let mut answered = 0;

    let long = format!("GET / HTTP/1.1\r\nHost: test\r\nX-Long: {}\r\n\r\n", "x".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", "X-Many: 1\r\n".repeat(101));
    for (request, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : test\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: test\r\nBad\x01Name: 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: x\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        ("GET / HTTP/1.1\r\nHost: test\r\nExpect: miracles\r\n\r\n", 417),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03", 400),
        ("utter nonsense\r\n\r\n", 400),
        (long.as_str(), 431),
        (many.as_str(), 431),
    ] {
        let mut bad = Client::open(cluster.traffic()).await.unwrap();
        let status = bad.send("GET", request).await.map(|response| response.status()).unwrap_or_default();
        assert_eq!(status, expected, "{request:.60}");
        assert_eq!(good.get("/").await.unwrap().text(), "a", "after {request:.60}");
        answered += 1;
    }
    assert_eq!(backend.requests(), answered, "no byte of a bad request reaches a backend");

    for broken in [
        "GE",
        "GET / HTTP/1.1\r\nHost: te",
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nfour",
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let mut bad = Client::open(cluster.traffic()).await.unwrap();
        bad.wire.send(broken).await.unwrap();
        drop(bad);
        assert_eq!(good.get("/").await.unwrap().text(), "a", "after {broken:?}");
    }
}
