//! Certificates and their files, for tests.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use weir_proto::CertificateFiles;

use super::provider;

/// A folder that goes with the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Replaces a file in one step.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let (path, new) = (self.path().join(name), self.path().join(format!("{name}.new")));
        fs::write(&new, content).unwrap();
        fs::rename(new, &path).unwrap();
        path
    }

    /// `name.crt` and `name.key`.
    pub(crate) fn pair(&self, name: &str, certificate: &str, key: &str) -> CertificateFiles {
        CertificateFiles {
            certificate: self.write(&format!("{name}.crt"), certificate),
            private_key: self.write(&format!("{name}.key"), key),
        }
    }

    /// A pair that this authority issues for these names.
    pub(crate) fn issue(&self, name: &str, authority: &Authority, names: &[&str]) -> CertificateFiles {
        let issued = authority.issue(names);
        self.pair(name, &issued.certificate, &issued.key)
    }
}

/// Who issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key in PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn certificate(&self) -> String {
        self.0.pem()
    }

    /// For DNS names and IP addresses, as a server and as a client.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.valid(names, (2020, 1, 1), (2120, 1, 1))
    }

    /// From one day until another.
    pub(crate) fn valid(&self, names: &[&str], from: (i32, u8, u8), until: (i32, u8, u8)) -> Issued {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A client that trusts one authority, and speaks what it is told to.
pub(crate) fn client(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// Lets a client and a server talk without a network until the handshake is over, and a little longer: session tickets
/// come after it.
pub(crate) fn shake_hands(
    client: &mut ClientConnection,
    config: Arc<ServerConfig>,
) -> Result<ServerConnection, rustls::Error> {
    let mut server = ServerConnection::new(config)?;
    loop {
        let mut moved = false;
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        moved |= !wire.is_empty();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        moved |= !wire.is_empty();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        if !moved {
            return Ok(server);
        }
    }
}
