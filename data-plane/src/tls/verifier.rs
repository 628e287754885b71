//! Accepts a backend's certificate if it is for one of several names.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::provider;

/// As `WebPkiServerVerifier`, but for the name.
#[derive(Debug)]
pub(super) struct OneOf {
    roots: Arc<RootCertStore>,
    names: Vec<ServerName<'static>>,
    webpki: Arc<WebPkiServerVerifier>,
}

impl OneOf {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        names: Vec<ServerName<'static>>,
        webpki: Arc<WebPkiServerVerifier>,
    ) -> Self {
        Self { roots, names, webpki }
    }
}

impl ServerCertVerifier for OneOf {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _asked_for: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        let mut refusal = Error::from(CertificateError::NotValidForName);
        for name in &self.names {
            match verify_server_name(&certificate, name) {
                Ok(()) => return Ok(ServerCertVerified::assertion()),
                Err(e) => refusal = e,
            }
        }
        Err(refusal)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
