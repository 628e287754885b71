//! The program that answers where a control plane was expected: whoever mixes up two ports is told which one is meant.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The answer of a control plane to HTTP/1 on its gRPC port.
pub const GRPC_PORT: &str = "this is the gRPC port of a Weir control plane, which speaks HTTP/2 only: use the program \
                             `weir`, or a gRPC client; pages for people and for Prometheus are on the admin port \
                             (7401, unless --admin says otherwise)";

/// Nobody waits longer for it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Enough for every head, and for the pages by which daemons are known.
const MOST_BYTES: u64 = 4_096;
/// A request that no proxy passes on, because it names no host, and that our own pages answer all the same.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";

/// Finds out what listens at `host:port`, for people who meant a control plane. None if it is one, or cannot be told.
pub async fn found_at(host: &str, port: u16) -> Option<&'static str> {
    // As it stands in a URL.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let answer = timeout(PATIENCE, answer(host, port)).await.ok()?.ok()?;
    recognised(&answer)
}

async fn answer(host: &str, port: u16) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    // What came before a reset counts.
    let _ = stream.take(MOST_BYTES).read_to_end(&mut answer).await;
    Ok(answer)
}

fn recognised(answer: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(answer);
    let has = |part: &str| text.contains(part);
    if has(GRPC_PORT) {
        return None;
    }
    if has("\n/livez ") && has("weir-control-plane") {
        return Some(
            "that is the admin page of a control plane; its gRPC port is meant, 7400 unless --listen says otherwise",
        );
    }
    if has("\n/livez ") && has("weir-data-plane") {
        return Some(
            "that is the admin page of a proxy; the gRPC port of a control plane is meant, 7400 unless its --listen \
             says otherwise",
        );
    }
    if has("\r\n\r\nweir: ") {
        return Some(
            "that is where a proxy takes traffic; the gRPC port of a control plane is meant, 7400 unless its --listen \
             says otherwise",
        );
    }
    if text.starts_with("HTTP/1.") {
        return Some("that is an HTTP server, and no control plane");
    }
    // A record of TLS with an alert, as servers answer what is no TLS (RFC 8446 section 6).
    answer.starts_with(&[0x15, 0x03]).then_some("that server speaks TLS, which this version does not")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn who_answers_is_recognised_by_what_it_says() {
        let page = |index: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{index}");
        let said = |answer: &str| recognised(answer.as_bytes()).unwrap_or_default();
        assert!(said(&page("weir-control-plane\n\n/livez    200")).contains("admin page of a control plane"));
        assert!(said(&page("weir-data-plane\n\n/livez     200")).contains("admin page of a proxy"));
        let refusal = "HTTP/1.1 400 Bad Request\r\n\r\nweir: the request names no host (host_missing)\n";
        assert!(said(refusal).contains("where a proxy takes traffic"));
        assert!(said("HTTP/1.1 404 Not Found\r\n\r\nnginx").contains("an HTTP server"));
        assert_eq!(recognised(format!("HTTP/1.1 400 Bad Request\r\n\r\n{GRPC_PORT}\n").as_bytes()), None);
        assert!(recognised(&[0x15, 3, 3, 0, 2, 2, 40]).is_some_and(|said| said.contains("TLS")));
        assert_eq!((recognised(b""), recognised(b"\0\0\x12\x04")), (None, None));
    }

    #[tokio::test]
    async fn nobody_is_waited_for_who_says_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        tokio::time::pause();
        assert_eq!(found_at("127.0.0.1", port).await, None);
        drop(listener);
        assert_eq!(found_at("[::1]", port).await, None);
    }
}
