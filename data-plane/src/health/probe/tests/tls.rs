//! Probes of services that have TLS.

use tokio_rustls::TlsAcceptor;
use weir_proto::{ListenerProtocol, ListenerTls, ServiceTls, TlsVersion};

use super::*;
use crate::tls::{
    Client, Server,
    testing::{Authority, Folder},
};

/// Whoever trusts `root`, and a backend at 127.0.0.1 that it vouches for.
struct Trust {
    folder: Folder,
    root: Authority,
}

impl Trust {
    fn new() -> Self {
        Self { folder: Folder::new(), root: Authority::new("root") }
    }

    fn client(&self, protocol: ServiceProtocol) -> Arc<Client> {
        let ca = Some(self.folder.write("ca.pem", &self.root.certificate()));
        Client::load(&ServiceTls { ca, ..ServiceTls::default() }, protocol).unwrap()
    }

    /// Answers by HTTP/1 what it is told, and by HTTP/2 that it is there.
    async fn backend(&self, protocol: ListenerProtocol) -> Backend {
        let certificates = vec![self.folder.issue("web", &self.root, &["127.0.0.1"])];
        let settings = ListenerTls { certificates, min_version: TlsVersion::Tls12, client_certificate: None };
        let server = Server::load(&settings, protocol).unwrap();
        Backend::scripted(move |stream, heads| {
            let acceptor = TlsAcceptor::from(server.config());
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let chosen = stream.get_ref().1.alpn_protocol().map(String::from_utf8_lossy);
                heads.lock().unwrap().push(format!("{chosen:?}"));
                if chosen.as_deref() == Some("h2") {
                    drop(chosen);
                    super::http2::serve(stream, |request, mut respond| async move {
                        assert_eq!(request.uri().scheme_str(), Some("https"));
                        let mut out = respond.send_response(http::Response::new(()), false).unwrap();
                        out.send_data("ok".into(), true).unwrap();
                    })
                    .await;
                } else {
                    drop(chosen);
                    let _ = stream.read(&mut [0; 1024]).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                    let _ = stream.shutdown().await;
                }
            }
        })
        .await
    }
}

fn with_tls(question: Question, tls: Arc<Client>) -> Question {
    Question { tls: Some(tls), ..question }
}

fn says_ok() -> Question {
    http(|probe| probe.expected_body = "ok".into())
}

#[tokio::test]
async fn backends_are_asked_by_the_services_tls() {
    let trust = Trust::new();
    let backend = trust.backend(ListenerProtocol::Auto).await;
    let http1 = with_tls(says_ok(), trust.client(ServiceProtocol::Http1));
    assert_eq!(http1.ask(backend.address).await, Outcome::Passed);
    let http2 = with_tls(over_http2(says_ok()), trust.client(ServiceProtocol::Http2));
    assert_eq!(http2.ask(backend.address).await, Outcome::Passed);
    let tcp = with_tls(question(Probe::Tcp), trust.client(ServiceProtocol::Http1));
    assert_eq!(tcp.ask(backend.address).await, Outcome::Passed);
    let call = with_tls(super::grpc::call(), trust.client(ServiceProtocol::Http1));
    assert_eq!(call.ask(backend.address).await, failed("the answer is not valid gRPC"), "but HTTP/2");
    let chosen = backend.heads.lock().unwrap().clone();
    assert_eq!(chosen, [r#"Some("http/1.1")"#, r#"Some("h2")"#, r#"Some("http/1.1")"#, r#"Some("h2")"#]);
}

#[tokio::test]
async fn who_is_not_trusted_or_speaks_something_else_is_not_well() {
    let (trust, other) = (Trust::new(), Trust::new());
    let backend = other.backend(ListenerProtocol::Http1).await;
    for probe in [says_ok(), question(Probe::Tcp)] {
        let question = with_tls(probe, trust.client(ServiceProtocol::Http1));
        let Outcome::Failed(reason) = question.ask(backend.address).await else { panic!("it is trusted") };
        assert!(reason.starts_with("TLS: invalid peer certificate: "), "{reason}");
    }
    // That of a server that knows no ALPN but for HTTP/1.
    let question = with_tls(over_http2(says_ok()), other.client(ServiceProtocol::Http2));
    let Outcome::Failed(reason) = question.ask(backend.address).await else { panic!("it speaks HTTP/2") };
    assert!(reason.starts_with("TLS: "), "{reason}");
    let plain = Backend::scripted(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let question = with_tls(says_ok(), trust.client(ServiceProtocol::Http1));
    let Outcome::Failed(reason) = question.ask(plain.address).await else { panic!("it speaks TLS") };
    assert!(reason.starts_with("TLS: "), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_ends_is_left_when_the_time_is_over() {
    let (trust, backend) = (Trust::new(), Backend::silent().await);
    let mut question = with_tls(question(Probe::Tcp), trust.client(ServiceProtocol::Http1));
    question.check.timeout = Duration::from_secs(2);
    assert_eq!(question.ask(backend.address).await, failed("no connection within 2s"));
}
