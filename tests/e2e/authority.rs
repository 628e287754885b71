//! Certificates, and the files that the programs read them from.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CrlDistributionPoint, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};

const DAY: Duration = Duration::from_hours(24);

/// Who issues certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
    /// What a client sees of it.
    pub(super) der: Vec<u8>,
}

/// The files of one.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, in this file.
    pub(super) fn write(&self, file: &Path) -> PathBuf {
        fs::write(file, self.0.pem()).unwrap();
        file.to_owned()
    }

    /// For DNS names and IP addresses, as a server and as a client, for as long as is usual.
    pub(super) fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, names.join(" "));
        let now = date_time_ymd(1970, 1, 1) + SystemTime::UNIX_EPOCH.elapsed().unwrap();
        params.not_before = now - DAY;
        params.not_after = now + 90 * DAY;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let uris = vec!["http://localhost/root.crl".to_owned()];
        params.crl_distribution_points = vec![CrlDistributionPoint { uris }];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
    }

    /// A client's settings by which this authority alone is trusted.
    pub(super) fn trusted(&self) -> ClientConfig {
        self.trusted_with(rustls::ALL_VERSIONS, &[])
    }

    /// The same, for these versions of TLS and these protocols over it.
    pub(super) fn trusted_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.0.pem().as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

impl Issued {
    /// `name.crt` and `name.key` in this folder, each put in its place by a rename.
    pub(super) fn write(&self, folder: &Path, name: &str) -> Files {
        let put = |file: String, content: &str| {
            let (path, new) = (folder.join(&file), folder.join(file + ".new"));
            fs::write(&new, content).unwrap();
            fs::rename(new, &path).unwrap();
            path
        };
        Files {
            certificate: put(format!("{name}.crt"), &self.certificate),
            key: put(format!("{name}.key"), &self.key),
        }
    }
}

impl Files {
    /// As an entry of a YAML document.
    pub(super) fn yaml(&self) -> String {
        let Self { certificate, key } = self;
        format!("{{ certificate: {}, private_key: {} }}", certificate.display(), key.display())
    }
}
