//! Reads PEM files. Every reason begins with the path.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use rustls::RootCertStore;
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

/// The largest file that is read: a bundle of authorities has some hundred KiB.
const MAX_BYTES: u64 = 16 << 20;

/// A certificate and its chain: at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|e| format!("{}: is not valid PEM: {e}", path.display()))?;
    if certificates.is_empty() {
        return Err(format!("{}: has no certificate in PEM", path.display()));
    }
    Ok(certificates)
}

/// A private key that is not encrypted.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|e| match e {
        pem::Error::NoItemsFound if is_encrypted(&text) => {
            format!("{}: is encrypted; only plain keys can be read", path.display())
        }
        pem::Error::NoItemsFound => format!("{}: has no private key in PEM", path.display()),
        e => format!("{}: is not valid PEM: {e}", path.display()),
    })
}

/// Authorities: at least one. Those that nobody could use are left out, as other programs do with bundles of a system.
pub(super) fn authorities(path: &Path) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 {
        return Err(format!("{}: has no certificate that could be an authority's", path.display()));
    }
    if ignored > 0 {
        tracing::warn!("{}: {ignored} of {} certificates are of no use", path.display(), added + ignored);
    }
    Ok(Arc::new(roots))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |e: io::Error| format!("{}: {}", path.display(), words(&e));
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{}: is not a file", path.display()));
    }
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text)).map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("{}: has more than {MAX_BYTES} bytes", path.display()));
    }
    Ok(text)
}

fn is_encrypted(text: &[u8]) -> bool {
    const LABEL: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    text.windows(LABEL.len()).any(|window| window == LABEL)
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Authority, Folder};

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_path() {
        let folder = Folder::new();
        let reason = |content: &str| {
            let path = folder.write("x.pem", content);
            let prefix = format!("{}: ", path.display());
            let strip = |reason: String| reason.strip_prefix(&prefix).unwrap().to_owned();
            (strip(certificates(&path).unwrap_err()), strip(private_key(&path).unwrap_err()))
        };
        assert_eq!(
            reason("nothing"),
            ("has no certificate in PEM".into(), "has no private key in PEM".into())
        );
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(reason(encrypted).1, "is encrypted; only plain keys can be read");
        let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(reason(torn).0.starts_with("is not valid PEM: "));
        let missing = certificates(Path::new("/nowhere/x.pem")).unwrap_err();
        assert_eq!(missing, "/nowhere/x.pem: no such file");
        assert_eq!(private_key(Path::new("/dev")).unwrap_err(), "/dev: is not a file");
    }

    #[test]
    fn a_key_is_found_beside_its_certificate() {
        let folder = Folder::new();
        let issued = Authority::new("root").issue(&["a.example"]);
        let path = folder.write("both.pem", &format!("{}{}", issued.certificate, issued.key));
        assert_eq!(certificates(&path).unwrap().len(), 1);
        assert!(private_key(&path).is_ok());
    }

    #[test]
    fn one_odd_certificate_does_not_spoil_a_bundle() {
        let folder = Folder::new();
        let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let bundle = folder.write("ca.pem", &format!("{odd}{}", Authority::new("root").certificate()));
        assert_eq!(authorities(&bundle).unwrap().len(), 1);
        let odd = folder.write("odd.pem", odd);
        assert!(authorities(&odd).unwrap_err().ends_with("has no certificate that could be an authority's"));
    }
}
