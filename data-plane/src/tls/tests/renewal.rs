//! What becomes of files that change.

use std::os::unix::fs::symlink;

use rustls::version::TLS13;
use weir_proto::{ClientCertificate, ClientCertificateMode, ListenerProtocol};

use super::{
    super::{
        Server,
        current::Renewal,
        testing::{Authority, Folder, client},
    },
    *,
};

/// The name in the certificate that the server presents.
fn name_of(server: &Server) -> String {
    let certificates = server.certificates();
    let names: Vec<_> = certificates.iter().flat_map(|c| c.names.clone()).collect();
    names.join(" ")
}

fn load(files: CertificateFiles) -> Arc<Server> {
    Server::load(&settings(vec![files]), ListenerProtocol::Auto).unwrap()
}

#[test]
fn nothing_is_read_again_while_nothing_changes() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let server = load(folder.issue("web", &root, &["one.example"]));
    let config = server.config();
    assert_eq!(server.renew(), Renewal::Unchanged);
    assert!(Arc::ptr_eq(&config, &server.config()));
}

#[test]
fn files_that_are_renamed_over_the_old_ones_are_read() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let server = load(folder.issue("web", &root, &["one.example"]));
    let files = [folder.issue("web", &root, &["two.example"])];
    assert_eq!(server.renew(), Renewal::Renewed { mended: false });
    assert_eq!(name_of(&server), "two.example");
    let (client, _) = shake(&client(&root, &[&TLS13], &[]), "two.example", &server).unwrap();
    assert_eq!(shown(&client, &files), Some(&*files[0].certificate));
}

#[test]
fn a_link_that_leads_elsewhere_is_followed() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    for version in ["1", "2"] {
        std::fs::create_dir(folder.path().join(version)).unwrap();
        folder.issue(&format!("{version}/web"), &root, &[&format!("v{version}.example")]);
    }
    let live = folder.path().join("live");
    let lead_to = |version: &str| {
        let new = folder.path().join("live.new");
        symlink(version, &new).unwrap();
        fs::rename(new, &live).unwrap();
    };
    lead_to("1");
    let server =
        load(CertificateFiles { certificate: live.join("web.crt"), private_key: live.join("web.key") });
    assert_eq!(name_of(&server), "v1.example");
    lead_to("2");
    assert_eq!(server.renew(), Renewal::Renewed { mended: false });
    assert_eq!(name_of(&server), "v2.example");
}

#[test]
fn a_bad_pair_leaves_the_old_one_in_force_and_is_told_once() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let server = load(folder.issue("web", &root, &["one.example"]));
    let before = server.config();
    let (one, other) = (root.issue(&["two.example"]), root.issue(&["two.example"]));
    let files = folder.pair("web", &one.certificate, &other.key);

    assert_eq!(server.renew(), Renewal::Unchanged, "the other half may be on its way");
    assert_eq!(server.failure(), None);
    let Renewal::Failed(invalid) = server.renew() else { panic!("must fail") };
    let (key, certificate) = (files.private_key.display(), files.certificate.display());
    assert_eq!(
        invalid.to_string(),
        format!("tls.certificates[0].private_key_file: {key}: does not match the certificate {certificate}")
    );
    assert_eq!(server.failure(), Some(invalid));
    assert_eq!(server.renew(), Renewal::Unchanged);
    assert!(Arc::ptr_eq(&before, &server.config()));
    assert_eq!(name_of(&server), "one.example");

    folder.pair("web", &one.certificate, &one.key);
    assert_eq!(server.renew(), Renewal::Renewed { mended: true });
    assert_eq!((server.failure(), name_of(&server)), (None, "two.example".to_owned()));
}

#[test]
fn a_pair_that_is_replaced_one_file_after_the_other_is_no_failure() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let server = load(folder.issue("web", &root, &["one.example"]));
    let next = root.issue(&["two.example"]);
    folder.write("web.crt", &next.certificate);
    assert_eq!(server.renew(), Renewal::Unchanged);
    folder.write("web.key", &next.key);
    assert_eq!(server.renew(), Renewal::Renewed { mended: false });
    assert_eq!(name_of(&server), "two.example");
}

#[test]
fn a_file_that_is_gone_and_comes_back_is_a_failure_and_its_end() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let files = folder.issue("web", &root, &["one.example"]);
    let server = load(files.clone());
    let text = fs::read_to_string(&files.private_key).unwrap();
    fs::remove_file(&files.private_key).unwrap();
    assert_eq!(server.renew(), Renewal::Unchanged);
    let Renewal::Failed(invalid) = server.renew() else { panic!("must fail") };
    assert!(invalid.reason.ends_with("web.key: no such file"), "{invalid}");
    folder.write("web.key", &text);
    assert_eq!(server.renew(), Renewal::Renewed { mended: true });
}

#[test]
fn sessions_outlast_a_new_certificate_but_not_new_authorities_of_clients() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let mut settings = settings(vec![folder.issue("web", &root, &["web.example"])]);
    let ca = folder.write("clients.pem", &root.certificate());
    for (asks, expected) in [(false, HandshakeKind::Resumed), (true, HandshakeKind::Full)] {
        let mode = ClientCertificateMode::Optional;
        settings.client_certificate = asks.then(|| ClientCertificate { ca: ca.clone(), mode });
        let server = Server::load(&settings, ListenerProtocol::Auto).unwrap();
        let client = client(&root, &[&TLS13], &[]);
        shake(&client, "web.example", &server).unwrap();
        folder.issue("web", &root, &["web.example"]);
        assert_eq!(server.renew(), Renewal::Renewed { mended: false });
        let (_, connection) = shake(&client, "web.example", &server).unwrap();
        assert_eq!(kind(&connection), Some(expected), "asks for certificates: {asks}");
    }
}
