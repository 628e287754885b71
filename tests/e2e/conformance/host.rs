//! Whom a request is for must be said once, and clearly: RFC 9112 section 3.2, RFC 9110 section 7.2.

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_good_host() {
    let mut stage = Stage::start().await;

    stage.refuses("no Host", "GET / HTTP/1.1\r\n\r\n", 400).await;
    stage.refuses("two Hosts", "GET / HTTP/1.1\r\nHost: web\r\nHost: other\r\n\r\n", 400).await;
    stage.refuses("two equal Hosts", "GET / HTTP/1.1\r\nHost: web\r\nHost: web\r\n\r\n", 400).await;
    stage.refuses("two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: web\r\nhost: web\r\n\r\n", 400).await;
    for host in [
        "",
        " ",
        "user@web",
        "user:word@web",
        "web/",
        "web/path",
        "web,web",
        "web, web",
        "web web",
        "web\tweb",
        "web?",
        "web#",
        "web\\",
        "web:port",
        "web:99999",
        "web:80:80",
        "web:-1",
        ":80",
        "[::1",
        "::1",
        "[web]",
        "http://web",
        "<web>",
        "we\"b",
        "wéb",
        "web;",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stage.refuses(&format!("Host: {host:?}"), request, 400).await;
    }
    stage.refuses("Host: a\\xff", b"GET / HTTP/1.1\r\nHost: a\xff\r\n\r\n", 400).await;
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_may_omit_it() {
    let mut stage = Stage::start().await;

    stage.relays("no Host", "GET / HTTP/1.0\r\n\r\n").await;
    stage.relays("a Host", "GET / HTTP/1.0\r\nHost: web\r\n\r\n").await;
    for host in ["web", "WEB", "web:8080", "web.", "web:"] {
        stage.relays(host, format!("GET / HTTP/1.1\r\nhOST:{host} \t\r\n\r\n")).await;
    }
    stage.end();
}
