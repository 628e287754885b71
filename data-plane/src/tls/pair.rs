//! A certificate with its chain and the key that fits it.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use rustls::{Error, InconsistentKeys, sign::CertifiedKey};
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;
use weir_proto::{CertificateFiles, Invalid};

use super::{pem, provider, validity::validity};

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) presented: Presented,
}

/// A certificate as people are told about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presented {
    /// Where it was read.
    pub(crate) file: PathBuf,
    /// The DNS names that it is for, in lower case.
    pub(crate) names: Vec<String>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Pair {
    /// Reads both files. A certificate that has expired is one all the same: who presents it is told, and not left
    /// without any.
    pub(super) fn load(files: &CertificateFiles) -> Result<Self, Invalid> {
        let of_certificate = |reason| Invalid::new("certificate_file", reason);
        let of_key = |reason| Invalid::new("private_key_file", reason);
        let chain = pem::certificates(&files.certificate).map_err(of_certificate)?;
        let presented = Presented::read(files, &chain).map_err(of_certificate)?;
        let (path, certificate) = (files.private_key.display(), files.certificate.display());
        let key = pem::private_key(&files.private_key).map_err(of_key)?;
        let key = provider().key_provider.load_private_key(key);
        let key = key.map_err(|e| of_key(format!("{path}: is no key that can be used: {e}")))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(of_key(format!("{path}: does not match the certificate {certificate}")));
            }
            Err(e) => return Err(of_certificate(format!("{certificate}: cannot be used: {e}"))),
        }
        Ok(Self { key: Arc::new(key), presented })
    }
}

impl Presented {
    /// What the first certificate says, if every one is well formed.
    fn read(files: &CertificateFiles, chain: &[CertificateDer<'_>]) -> Result<Self, String> {
        let path = files.certificate.display();
        let mut first = None;
        for (i, certificate) in chain.iter().enumerate() {
            let valid = validity(certificate);
            let valid = valid.ok_or_else(|| format!("{path}: certificate {} is malformed", i + 1))?;
            first.get_or_insert((certificate, valid));
        }
        let Some((certificate, (not_before, not_after))) = first else {
            return Err(format!("{path}: has no certificate"));
        };
        let parsed = EndEntityCert::try_from(certificate);
        let parsed = parsed.map_err(|e| format!("{path}: the first certificate cannot be used: {e}"))?;
        let names = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
        Ok(Self { file: files.certificate.clone(), names, not_before, not_after })
    }

    /// Says so if it is not valid at this time.
    pub(super) fn warn(&self, now: Timestamp) {
        let file = self.file.display();
        if self.not_after < now {
            tracing::warn!("{file}: the certificate expired on {}; clients will refuse it", self.not_after);
        } else if now < self.not_before {
            tracing::warn!("{file}: the certificate is valid from {} on only", self.not_before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Authority, Folder};

    fn refusal(folder: &Folder, certificate: &str, key: &str) -> String {
        let files = folder.pair("x", certificate, key);
        let invalid = Pair::load(&files).unwrap_err();
        let reason = invalid.reason.replace(&folder.path().display().to_string(), "");
        format!("{}: {reason}", invalid.field)
    }

    #[test]
    fn a_pair_tells_its_names_and_its_end() {
        let folder = Folder::new();
        let issued = Authority::new("root").valid(&["A.example", "*.b.example"], (2020, 1, 1), (2021, 1, 1));
        let pair = Pair::load(&folder.pair("x", &issued.certificate, &issued.key)).unwrap();
        assert_eq!(pair.presented.names, ["a.example", "*.b.example"]);
        assert_eq!(pair.presented.not_after.to_string(), "2021-01-01T00:00:00Z", "expired, and loaded");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_file_at_fault() {
        let folder = Folder::new();
        let root = Authority::new("root");
        let (one, other) = (root.issue(&["a.example"]), root.issue(&["a.example"]));
        assert_eq!(
            refusal(&folder, &one.certificate, &other.key),
            "private_key_file: /x.key: does not match the certificate /x.crt"
        );
        assert_eq!(
            refusal(&folder, &format!("{}{}", root.certificate(), one.certificate), &one.key),
            "private_key_file: /x.key: does not match the certificate /x.crt",
            "the chain is upside down"
        );
        assert_eq!(refusal(&folder, "", &one.key), "certificate_file: /x.crt: has no certificate in PEM");
        let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(
            refusal(&folder, &format!("{}{odd}", one.certificate), &one.key),
            "certificate_file: /x.crt: certificate 2 is malformed"
        );
        let odd = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let reason = refusal(&folder, &one.certificate, odd);
        assert!(reason.starts_with("private_key_file: /x.key: is no key that can be used: "), "{reason}");
    }
}
