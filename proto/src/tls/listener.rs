//! TLS to clients.

use std::path::PathBuf;

use super::{CertificateFiles, path};
use crate::{Invalid, v1};

/// How many certificates a listener may have.
const MAX_CERTIFICATES: usize = 64;

/// How a listener speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenerTls {
    /// 1 to 64; the first is for clients that ask for none of them.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// What is asked of clients, if anything.
    pub client_certificate: Option<ClientCertificate>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// What a listener asks of its clients' certificates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientCertificate {
    /// The authorities that may have issued it.
    pub ca: PathBuf,
    /// Whether there must be one.
    pub mode: ClientCertificateMode,
}

/// Whether a client must have a certificate. One that it has must be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ClientCertificateMode {
    /// It may have none.
    Optional,
    /// It must.
    #[default]
    Required,
}

impl TryFrom<v1::ListenerTls> for ListenerTls {
    type Error = Invalid;

    fn try_from(wire: v1::ListenerTls) -> Result<Self, Invalid> {
        let n = wire.certificates.len();
        if !(1..=MAX_CERTIFICATES).contains(&n) {
            let reason = format!("must be 1 to {MAX_CERTIFICATES}, are {n}");
            return Err(Invalid::new("certificates", reason));
        }
        let certificates = wire.certificates.into_iter().enumerate().map(|(i, files)| {
            CertificateFiles::try_from(files).map_err(|e| e.within(&format!("certificates[{i}]")))
        });
        Ok(Self {
            certificates: certificates.collect::<Result<_, _>>()?,
            min_version: TlsVersion::try_from(wire.min_version).map_err(|e| e.within("min_version"))?,
            client_certificate: wire
                .client_certificate
                .map(ClientCertificate::try_from)
                .transpose()
                .map_err(|e| e.within("client_certificate"))?,
        })
    }
}

impl TryFrom<v1::ClientCertificate> for ClientCertificate {
    type Error = Invalid;

    fn try_from(wire: v1::ClientCertificate) -> Result<Self, Invalid> {
        Ok(Self {
            ca: path("ca_file", &wire.ca_file)?,
            mode: ClientCertificateMode::try_from(wire.mode).map_err(|e| e.within("mode"))?,
        })
    }
}

impl TryFrom<i32> for TlsVersion {
    type Error = Invalid;

    fn try_from(wire: i32) -> Result<Self, Invalid> {
        match v1::TlsVersion::try_from(wire) {
            Ok(v1::TlsVersion::Unspecified) => Ok(Self::default()),
            Ok(v1::TlsVersion::TlsVersion12) => Ok(Self::Tls12),
            Ok(v1::TlsVersion::TlsVersion13) => Ok(Self::Tls13),
            Err(_) => Err(Invalid::new("", format_args!("must be TLS_VERSION_1_2 or _1_3, not {wire}"))),
        }
    }
}

impl TryFrom<i32> for ClientCertificateMode {
    type Error = Invalid;

    fn try_from(wire: i32) -> Result<Self, Invalid> {
        match v1::ClientCertificateMode::try_from(wire) {
            Ok(v1::ClientCertificateMode::Unspecified) => Ok(Self::default()),
            Ok(v1::ClientCertificateMode::Optional) => Ok(Self::Optional),
            Ok(v1::ClientCertificateMode::Required) => Ok(Self::Required),
            Err(_) => Err(Invalid::new("", format_args!("must be OPTIONAL or REQUIRED, not {wire}"))),
        }
    }
}

impl From<&ListenerTls> for v1::ListenerTls {
    fn from(tls: &ListenerTls) -> Self {
        let client = tls.client_certificate.as_ref().map(|client| v1::ClientCertificate {
            ca_file: client.ca.display().to_string(),
            mode: v1::ClientCertificateMode::from(client.mode) as i32,
        });
        Self {
            certificates: tls.certificates.iter().map(v1::CertificateFiles::from).collect(),
            min_version: v1::TlsVersion::from(tls.min_version) as i32,
            client_certificate: client,
        }
    }
}

impl From<TlsVersion> for v1::TlsVersion {
    fn from(version: TlsVersion) -> Self {
        match version {
            TlsVersion::Tls12 => Self::TlsVersion12,
            TlsVersion::Tls13 => Self::TlsVersion13,
        }
    }
}

impl From<ClientCertificateMode> for v1::ClientCertificateMode {
    fn from(mode: ClientCertificateMode) -> Self {
        match mode {
            ClientCertificateMode::Optional => Self::Optional,
            ClientCertificateMode::Required => Self::Required,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::files, *};

    fn parse(certificates: Vec<v1::CertificateFiles>) -> Result<ListenerTls, Invalid> {
        ListenerTls::try_from(v1::ListenerTls { certificates, ..Default::default() })
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let tls = parse(vec![files("/a", "/b")]).unwrap();
        assert_eq!((tls.min_version, tls.client_certificate), (TlsVersion::Tls12, None));
        let client = v1::ClientCertificate { ca_file: "/ca".into(), mode: 0 };
        let client = ClientCertificate::try_from(client).unwrap();
        assert_eq!(client.mode, ClientCertificateMode::Required, "the safe one");
    }

    #[test]
    fn the_file_at_fault_is_named() {
        let reason = |result: Result<ListenerTls, Invalid>| result.unwrap_err().to_string();
        let text = reason(parse(vec![files("/a", "/b"), files("/a", "b")]));
        assert!(text.starts_with("certificates[1].private_key_file: must be an absolute path"), "{text}");
        let text = reason(parse(vec![files("/a", "/b"); 65]));
        assert_eq!(text, "certificates: must be 1 to 64, are 65");
        let client_certificate = Some(v1::ClientCertificate { ca_file: "/ca".into(), mode: 9 });
        let certificates = vec![files("/a", "/b")];
        let wire = v1::ListenerTls { certificates, client_certificate, min_version: 1 };
        let text = reason(ListenerTls::try_from(wire));
        assert_eq!(text, "client_certificate.mode: must be OPTIONAL or REQUIRED, not 9");
    }
}
