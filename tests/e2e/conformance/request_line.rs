//! Methods, targets and versions: RFC 9112 sections 2.3 and 3, RFC 9110 section 9.

use weir_proto::v1;
use weir_tests::End;

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn methods() {
    let mut stage = Stage::start().await;
    for method in ["G@T", "G ET", "GET\t", "\"GET\"", "G{T", "G,T", "GÉT", "", "G\x01T", "GET:", "(GET)"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: web\r\n\r\n");
        stage.refuses(&format!("{method:?}"), request, 400).await;
    }
    for method in ["get", "PURGE", "M-SEARCH", "X", "!#$%&'*+-.^_`|~", "PROPFIND", "UPDATEREDIRECTREF"] {
        let seen = stage.relays(method, format!("{method} /a HTTP/1.1\r\nHost: web\r\n\r\n")).await;
        let text = String::from_utf8_lossy(&seen).into_owned();
        stage.check(text.starts_with(&format!("{method} /a HTTP/1.1\r\n")), || format!("{method}: {text}"));
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_and_trace_are_not_served() {
    let mut stage = Stage::start().await;
    for request in [
        "CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: web\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: web\r\nMax-Forwards: 0\r\n\r\n",
    ] {
        let answer = stage.client().await.send("GET", request).await.unwrap_or_default();
        let allow = answer.head.get("allow").is_some_and(|value| value.contains("GET"));
        stage.check(answer.status() == 405 && allow, || format!("{request:?}: {:?}", answer.head.raw));
    }
    stage.check(stage.backend.complete().is_empty(), || "the backend got one".to_owned());
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn versions() {
    let mut stage = Stage::start().await;
    for (line, status) in [
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/3.0", 505),
        ("GET / HTTP/0.9", 400),
        ("GET /", 400),
        ("GET", 400),
        ("GET / ", 400),
        ("GET / HTTP/1.10", 400),
        ("GET / HTTP/01.1", 400),
        ("GET / HTTP/1", 400),
        ("GET / HTTP/1.", 400),
        ("GET / HTTP/1.x", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET / HTTP/1.1\t", 400),
        ("GET / HTTP/1.1 HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP 1.1", 400),
        ("GET / HTTPS/1.1", 400),
        ("GET / ICAP/1.0", 400),
        ("utter nonsense", 400),
        ("\u{1f4a9}", 400),
    ] {
        stage.refuses(&format!("{line:?}"), format!("{line}\r\nHost: web\r\n\r\n"), status).await;
    }
    for version in ["1.2", "1.9"] {
        let seen = stage.relays(version, format!("GET / HTTP/{version}\r\nHost: web\r\n\r\n")).await;
        let text = String::from_utf8_lossy(&seen).into_owned();
        stage.check(text.starts_with("GET / HTTP/1.1\r\n"), || format!("HTTP/{version}: {text}"));
    }
    stage.refuses("a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400).await;
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn targets() {
    let mut stage = Stage::start().await;
    for target in [
        "*",
        "/a#b",
        "/#",
        "/a b",
        "/a\tb",
        "/é",
        "/\x7f",
        "/\x01",
        "a",
        "?a",
        "#",
        "",
        "web:80",
        "\\",
        "http:",
        "http://web/é",
        "http://web/#a",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: web\r\n\r\n");
        stage.refuses(&format!("{target:?}"), request, 400).await;
    }
    stage.refuses("/\\xff", b"GET /\xff HTTP/1.1\r\nHost: web\r\n\r\n", 400).await;
    stage.refuses("a second blank", "GET  / HTTP/1.1\r\nHost: web\r\n\r\n", 400).await;
    stage.refuses("a blank more", "GET /  HTTP/1.1\r\nHost: web\r\n\r\n", 400).await;
    stage.refuses("a tab", "GET\t/ HTTP/1.1\r\nHost: web\r\n\r\n", 400).await;
    stage.refuses("a blank first", " GET / HTTP/1.1\r\nHost: web\r\n\r\n", 400).await;

    for target in
        ["/", "//", "//other/a", "/%", "/%00", "/a?b?c=%zz&[]", "/..//.", "/a;b,c:d@e", "/?", "/~!$&'()*+,;="]
    {
        let seen = stage.relays(target, format!("GET {target} HTTP/1.1\r\nHost: web\r\n\r\n")).await;
        let text = String::from_utf8_lossy(&seen).into_owned();
        stage.check(text.starts_with(&format!("GET {target} HTTP/1.1\r\n")), || format!("{target}: {text}"));
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_speaks_http_1_alone() {
    let mut stage = Stage::start().await;
    let protocol = v1::ListenerProtocol::Http1.into();
    stage.traffic = stage.cluster.listen(v1::Listener { protocol, ..v1::Listener::default() }).await;
    for (what, bytes) in [
        ("a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".as_slice()),
        ("a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("a TLS ClientHello of SSL 2", b"\x80\x2e\x01\x03\x01"),
    ] {
        let got = stage.send(bytes).await;
        let refused = matches!(got.response.status(), 0 | 400 | 505) && got.end != End::Never;
        stage.check(refused && got.rest.is_empty(), || format!("{what}: {}", got.told()));
    }
    stage.relays("HTTP/1.1", "GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    stage.end();
}
