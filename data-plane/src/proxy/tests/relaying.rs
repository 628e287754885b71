//! What is passed on, and how.

use tokio::io::AsyncWriteExt;

use super::harness::{Backend, Proxy, field, until, via, web};

#[tokio::test]
async fn target_host_and_fields_arrive_as_they_were_sent() {
    let backend = Backend::named("a").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let response = proxy
        .ask("GET /a//b/%2F?q=1&q=%20 HTTP/1.1\r\nHost: Shop.Example:81\r\nX-One: 1\r\naccept: *\r\nX-Two: 2\r\nX-One: 3\r\n\r\n")
        .await;
    assert_eq!((response.status(), response.body.as_str()), (200, "a"));
    assert_eq!(response.field("via"), Some(via().as_str()));
    let expected = "GET /a//b/%2F?q=1&q=%20 HTTP/1.1\r\n\
        Host: Shop.Example:81\r\nX-One: 1\r\naccept: *\r\nX-Two: 2\r\nX-One: 3\r\n\
        x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: Shop.Example:81\r\n\
        via: ";
    assert_eq!(backend.heads(), [format!("{expected}{}\r\n\r\n", via())]);
}

#[tokio::test]
async fn every_method_is_relayed() {
    let backend = Backend::named("a").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "M-SEARCH"] {
        let response = client.ask(&format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(response.status(), 200, "{method}");
    }
    let methods: Vec<_> =
        backend.heads().iter().map(|head| head.split(' ').next().unwrap_or("").to_owned()).collect();
    assert_eq!(methods, ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "M-SEARCH"]);
    assert_eq!(backend.connections(), 1, "one connection serves them all");
}

#[tokio::test]
async fn absolute_form_names_the_host_and_options_star_stays() {
    let backend = Backend::named("a").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    client.ask("GET http://real.example/x?y HTTP/1.1\r\nHost: other\r\n\r\n").await;
    client.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let heads = backend.heads();
    assert!(heads[0].starts_with("GET /x?y HTTP/1.1\r\nhost: real.example\r\n"), "{}", heads[0]);
    assert!(heads[1].starts_with("OPTIONS * HTTP/1.1\r\n"), "{}", heads[1]);
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        for _ in 0..3 {
            // A chunk comes in, a chunk goes out: neither waits for the end of the other body.
            let chunk = served.bytes("1\r\nx\r\n".len()).await;
            served.send(&chunk).await;
        }
        served.send("0\r\n\r\n").await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    for _ in 0..3 {
        client.send("1\r\nx\r\n").await;
        assert_eq!(client.bytes(6).await, "1\r\nx\r\n");
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.bytes(5).await, "0\r\n\r\n");
}

#[tokio::test]
async fn a_chunked_body_of_get_is_relayed() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        let body = served.bytes("2\r\nhi\r\n0\r\n\r\n".len()).await;
        served.answer(&body).await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let response = proxy
        .ask("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
        .await;
    assert_eq!(response.body, "2\r\nhi\r\n0\r\n\r\n");
}

#[tokio::test]
async fn announced_trailers_pass_both_ways() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        let body = served.bytes("1\r\nx\r\n0\r\nx-sum: 1\r\n\r\n".len()).await;
        assert_eq!(body, "1\r\nx\r\n0\r\nx-sum: 1\r\n\r\n");
        served.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n").await;
        served.send("1\r\ny\r\n0\r\nx-end: 2\r\n\r\n").await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 1\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    let expected = "1\r\ny\r\n0\r\nx-end: 2\r\n\r\n";
    assert_eq!(client.bytes(expected.len()).await, expected);
}

