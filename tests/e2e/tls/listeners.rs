//! Which certificate and which version of HTTP a client gets.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::ClientConnection;
use rustls_pki_types::ServerName;

use super::stage::{Stage, ask, shake, shown, told};

#[tokio::test(flavor = "multi_thread")]
async fn each_client_gets_the_certificate_and_the_protocol_that_it_asks_for() {
    let stage = Stage::start().await;
    let one = stage.files("one", &["one.example"]).yaml();
    let wild = stage.files("wild", &["*.wild.example"]).yaml();
    let address = stage.listen(&format!("{{ certificates: [ {one}, {wild} ] }}")).await;

    for host in ["one.example", "a.wild.example"] {
        for (version, spoken) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
            for most in ["1.2", "1.3"] {
                let options = [version, "--tls-max", most, "-w", "%{http_version} %{num_connects}"];
                let output = stage.curl(address, host, &options).await;
                let text = told(&output);
                let row = format!("{host} {version} TLS {most}: {text}");
                assert!(output.status.success(), "{row}");
                assert!(text.contains("GET / HTTP/1.1\r\n"), "{row}");
                assert!(text.contains("x-forwarded-proto: https\r\n"), "{row}");
                assert!(text.contains(&format!("ost: {host}:{}\r\n", address.port())), "{row}");
                assert!(text.contains(&format!("\r\n\r\n{spoken} 1")), "{row}");
            }
        }
    }
    let output = stage.curl(address, "b.a.wild.example", &[]).await;
    assert_eq!(output.status.code(), Some(60), "a wildcard is for one label: {}", told(&output));
    let output = stage.curl(address, "one.example", &["--tls-max", "1.1"]).await;
    assert_eq!(output.status.code(), Some(35), "no handshake below 1.2: {}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_names_nobody_gets_the_first_certificate() {
    let stage = Stage::start().await;
    let (first, second) = (stage.authority.issue(&["one.example"]), stage.authority.issue(&["two.example"]));
    let files = [&first, &second].map(|issued| {
        let name = if std::ptr::eq(issued, &raw const first) { "first" } else { "second" };
        issued.write(stage.path(), name).yaml()
    });
    let address = stage.listen(&format!("{{ certificates: [ {} ] }}", files.join(", "))).await;
    let mut config = stage.authority.trusted();
    let mut stream = shake(address, "two.example", &Arc::new(config.clone())).await.unwrap();
    assert_eq!(shown(&stream), second.der);
    assert!(ask(&mut stream, "two.example").await.unwrap().starts_with("HTTP/1.1 200"));

    config.enable_sni = false;
    let mut stream = shake(address, "one.example", &Arc::new(config)).await.unwrap();
    assert_eq!(shown(&stream), first.der);
    assert!(ask(&mut stream, "one.example").await.unwrap().starts_with("HTTP/1.1 200"));
}

/// The last of the handshake and the first of HTTP are often in one segment: nothing more comes to wake the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_one_segment_with_the_end_of_the_handshake_is_answered() {
    let stage = Stage::start().await;
    let files = stage.files("one", &["one.example"]).yaml();
    let address = stage.listen(&format!("{{ certificates: [ {files} ] }}")).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for protocol in ["http/1.1", "h2"] {
            let config = stage.authority.trusted_with(&[version], &[protocol]);
            let name = ServerName::try_from("one.example").unwrap();
            let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
            let answer = tokio::task::spawn_blocking(move || {
                connection.writer().write_all(first_words(protocol)).unwrap();
                at_once(&mut connection, TcpStream::connect(address).unwrap())
            });
            let answer = answer.await.unwrap();
            let text = String::from_utf8_lossy(&answer);
            assert!(text.contains("x-forwarded-proto: https"), "{version:?} {protocol}: {text:?}");
        }
    }
}

/// A whole request, which ends the connection where a request can.
fn first_words(protocol: &str) -> &'static [u8] {
    match protocol {
        // Preface, SETTINGS, HEADERS with END_STREAM: GET, https, / from the static table, the authority as a literal.
        "h2" => {
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
              \0\0\x10\x01\x05\0\0\0\x01\x82\x87\x84\x41\x0bone.example"
        }
        _ => b"GET / HTTP/1.1\r\nHost: one.example\r\nConnection: close\r\n\r\n",
    }
}

/// Runs a connection by one write for each time that there is something to say, until the backend's words are there or
/// nothing more comes.
fn at_once(connection: &mut ClientConnection, mut stream: TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(weir_tests::PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = Vec::new();
    loop {
        let mut flight = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut flight).unwrap();
        }
        stream.write_all(&flight).unwrap();
        if connection.read_tls(&mut stream).unwrap_or(0) == 0 {
            return answer;
        }
        connection.process_new_packets().unwrap();
        // Nothing yet, or the end: both are told by the next round.
        let _ = connection.reader().read_to_end(&mut answer);
        if answer.windows(5).any(|window| window == b"https") {
            return answer;
        }
    }
}
