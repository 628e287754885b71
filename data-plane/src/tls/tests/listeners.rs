//! What clients of a listener get.

use rustls::{
    ProtocolVersion,
    version::{TLS12, TLS13},
};
use weir_proto::{ClientCertificate, ClientCertificateMode, ListenerProtocol, PeerName, ServiceTls};

use super::{
    super::{
        Client, Server,
        testing::{Authority, Folder, client},
    },
    *,
};

#[test]
fn a_client_gets_the_certificate_that_it_asks_for() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let files = [
        folder.issue("default", &root, &["default.example", "127.0.0.1"]),
        folder.issue("wild", &root, &["*.shop.example"]),
        folder.issue("exact", &root, &["a.shop.example"]),
    ];
    let server = Server::load(&settings(files.to_vec()), ListenerProtocol::Auto).unwrap();
    let client = client(&root, &[&TLS13], &[]);
    for (name, file) in
        [("a.shop.example", 2), ("A.Shop.example", 2), ("b.shop.example", 1), ("default.example", 0)]
    {
        let (client, _) = shake(&client, name, &server).unwrap();
        assert_eq!(shown(&client, &files), Some(&*files[file].certificate), "{name}");
    }
    let (client, _) = shake(&client, "127.0.0.1", &server).unwrap();
    assert_eq!(shown(&client, &files), Some(&*files[0].certificate), "an address is no name to ask for");
}

#[test]
fn who_asks_for_an_unknown_name_gets_the_first_and_may_refuse_it() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let files = vec![folder.issue("default", &root, &["default.example"])];
    let server = Server::load(&settings(files), ListenerProtocol::Auto).unwrap();
    let refused = shake(&client(&root, &[&TLS13], &[]), "other.example", &server).unwrap_err();
    assert!(refused.to_string().contains("not valid for name"), "{refused}");
}

#[test]
fn alpn_offers_what_the_listener_speaks() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let files = vec![folder.issue("web", &root, &["web.example"])];
    let chosen = |protocol, offered: &[&[u8]]| {
        let server = Server::load(&settings(files.clone()), protocol).unwrap();
        let (_, server) = shake(&client(&root, &[&TLS13], offered), "web.example", &server).ok()?;
        Some(server.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()))
    };
    let both: [&[u8]; 2] = [b"http/1.1", b"h2"];
    let some = |name: &str| Some(Some(name.to_owned()));
    assert_eq!(chosen(ListenerProtocol::Auto, &both), some("h2"));
    assert_eq!(chosen(ListenerProtocol::Auto, &[b"http/1.1"]), some("http/1.1"));
    assert_eq!(chosen(ListenerProtocol::Auto, &[]), Some(None));
    assert_eq!(chosen(ListenerProtocol::Auto, &[b"spdy/3"]), None);
    assert_eq!(chosen(ListenerProtocol::Http1, &both), some("http/1.1"));
    assert_eq!(chosen(ListenerProtocol::Http2, &both), some("h2"));
    assert_eq!(chosen(ListenerProtocol::Http2, &[b"http/1.1"]), None);
    assert_eq!(chosen(ListenerProtocol::Http1, &[b"h2"]), None);
    assert_eq!(chosen(ListenerProtocol::Http1, &[]), Some(None));
}

/// `ListenerProtocol` in `config.proto`: it gets no further than the handshake.
#[test]
fn who_agrees_on_nothing_is_refused_where_http_2_alone_is_spoken() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let files = vec![folder.issue("web", &root, &["web.example"])];
    let server = Server::load(&settings(files), ListenerProtocol::Http2).unwrap();
    for version in [&TLS12, &TLS13] {
        assert!(shake(&client(&root, &[version], &[]), "web.example", &server).is_err(), "{version:?}");
        assert!(shake(&client(&root, &[version], &[b"h2"]), "web.example", &server).is_ok(), "{version:?}");
    }
}

