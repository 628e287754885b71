//! Lines that two readers would split or name differently: RFC 9112 sections 2.2 and 5, RFC 9110 section 5.5.

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_before_the_colon() {
    let mut stage = Stage::start().await;
    for line in [
        "X-A : 1",
        "X-A\t: 1",
        "X-A  : 1",
        "X A: 1",
        "Host : web",
        " X-A: 1",
        ": 1",
        " : 1",
        "X-A",
        "X-A 1",
        "X(A): 1",
        "X@A: 1",
        "X/A: 1",
        "X[A]: 1",
        "X{A}: 1",
        "X=A: 1",
        "X;A: 1",
        "X,A: 1",
        "X\"A: 1",
        "X\\A: 1",
        "Xé: 1",
        "X\x01A: 1",
        "X\x7fA: 1",
    ] {
        // After another field, since the first line may have rules of its own; and as that first line.
        for request in [
            format!("GET / HTTP/1.1\r\nHost: web\r\n{line}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\n{line}\r\nHost: web\r\n\r\n"),
        ] {
            stage.refuses(&format!("{request:?}"), request, 400).await;
        }
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_goes_on_in_the_next_line() {
    let mut stage = Stage::start().await;
    for request in [
        "GET / HTTP/1.1\r\nHost: web\r\nX-A: 1\r\n 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nX-A: 1\r\n\t2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nX-A:\r\n 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\n X-A: 1\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: web\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nX-A: 1\r\n \r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\n 0\r\n\r\nhello",
    ] {
        stage.refuses(&format!("{request:?}"), request, 400).await;
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_line_ends_and_control_characters() {
    let mut stage = Stage::start().await;
    for request in [
        "GET / HTTP/1.1\nHost: web\n\n",
        "GET / HTTP/1.1\nHost: web\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\nX-A: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\n\n",
        "GET / HTTP/1.1\r\nHost: web\r\nX-A: 1\n\nGET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n",
        "GET / HTTP/1.1\rHost: web\r\r",
        "GET / HTTP/1.1\r\nHost: web\r\nX-A: 1\rX-B: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nX-A: 1\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\n\rX-A: 1\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: web\r\n\r\n",
        "GET /\r HTTP/1.1\r\nHost: web\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: web\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nX-A: 1\x002\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nX-\0A: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nX-A: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nX-A: a\x0bb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nX-A: a\x1b[2Jb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nX-A: a\x7fb\r\n\r\n",
    ] {
        stage.refuses(&format!("{request:?}"), request, 400).await;
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_but_good_fields_arrive_as_they_are() {
    let mut stage = Stage::start().await;
    for line in
        ["X-A: a\tb", "X-A:", "!#$%&'*+-.^_`|~09aZ: 1", "x_y: 1", "X-A: :;,=\"\\()<>@", "X-Long-Enough: é"]
    {
        let request = format!("GET / HTTP/1.1\r\nHost: web\r\n{line}\r\n\r\n");
        let seen = stage.relays(line, request).await;
        let text = String::from_utf8_lossy(&seen).into_owned();
        let arrived = text.lines().any(|seen| seen.trim_end() == line.trim_end());
        stage.check(arrived, || format!("{line}: {text}"));
    }
    let seen = stage.relays("obs-text", b"GET / HTTP/1.1\r\nHost: web\r\nX-A: a\xff\x80b\r\n\r\n").await;
    stage.check(seen.windows(4).any(|window| window == b"a\xff\x80b"), || format!("obs-text: {seen:?}"));
    stage.end();
}
