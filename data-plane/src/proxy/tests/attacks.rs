//! Clients that are slow, hasty or odd, and what their connections come to.

use std::sync::Arc;

use rustls::version::TLS13;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Duration,
};
use tokio_rustls::TlsConnector;
use weir_proto::{Limits, ListenerProtocol, ListenerTls, TlsVersion};

use super::harness::{Backend, Proxy, service, until, web, within};
use crate::{
    access_log::AccessLog,
    reason::Reason,
    tls::{
        Server,
        testing::{Authority, Folder, client},
    },
    worker::Terms,
};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_client_by_tls_that_reads_nothing_is_given_up() {
    let backend = Backend::scripted(|mut served| async move {
        let body = "x".repeat(30_000);
        while served.head().await.is_some() {
            served.answer(&body).await;
        }
    })
    .await;
    let root = Authority::new("root");
    let service = web(&[backend.address]);
    let counters = Arc::clone(&service.counters);
    let limits = Limits { send_timeout: Duration::from_millis(200), ..Limits::default() };
    let proxy = Proxy::of(vec![service]).await;
    speak_tls(&proxy, &root, limits).await;
    let socket = TcpStream::connect(proxy.address).await.unwrap();
    let connector = TlsConnector::from(client(&root, &[&TLS13], &[]));
    let name = ServerName::try_from("web.example").unwrap();
    let mut client = within(connector.connect(name, socket)).await.unwrap();
    // More answers than all that lies between has room for, each small enough to wait on the proxy's side of the socket.
    within(client.write_all(GET.repeat(1_000).as_bytes())).await.unwrap();
    until(|| counters.sum().reasons[Reason::ClientStalled as usize] == 1).await;
    until(|| proxy.workers.in_flight() == 0).await;
}

/// Lets a proxy speak TLS, with a certificate for `web.example`.
async fn speak_tls(proxy: &Proxy, root: &Authority, limits: Limits) {
    let folder = Folder::new();
    let certificates = vec![folder.issue("web", root, &["web.example"])];
    let settings = ListenerTls { certificates, min_version: TlsVersion::Tls12, client_certificate: None };
    let tls = Some(Server::load(&settings, ListenerProtocol::Http1).unwrap());
    let terms = Terms { protocol: ListenerProtocol::Http1, tls, ..Terms::plain("test", limits) };
    proxy.workers.update(proxy.address, &terms).await;
    proxy.workers.barrier().await;
}

#[tokio::test]
async fn http_in_the_clear_where_tls_is_spoken_is_told_so() {
    let proxy = Proxy::of(vec![]).await;
    speak_tls(&proxy, &Authority::new("root"), Limits::default()).await;
    for words in [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\n",
        "M-SEARCH * ",
        "GE",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        let mut client = proxy.client().await;
        let answer = client.ask(words).await;
        assert_eq!(answer.outcome(), (400, "tls_expected"), "{words:?}: {answer:?}");
        assert_eq!(
            (answer.field("connection"), client.rest().await.as_str()),
            (Some("close"), ""),
            "{words:?}"
        );
    }
    until(|| proxy.workers.counters().unrouted.reasons[Reason::TlsExpected as usize] == 5).await;
}

#[tokio::test]
async fn what_is_neither_tls_nor_http_gets_the_alert_of_tls() {
    let proxy = Proxy::of(vec![]).await;
    speak_tls(&proxy, &Authority::new("root"), Limits::default()).await;
    for words in [
        &b"\0\0\0\0\0\0"[..],
        b"hello\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\0\x05nonsense",
        b"\x80\x2e\x01\x03\x01",
    ] {
        let mut client = proxy.client().await;
        within(client.0.write_all(words)).await.unwrap();
        let mut came = Vec::new();
        // A reset may follow the alert: not all that was sent was read.
        let _ = within(client.0.read_to_end(&mut came)).await;
        assert!(came.is_empty() || came.starts_with(b"\x15\x03"), "{words:?}: {came:?}");
    }
    until(|| proxy.workers.counters().tls_failures == 5).await;
}

#[tokio::test]
async fn a_line_end_too_many_is_no_slow_request() {
    let backend = Backend::named("a").await;
    let limits = Limits { header_timeout: Duration::from_millis(100), ..Limits::default() };
    let proxy = Proxy::limited(vec![web(&[backend.address])], limits).await;
    let mut client = proxy.client().await;
    assert_eq!(client.ask(&format!("{GET}\r\n")).await.body, "a");
    // Another one is given up meanwhile.
    let mut slow = proxy.client().await;
    assert_eq!(slow.ask("GET /").await.status(), 408);
    assert_eq!(slow.rest().await, "");
    assert_eq!(client.ask(GET).await.body, "a");
}

#[tokio::test]
async fn a_head_after_a_line_end_is_told_that_it_is_too_large() {
    let limits = Limits { max_header_bytes: 128 * 1024, ..Limits::default() };
    let proxy = Proxy::limited(vec![], limits).await;
    let start = "GET / HTTP/1.1\r\nx: ";
    let head = format!("\r\n{start}{}", "x".repeat(128 * 1024 - start.len()));
    assert_eq!(proxy.ask(&head).await.status(), 431);
}

#[tokio::test]
async fn a_content_type_excuses_no_silence() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.rest().await;
    })
    .await;
    let limits = Limits { body_idle_timeout: Duration::from_millis(100), ..Limits::default() };
    let service = web(&[backend.address]);
    let counters = Arc::clone(&service.counters);
    let proxy = Proxy::limited(vec![service], limits).await;
    let request =
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 5\r\n\r\nab";
    proxy.ask(request).await;
    until(|| counters.sum().reasons[Reason::RequestBodyTimeout as usize] == 1).await;
}

#[tokio::test]
async fn what_is_no_request_is_logged_too() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = AccessLog::file(file.path()).unwrap();
    let proxy = Proxy::bare(Limits::default(), Some(&log)).await;
    assert_eq!(proxy.ask("GET / HTTP/1.1\r\nsecret name: x\r\n\r\n").await.status(), 400);
    let text = || std::fs::read_to_string(file.path()).unwrap();
    until(|| text().lines().count() == 1).await;
    let line: serde_json::Value = serde_json::from_str(&text()).unwrap();
    assert_eq!((&line["status"], &line["reason"]), (&400.into(), &"request_malformed".into()));
    assert!(line.get("path").is_none() && !text().contains("secret"), "{line}");
}

#[tokio::test]
async fn a_client_that_writes_all_before_it_reads_gets_its_answer() {
    let proxy = Proxy::limited(
        vec![service("web", &[], |_| {})],
        Limits { max_request_body_bytes: Some(1), ..Limits::default() },
    )
    .await;
    let mut client = proxy.client().await;
    let body = vec![b'x'; 12 << 20];
    client.send(&format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    within(client.0.write_all(&body)).await.unwrap();
    assert_eq!(client.response().await.status(), 413);
    let mut rest = Vec::new();
    assert_eq!(within(client.0.read_to_end(&mut rest)).await.unwrap(), 0);
}
