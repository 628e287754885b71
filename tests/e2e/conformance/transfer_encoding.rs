//! `chunked`, once, last, alone, and never in HTTP/1.0: RFC 9112 sections 6.1 and 7.

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_final_chunked() {
    let mut stage = Stage::start().await;
    for (fields, status) in [
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\ntransfer-encoding: identity", 400),
        ("Transfer-Encoding: ,chunked", 400),
        ("Transfer-Encoding: chunked,", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: xchunked", 400),
        ("Transfer-Encoding: chunkedx", 400),
        ("Transfer-Encoding: chunked;q=1", 400),
        ("Transfer-Encoding: chunked, gzip", 400),
        ("Transfer-Encoding: chunked, identity", 400),
        ("Transfer-Encoding: gzip", 400),
        ("Transfer-Encoding: identity", 400),
        ("Transfer-Encoding: \"chunked\"", 400),
        ("Transfer-Encoding: chun ked", 400),
        ("Transfer-Encoding: chunked chunked", 400),
        ("Transfer-Encoding: \x0bchunked", 400),
        ("Transfer-Encoding: chunked\x0c", 400),
        ("Transfer-Encoding:\u{a0}chunked", 400),
        ("Transfer-Encoding:", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding\t: chunked", 400),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: br, gzip, chunked", 501),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: web\r\n{fields}\r\n\r\n0\r\n\r\n");
        stage.refuses(fields, request, status).await;
    }
    for field in ["Transfer-Encoding: chunked", "Transfer-Encoding: Chunked", "transfer-encoding:chunked"] {
        let request = format!("POST / HTTP/1.0\r\nHost: web\r\n{field}\r\n\r\n0\r\n\r\n");
        stage.refuses(&format!("{field} in HTTP/1.0"), request, 400).await;

        let request = format!("POST / HTTP/1.1\r\nHost: web\r\n{field}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let seen = stage.relays(field, request).await;
        let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
        let once = text.matches("transfer-encoding: chunked\r\n").count() == 1;
        stage.check(once && !text.contains("content-length"), || format!("{field}: {text}"));
    }
    stage.end();
}
