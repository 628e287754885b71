//! Both sides of TLS against each other, without a network.

mod backends;
mod listeners;
mod renewal;

use std::{fs, path::Path, sync::Arc};

use rustls::{ClientConfig, ClientConnection, Error, HandshakeKind, ServerConnection};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use weir_proto::{CertificateFiles, ListenerTls, TlsVersion};

use super::{Server, testing::shake_hands};

fn settings(certificates: Vec<CertificateFiles>) -> ListenerTls {
    ListenerTls { certificates, min_version: TlsVersion::Tls12, client_certificate: None }
}

/// One handshake, with the client's and the server's view of it.
fn shake(
    client: &Arc<ClientConfig>,
    name: &str,
    server: &Server,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    let server = shake_hands(&mut client, server.config())?;
    Ok((client, server))
}

/// Which of these a client was shown.
fn shown<'a>(client: &ClientConnection, files: &'a [CertificateFiles]) -> Option<&'a Path> {
    let shown = client.peer_certificates()?.first()?;
    files.iter().map(|pair| &*pair.certificate).find(|path| {
        let text = fs::read(path).unwrap();
        CertificateDer::from_pem_slice(&text).unwrap() == *shown
    })
}

fn kind(connection: &ServerConnection) -> Option<HandshakeKind> {
    connection.handshake_kind()
}