#[test]
fn an_old_version_is_spoken_only_where_it_may() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let mut settings = settings(vec![folder.issue("web", &root, &["web.example"])]);
    let old = client(&root, &[&TLS12], &[]);
    let server = Server::load(&settings, ListenerProtocol::Auto).unwrap();
    let (_, connection) = shake(&old, "web.example", &server).unwrap();
    assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    settings.min_version = TlsVersion::Tls13;
    let server = Server::load(&settings, ListenerProtocol::Auto).unwrap();
    assert!(shake(&old, "web.example", &server).is_err());
    assert!(shake(&client(&root, &[&TLS12, &TLS13], &[]), "web.example", &server).is_ok());
}

#[test]
fn sessions_are_resumed_and_no_data_goes_before_the_handshake() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let settings = settings(vec![folder.issue("web", &root, &["web.example"])]);
    let server = Server::load(&settings, ListenerProtocol::Auto).unwrap();
    let other = Server::load(&settings, ListenerProtocol::Auto).unwrap();
    assert_eq!(server.config().max_early_data_size, 0);
    for version in [&TLS12, &TLS13] {
        let client = client(&root, &[version], &[]);
        let kinds = [&server, &server, &other]
            .map(|server| kind(&shake(&client, "web.example", server).unwrap().1).unwrap());
        assert!(matches!(kinds[0], HandshakeKind::Full), "{kinds:?}");
        assert!(matches!(kinds[1], HandshakeKind::Resumed), "{kinds:?}");
        assert!(matches!(kinds[2], HandshakeKind::Full), "another listener's: {kinds:?}");
    }
}

#[test]
fn a_client_certificate_is_asked_for_and_verified() {
    use ClientCertificateMode::{Optional, Required};

    let (folder, root, clients) = (Folder::new(), Authority::new("root"), Authority::new("clients"));
    let ca = folder.write("root.pem", &root.certificate());
    let good = folder.issue("good", &clients, &["someone"]);
    let strange = folder.issue("strange", &root, &["someone"]);
    let attempt = |mode, certificate: Option<&CertificateFiles>| {
        let mut settings = settings(vec![folder.issue("web", &root, &["web.example"])]);
        let ca_of_clients = folder.write("clients.pem", &clients.certificate());
        settings.client_certificate = Some(ClientCertificate { ca: ca_of_clients, mode });
        let server = Server::load(&settings, ListenerProtocol::Http1).unwrap();
        let client = ServiceTls {
            ca: Some(ca.clone()),
            server_name: Some(PeerName::try_from("web.example").unwrap()),
            certificate: certificate.cloned(),
            ..ServiceTls::default()
        };
        let client = Client::load(&client, weir_proto::ServiceProtocol::Http1).unwrap();
        let (_, server) = shake(&client.config(), "web.example", &server).ok()?;
        Some(server.peer_certificates().map_or(0, <[_]>::len))
    };
    assert_eq!(attempt(Required, Some(&good)), Some(1));
    assert_eq!(attempt(Required, Some(&strange)), None);
    assert_eq!(attempt(Required, None), None);
    assert_eq!(attempt(Optional, Some(&good)), Some(1));
    assert_eq!(attempt(Optional, Some(&strange)), None, "one that there is must be good");
    assert_eq!(attempt(Optional, None), Some(0));
}

#[test]
fn what_cannot_be_used_is_named_by_field_and_file() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let good = folder.issue("web", &root, &["web.example"]);
    let reason = |settings: &ListenerTls| {
        let invalid = Server::load(settings, ListenerProtocol::Auto).unwrap_err();
        invalid.to_string().replace(&folder.path().display().to_string(), "")
    };
    let missing = CertificateFiles { private_key: folder.path().join("no.key"), ..good.clone() };
    assert_eq!(
        reason(&settings(vec![good.clone(), missing])),
        "tls.certificates[1].private_key_file: /no.key: no such file"
    );
    let mut wants = settings(vec![good.clone()]);
    let ca = folder.write("empty.pem", "");
    wants.client_certificate = Some(ClientCertificate { ca, mode: ClientCertificateMode::Required });
    assert_eq!(reason(&wants), "tls.client_certificate.ca_file: /empty.pem: has no certificate in PEM");
}
