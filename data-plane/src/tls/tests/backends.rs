//! Whom a service takes for its backends.

use std::net::{Ipv4Addr, SocketAddr};

use rustls::{
    HandshakeKind,
    version::{TLS12, TLS13},
};
use weir_proto::{ListenerProtocol, PeerName, ServiceProtocol, ServiceTls};

use super::{
    super::{
        Client, Server,
        testing::{Authority, Folder, shake_hands},
    },
    *,
};

const BACKEND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 443);

fn name(text: &str) -> PeerName {
    PeerName::try_from(text).unwrap()
}

/// A backend, and the settings of a service that takes it, with the folder that their files are in.
fn trusted() -> (Folder, ServiceTls, Arc<Server>) {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let files = vec![folder.issue("web", &root, &["web.example"])];
    let server = Server::load(&super::settings(files), ListenerProtocol::Auto).unwrap();
    let ca = Some(folder.write("ca.pem", &root.certificate()));
    let settings = ServiceTls { ca, server_name: Some(name("web.example")), ..Default::default() };
    (folder, settings, server)
}

/// Whether a service with these settings takes a backend that presents a certificate for `names`.
fn takes(settings: ServiceTls, names: &[&str]) -> Result<ServerConnection, String> {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let settings = ServiceTls { ca: Some(folder.write("ca.pem", &root.certificate())), ..settings };
    let files = vec![folder.issue("web", &root, names)];
    let server = Server::load(&super::settings(files), ListenerProtocol::Auto).unwrap();
    let client = Client::load(&settings, ServiceProtocol::Http1).unwrap();
    let mut connection = ClientConnection::new(client.config(), client.server_name(BACKEND)).unwrap();
    shake_hands(&mut connection, server.config()).map_err(|e| e.to_string())
}

#[test]
fn the_certificate_must_be_for_the_backend_or_the_name_that_is_said() {
    let of =
        |server_name: Option<&str>| ServiceTls { server_name: server_name.map(name), ..Default::default() };
    let taken = takes(of(None), &["127.0.0.1"]).unwrap();
    assert_eq!(taken.server_name(), None, "an address is no name to ask for");
    let refused = takes(of(None), &["web.example"]).unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
    let taken = takes(of(Some("web.shop.example")), &["*.shop.example"]).unwrap();
    assert_eq!(taken.server_name(), Some("web.shop.example"));
    assert!(takes(of(Some("web.example")), &["127.0.0.1"]).is_err());
}

#[test]
fn one_of_the_alternative_names_is_enough_and_needed() {
    let of = |names: &[&str]| ServiceTls {
        server_name: Some(name("asked.example")),
        subject_alt_names: names.iter().map(|text| name(text)).collect(),
        ..Default::default()
    };
    let taken = takes(of(&["a.example", "b.example"]), &["b.example"]).unwrap();
    assert_eq!(taken.server_name(), Some("asked.example"));
    assert!(takes(of(&["10.0.0.1"]), &["10.0.0.1"]).is_ok());
    let refused = takes(of(&["a.example"]), &["asked.example"]).unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
}

#[test]
fn a_stranger_is_refused_whatever_it_calls_itself() {
    let (folder, root, other) = (Folder::new(), Authority::new("root"), Authority::new("other"));
    for alternatives in [vec![], vec![name("web.example")]] {
        let settings = ServiceTls {
            ca: Some(folder.write("ca.pem", &root.certificate())),
            server_name: Some(name("web.example")),
            subject_alt_names: alternatives,
            certificate: None,
        };
        let client = Client::load(&settings, ServiceProtocol::Http1).unwrap();
        for (file, authority, good) in [("mine", &root, true), ("theirs", &other, false)] {
            let files = vec![folder.issue(file, authority, &["web.example"])];
            let server = Server::load(&super::settings(files), ListenerProtocol::Auto).unwrap();
            let result = shake(&client.config(), "web.example", &server);
            assert_eq!(result.is_ok(), good, "{file}");
        }
        let expired = root.valid(&["web.example"], (2020, 1, 1), (2021, 1, 1));
        let files = vec![folder.pair("expired", &expired.certificate, &expired.key)];
        let server = Server::load(&super::settings(files), ListenerProtocol::Auto).unwrap();
        assert!(shake(&client.config(), "web.example", &server).is_err());
    }
}

#[test]
fn http_2_is_asked_for_and_required() {
    let (_folder, settings, server) = trusted();
    for (protocol, chosen) in [(ServiceProtocol::Http1, &b"http/1.1"[..]), (ServiceProtocol::Http2, b"h2")] {
        let client = Client::load(&settings, protocol).unwrap();
        let (connection, _) = shake(&client.config(), "web.example", &server).unwrap();
        assert_eq!(connection.alpn_protocol(), Some(chosen));
        assert!(client.accepts(connection.alpn_protocol()));
        assert_eq!(client.accepts(None), protocol == ServiceProtocol::Http1);
        assert!(!client.accepts(Some(b"spdy/3")));
    }
}

#[test]
fn sessions_are_resumed_with_whatever_version_a_backend_speaks() {
    let (_folder, settings, server) = trusted();
    let client = Client::load(&settings, ServiceProtocol::Http1).unwrap();
    for version in [&TLS12, &TLS13] {
        let mut config = (*client.config()).clone();
        config.resumption = rustls::client::Resumption::in_memory_sessions(8);
        let builder = rustls::ServerConfig::builder_with_provider(super::super::provider());
        let old = builder.with_protocol_versions(&[version]).unwrap().with_no_client_auth();
        let mut old = old.with_cert_resolver(Arc::clone(&server.config().cert_resolver));
        old.ticketer = Arc::clone(&server.config().ticketer);
        let (config, old) = (Arc::new(config), Arc::new(old));
        let kinds = [(); 2].map(|()| {
            let mut client = ClientConnection::new(Arc::clone(&config), client.server_name(BACKEND)).unwrap();
            kind(&shake_hands(&mut client, Arc::clone(&old)).unwrap()).unwrap()
        });
        assert!(matches!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]), "{kinds:?}");
    }
}

#[test]
fn what_cannot_be_used_is_named_by_field_and_file() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let reason = |settings: &ServiceTls| {
        let invalid = Client::load(settings, ServiceProtocol::Http1).unwrap_err();
        invalid.to_string().replace(&folder.path().display().to_string(), "")
    };
    let ca = Some(folder.path().join("no.pem"));
    assert_eq!(reason(&ServiceTls { ca, ..Default::default() }), "tls.ca_file: /no.pem: no such file");
    let ca = Some(folder.write("ca.pem", &root.certificate()));
    let (one, other) = (root.issue(&["one"]), root.issue(&["other"]));
    let certificate = Some(folder.pair("proxy", &one.certificate, &other.key));
    assert_eq!(
        reason(&ServiceTls { ca, certificate, ..Default::default() }),
        "tls.private_key_file: /proxy.key: does not match the certificate /proxy.crt"
    );
}
