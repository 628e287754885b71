//! What a client sends reaches the backend as it is, and what the backend answers reaches the client.

use weir_tests::{Backend, Behaviour, Client, Cluster};

#[tokio::test(flavor = "multi_thread")]
async fn path_query_host_and_headers_are_not_touched() {
    let backend = Backend::with("a", Behaviour::Facts).await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut client = Client::open(cluster.traffic()).await.unwrap();

    let target = "/a%2Fb//c/./d/..;x=1?q=%20&b=c+d&&e=%zz?/#".trim_end_matches('#');
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: Shop.Example:8080\r\nX-One: first\r\nAccept: a, b;q=0.5\r\n\
         X-One: second\r\nCookie: a=1; b=\"2\"\r\nX-Empty:\r\nX-Spaces: a  b\r\nX-One: third\r\n\r\n"
    );
    let facts = client.send("GET", request).await.unwrap().text();
    let head = weir_tests::Head { raw: facts };

    assert_eq!(head.start(), format!("GET {target} HTTP/1.1"));
    assert!(head.raw.contains("\r\nX-Spaces: a  b\r\n"), "names keep their case: {}", head.raw);
    assert_eq!(head.all("host"), ["Shop.Example:8080"]);
    assert_eq!(head.all("x-one"), ["first", "second", "third"]);
    assert_eq!(head.all("accept"), ["a, b;q=0.5"]);
    assert_eq!(head.all("cookie"), ["a=1; b=\"2\""]);
    assert_eq!(head.all("x-empty"), [""]);
    assert_eq!(head.all("x-spaces"), ["a  b"]);
    assert_eq!(head.all("content-length"), Vec::<&str>::new());
    assert_eq!(head.all("transfer-encoding"), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn hop_by_hop_fields_stay_on_their_hop_and_ours_are_added() {
    let backend = Backend::with("a", Behaviour::Facts).await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut client = Client::open(cluster.traffic()).await.unwrap();

    let request = "GET / HTTP/1.1\r\nHost: test\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
                   Proxy-Connection: keep-alive\r\nTE: trailers, gzip\r\nX-Forwarded-For: 6.6.6.6\r\n\
                   X_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\r\n";
    let head = weir_tests::Head { raw: client.send("GET", request).await.unwrap().text() };

    for gone in ["x-hop", "keep-alive", "proxy-connection", "x_forwarded_for", "x-real-ip", "forwarded"] {
        assert_eq!(head.all(gone), Vec::<&str>::new(), "{gone}");
    }
    assert!(!head.raw.contains("gzip"), "{}", head.raw);
    assert_eq!(head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(head.all("x-forwarded-host"), ["test"]);
    let via = head.all("via");
    assert!(via.len() == 1 && via[0].starts_with("1.1 weir"), "{via:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_response_headers_keep_their_order() {
    let raw =
        "HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nX-A: 1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok";
    let backend = Backend::with("a", Behaviour::Raw(raw.to_owned())).await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;

    let response = weir_tests::get(cluster.traffic(), "/").await.unwrap();

    assert_eq!(response.head.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!((response.head.get("x-a"), response.text().as_str()), (Some("1"), "ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways_at_once_with_trailers() {
    let backend = Backend::with("a", Behaviour::Mirror).await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut client = Client::open(cluster.traffic()).await.unwrap();

    let head = "POST /mirror HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\
                Trailer: x-sum\r\n\r\n";
    client.wire.send(head).await.unwrap();
    let response = client.wire.head().await.unwrap();
    assert_eq!(response.start(), "HTTP/1.1 200 OK");

    // Each piece comes back before the next one is sent: nothing on the way waits for the whole body.
    for piece in [b"one".to_vec(), b"two".to_vec(), vec![b'x'; 100_000]] {
        client.wire.send_chunk(&piece).await.unwrap();
        let mut back = Vec::new();
        while back.len() < piece.len() {
            back.extend(client.wire.chunk().await.unwrap());
        }
        assert!(back == piece);
    }
    client.wire.send("0\r\nX-Sum: 42\r\n\r\n").await.unwrap();
    assert_eq!(client.wire.chunk().await.unwrap(), b"");
    let trailers = client.wire.trailers().await.unwrap();
    assert_eq!(trailers.len(), 1, "{trailers:?}");
    assert!(trailers[0].0.eq_ignore_ascii_case("x-sum") && trailers[0].1 == "42", "{trailers:?}");

    // And the connection is good for more.
    backend.set(Behaviour::Name);
    assert_eq!(client.get("/").await.unwrap().text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_known_length_arrives_as_such() {
    let backend = Backend::start("a").await;
    backend.record();
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut client = Client::open(cluster.traffic()).await.unwrap();

    let body: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let mut request =
        format!("PUT /b HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(&body);
    assert_eq!(client.send("PUT", request).await.unwrap().status(), 200);

    let seen = backend.recorded().pop().unwrap();
    assert_eq!(seen.head.length(), Some(body.len()));
    assert!(seen.body == body);
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_100_continue_waits_for_the_word() {
    let backend = Backend::start("a").await;
    backend.record();
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut client = Client::open(cluster.traffic()).await.unwrap();

    client
        .wire
        .send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(client.wire.head().await.unwrap().start(), "HTTP/1.1 100 Continue");
    assert_eq!(client.send("POST", "body").await.unwrap().status(), 200);
    assert_eq!(backend.recorded().pop().unwrap().body, b"body");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_gets_an_answer_and_an_end() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;

    let mut client = Client::open(cluster.traffic()).await.unwrap();
    let response = client.send("GET", "GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert_eq!((response.status(), response.text().as_str()), (200, "a"));
    assert!(client.ends().await);

    let mut client = Client::open(cluster.traffic()).await.unwrap();
    for _ in 0..2 {
        let response = client.send("GET", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await.unwrap();
        assert_eq!((response.status(), response.text().as_str()), (200, "a"));
    }
}
