//! How TLS is spoken, to clients and to backends: see `config.proto`.

mod listener;
mod service;

use std::path::PathBuf;

pub use self::{
    listener::{ClientCertificate, ClientCertificateMode, ListenerTls, TlsVersion},
    service::{PeerName, ServiceTls},
};
use crate::{Invalid, v1};

/// The longest path: what Linux takes, without the byte that ends it.
const MAX_PATH: usize = 4095;

/// A certificate with its chain and its key, as PEM files on the proxy's host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The certificate, then the intermediate ones.
    pub certificate: PathBuf,
    /// The key of the first.
    pub private_key: PathBuf,
}

impl TryFrom<v1::CertificateFiles> for CertificateFiles {
    type Error = Invalid;

    fn try_from(wire: v1::CertificateFiles) -> Result<Self, Invalid> {
        Ok(Self {
            certificate: path("certificate_file", &wire.certificate_file)?,
            private_key: path("private_key_file", &wire.private_key_file)?,
        })
    }
}

impl From<&CertificateFiles> for v1::CertificateFiles {
    fn from(files: &CertificateFiles) -> Self {
        Self {
            certificate_file: files.certificate.display().to_string(),
            private_key_file: files.private_key.display().to_string(),
        }
    }
}

/// The absolute path in `field`.
fn path(field: &str, text: &str) -> Result<PathBuf, Invalid> {
    if !text.starts_with('/') {
        let reason =
            format!("must be an absolute path on the proxy's host, as /etc/weir/web.crt, not {text:?}");
        return Err(Invalid::new(field, reason));
    }
    if text.len() > MAX_PATH {
        let reason = format!("must have at most {MAX_PATH} bytes, has {}", text.len());
        return Err(Invalid::new(field, reason));
    }
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        return Err(Invalid::new(field, format_args!("must not contain {bad:?}")));
    }
    Ok(PathBuf::from(text))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn listener_tls() -> v1::ListenerTls {
        v1::ListenerTls {
            certificates: vec![files("/etc/weir/web.crt", "/etc/weir/web.key")],
            min_version: v1::TlsVersion::TlsVersion13 as i32,
            client_certificate: Some(v1::ClientCertificate {
                ca_file: "/etc/weir/clients.pem".into(),
                mode: v1::ClientCertificateMode::Optional as i32,
            }),
        }
    }

    pub(crate) fn files(certificate: &str, key: &str) -> v1::CertificateFiles {
        v1::CertificateFiles { certificate_file: certificate.into(), private_key_file: key.into() }
    }

    #[test]
    fn paths_are_absolute_and_readable() {
        assert!(path("ca_file", "/etc/ssl/a b.pem").is_ok());
        for bad in ["", "web.crt", "./web.crt", "~/web.crt", "/a\nb", "/a\0b"] {
            assert!(path("ca_file", bad).is_err(), "{bad:?}");
        }
        assert!(path("ca_file", &format!("/{}", "a".repeat(MAX_PATH))).is_err());
    }
}