#[tokio::test]
async fn head_204_and_304_have_no_body() {
    let backend = Backend::scripted(|mut served| async move {
        while let Some(head) = served.head().await {
            served
                .send(match head.split(' ').next() {
                    Some("HEAD") => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
                    Some("DELETE") => "HTTP/1.1 204 No Content\r\n\r\n",
                    _ => "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n",
                })
                .await;
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.contains("content-length: 5\r\n"), "{head}");
    client.send("DELETE / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 204") && !head.contains("content-length"), "{head}");
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 304"));
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn http_1_0_is_kept_alive_only_if_it_asks() {
    let backend = Backend::named("a").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    let kept = client.ask("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
    assert_eq!((kept.status(), kept.field("connection")), (200, Some("keep-alive")));
    let last = client.ask("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(last.body, "a");
    assert_eq!(client.rest().await, "");
    assert!(backend.heads()[0].starts_with("GET / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_body_of_unknown_length_reaches_http_1_0_until_the_close() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let head = client.head().await;
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(client.rest().await, "hi");
}

#[tokio::test]
async fn a_body_that_waits_for_100_is_asked_for() {
    let backend = Backend::scripted(|mut served| async move {
        let head = served.head().await.unwrap();
        assert!(head.contains("expect: 100-continue"), "{head}");
        served.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = served.bytes(2).await;
        served.answer(&body).await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 100 Continue\r\n"));
    assert_eq!(client.ask("hi").await.body, "hi");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::scripted(|mut served| async move {
        while let Some(head) = served.head().await {
            let target = head.split(' ').nth(1).unwrap_or("").to_owned();
            served.answer(&target).await;
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    let requests: Vec<_> = (0..20).map(|i| format!("GET /{i} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    client.send(&requests.concat()).await;
    for i in 0..20 {
        assert_eq!(client.response().await.body, format!("/{i}"));
    }
}

#[tokio::test]
async fn round_robin_is_strict_whichever_worker_serves() {
    let backends = [Backend::named("a").await, Backend::named("b").await, Backend::named("c").await];
    let service = web(&backends.each_ref().map(|backend| backend.address));
    let proxy = Proxy::of(vec![service]).await;
    let mut order = String::new();
    for _ in 0..12 {
        order.push_str(&proxy.ask("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.body);
    }
    // The order is that of the names, which are addresses here.
    let turn: std::collections::BTreeSet<_> = order[..3].chars().collect();
    assert_eq!((turn.len(), &order[3..]), (3, &order[..9]), "{order}");
}

#[tokio::test]
async fn requests_in_flight_count_to_the_end_of_the_body() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na").await;
        served.bytes(1).await;
        served.send("b").await;
    })
    .await;
    let service = web(&[backend.address]);
    let endpoint = super::harness::endpoint(&service, backend.address);
    let proxy = Proxy::of(vec![service]).await;
    let mut client = proxy.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.bytes(1).await, "a");
    assert_eq!((endpoint.in_flight(), proxy.workers.in_flight()), (1, 1));
    client.0.write_all(b"x").await.unwrap();
    assert_eq!(client.bytes(1).await, "b");
    until(|| endpoint.in_flight() == 0 && proxy.workers.in_flight() == 0).await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_ends_both_connections() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.answer("enough").await;
        served.rest().await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    let response = client.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\n\r\nhello").await;
    assert_eq!(response.body, "enough");
    assert_eq!(client.rest().await, "");
    until(|| proxy.workers.counters().upstream_open == 0).await;
}

/// In a request, in a response before the last one, and in the last one.
#[tokio::test]
async fn what_poses_as_another_field_is_dropped_and_counted() {
    let backend = Backend::scripted(|mut served| async move {
        while served.head().await.is_some() {
            served.send("HTTP/1.1 103 Hints\r\nTransfer_Encoding: x\r\n\r\n").await;
            served
                .send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nContent_Length: 5\r\nX_Other: 1\r\n\r\n")
                .await;
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    let hints = client
        .ask("GET / HTTP/1.1\r\nHost: web\r\nX_Real_IP: 1\r\nX_Forwarded_Port: 1\r\nX_Other: 1\r\n\r\n")
        .await;
    let answer = client.response().await;
    assert_eq!((hints.status(), hints.field("transfer_encoding")), (103, None));
    assert_eq!((answer.field("content_length"), answer.field("x_other")), (None, Some("1")));
    let heads = backend.heads();
    assert_eq!((field(&heads[0], "x_real_ip"), field(&heads[0], "x_other")), (None, Some("1")));
    until(|| proxy.workers.counters().aliases_dropped == 4).await;
}
