//! Backends that speak TLS: who is trusted, what they are asked for, what they see.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use weir_tests::{Client, Response};

use super::stage::{Stage, told};
use crate::authority::{Authority, Files};

/// Speaks TLS before a backend that does not. It ends when it is dropped.
struct Front {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

/// What a proxy said in a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    name: Option<String>,
    protocol: Option<String>,
    certificate: Option<Vec<u8>>,
}

impl Front {
    /// With a certificate; asks for clients' certificates if there is an authority for them.
    async fn start(files: &Files, clients: Option<&std::path::Path>, backend: SocketAddr) -> Self {
        let builder =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let certificate = CertificateDer::from_pem_file(&files.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), backend, seen.clone()));
        Self { address, seen, task }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, backend: SocketAddr, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (tls, seen) = (tls.clone(), seen.clone());
        connections.spawn(async move {
            let Ok(mut stream) = tls.accept(stream).await else { return };
            let (_, session) = stream.get_ref();
            let said = Seen {
                name: session.server_name().map(str::to_owned),
                protocol: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
                certificate: session.peer_certificates().map(|shown| shown[0].to_vec()),
            };
            seen.lock().unwrap().push(said);
            if let Ok(mut backend) = TcpStream::connect(backend).await {
                // Either may go first.
                let _ = copy_bidirectional(&mut stream, &mut backend).await;
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_is_verified_and_asked_for_what_the_service_says() {
    let stage = Stage::start().await;
    let foreign = Authority::new("Another Root").write(&stage.path().join("foreign.crt"));
    let (ca, foreign) = (stage.root.display(), foreign.display());
    let named = stage.files("named", &["db.example"]);
    let numbered = stage.files("numbered", &["127.0.0.1"]);
    let mine = stage.authority.issue(&["proxy.example"]);
    let files = mine.write(stage.path(), "mine").yaml().replace(['{', '}'], "");
    let plain = stage.backend.address();
    let open = Front::start(&named, None, plain).await;
    let by_address = Front::start(&numbered, None, plain).await;
    let asking = Front::start(&named, Some(&stage.root), plain).await;
    let name = "server_name: db.example";

    // Name of the service, front, its `tls`, what the front sees of the name; None: nothing gets through.
    let rows = [
        ("good", &open, format!("ca: {ca}, {name}"), Some(Some("db.example"))),
        ("of-another", &open, format!("ca: {foreign}, {name}"), None),
        ("trusted-by-nobody", &open, name.to_owned(), None),
        ("another-name", &open, format!("ca: {ca}, server_name: other.example"), None),
        (
            "by-san",
            &open,
            format!("ca: {ca}, server_name: other.example, subject_alt_names: [ db.example ]"),
            Some(Some("other.example")),
        ),
        ("not-by-san", &open, format!("ca: {ca}, {name}, subject_alt_names: [ other.example ]"), None),
        ("by-address", &by_address, format!("ca: {ca}"), Some(None)),
        ("not-by-address", &open, format!("ca: {ca}"), None),
        ("shown", &asking, format!("ca: {ca}, {name}, {files}"), Some(Some("db.example"))),
        ("not-shown", &asking, format!("ca: {ca}, {name}"), None),
    ];
    let services: Vec<_> = rows
        .iter()
        .map(|(service, front, tls, _)| {
            format!("  - {{ name: {service}, backends: [ \"{}\" ], tls: {{ {tls} }} }}\n", front.address)
        })
        .collect();
    let output = stage.apply(&format!("services:\n{}", services.concat())).await;
    assert!(output.status.success(), "{}", told(&output));

    for (service, front, _, expected) in rows {
        front.seen.lock().unwrap().clear();
        let response = get(&stage, service).await;
        let seen = front.seen.lock().unwrap().clone();
        let Some(name) = expected else {
            assert_eq!(response.status(), 502, "{service}: {}", response.text());
            continue;
        };
        assert_eq!(response.status(), 200, "{service}: {}", response.text());
        let certificate = (service == "shown").then(|| mine.der.clone());
        let protocol = Some("http/1.1".to_owned());
        assert_eq!(seen, [Seen { name: name.map(str::to_owned), protocol, certificate }], "{service}");
        // The connection is kept: no other handshake.
        assert_eq!(get(&stage, service).await.status(), 200);
    }
}

async fn get(stage: &Stage, host: &str) -> Response {
    let mut client = Client::open(stage.daemons.traffic[0]).await.unwrap();
    client.send("GET", format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.unwrap()
}
