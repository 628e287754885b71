//! A declared length that can be read in two ways is not read at all: RFC 9112 section 6.3, RFC 9110 section 8.6.

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn content_length_beside_transfer_encoding() {
    let mut stage = Stage::start().await;
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "content-length: 5\r\nX: y\r\nTRANSFER-ENCODING: Chunked",
        "Content-Length: 5\r\nTransfer-Encoding: identity",
        "Content-Length: 5\r\nTransfer-Encoding:",
        "Content-Length: x\r\nTransfer-Encoding: chunked",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: web\r\n{fields}\r\n\r\n0\r\n\r\n");
        stage.refuses(fields, request, 400).await;
        let request = format!("POST / HTTP/1.0\r\nHost: web\r\n{fields}\r\n\r\n0\r\n\r\n");
        stage.refuses(&format!("{fields} in HTTP/1.0"), request, 400).await;
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn content_lengths_that_differ_or_are_no_number() {
    let mut stage = Stage::start().await;
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nX: y\r\ncontent-length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 5,5",
        "Content-Length: 5, 6",
        "Content-Length: ,5",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: -0",
        "Content-Length: 0x5",
        "Content-Length: 1_0",
        "Content-Length: 5 5",
        "Content-Length: 5.0",
        "Content-Length: 5e0",
        "Content-Length: \"5\"",
        "Content-Length: 5;",
        "Content-Length: five",
        "Content-Length:",
        "Content-Length: \t",
        "Content-Length: 9223372036854775808",
        "Content-Length: 18446744073709551616",
        "Content-Length: 18446744073709551621",
        "Content-Length: 99999999999999999999999999999999999999999",
        "Content-Length: ٥",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: web\r\n{fields}\r\n\r\nhello");
        stage.refuses(fields, request, 400).await;
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_a_good_length_arrive() {
    let mut stage = Stage::start().await;
    for (field, body) in [
        ("Content-Length: 5", "hello"),
        ("content-length:5", "hello"),
        ("Content-Length: \t5 \t", "hello"),
        ("Content-Length: 0", ""),
        ("Content-Length: 005", "hello"),
    ] {
        for method in ["POST", "GET", "DELETE", "PURGE"] {
            let request = format!("{method} / HTTP/1.1\r\nHost: web\r\n{field}\r\n\r\n{body}");
            let seen = stage.relays(&format!("{method} {field}"), request).await;
            let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
            let length = format!("content-length: {}\r\n", body.len());
            stage.check(text.contains(&length), || format!("{method} {field}: {text}"));
            stage.check(text.ends_with(&format!("\r\n\r\n{body}")), || format!("{method} {field}: {text}"));
        }
    }
    stage.end();
}
