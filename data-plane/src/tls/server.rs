//! What a listener uses to speak TLS.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs::Ticketer,
    server::{ServerSessionMemoryCache, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use weir_proto::{
    ClientCertificate, ClientCertificateMode, Invalid, ListenerProtocol, ListenerTls, TlsVersion,
};

use super::{
    ALPN_HTTP1, ALPN_HTTP2,
    current::{Current, Made, Renewal},
    names::ByName,
    pair::{Pair, Presented},
    pem, provider,
};

/// Sessions of TLS 1.2 that one listener remembers, for clients that know no tickets. Each takes a few hundred bytes.
const REMEMBERED_SESSIONS: usize = 4096;

/// Tickets that a client of TLS 1.3 gets with a handshake. Each costs time on both sides; with every resumption comes
/// another one.
const TICKETS: usize = 1;

/// A listener's TLS. The same one as long as its settings stay, whatever becomes of the files: sessions go on.
#[derive(Debug)]
pub(crate) struct Server {
    settings: ListenerTls,
    protocol: ListenerProtocol,
    current: Current<ServerConfig>,
}

impl Server {
    /// Reads the files. A refusal names the field, from `tls` on, and the file.
    pub(crate) fn load(settings: &ListenerTls, protocol: ListenerProtocol) -> Result<Arc<Self>, Invalid> {
        let files = settings.certificates.iter().flat_map(|c| [&c.certificate, &c.private_key]);
        let files: Vec<PathBuf> =
            files.chain(settings.client_certificate.iter().map(|client| &client.ca)).cloned().collect();
        let current = Current::load(files, || make(settings, protocol, None))?;
        Ok(Arc::new(Self { settings: settings.clone(), protocol, current }))
    }

    /// For the next handshake.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.config()
    }

    /// Whether it is made of these settings.
    pub(crate) fn is_of(&self, settings: &ListenerTls, protocol: ListenerProtocol) -> bool {
        self.settings == *settings && self.protocol == protocol
    }

    /// What is presented to clients.
    pub(crate) fn certificates(&self) -> Arc<[Presented]> {
        self.current.certificates()
    }

    /// Why what is in force is not what the files say now.
    pub(crate) fn failure(&self) -> Option<Invalid> {
        self.current.failure()
    }

    /// Looks whether the files have changed.
    pub(super) fn renew(&self) -> Renewal {
        self.current.renew(|before| make(&self.settings, self.protocol, Some(before)))
    }
}

fn make(
    settings: &ListenerTls,
    protocol: ListenerProtocol,
    before: Option<&ServerConfig>,
) -> Result<Made<ServerConfig>, Invalid> {
    let mut pairs = Vec::with_capacity(settings.certificates.len());
    for (i, files) in settings.certificates.iter().enumerate() {
        pairs.push(Pair::load(files).map_err(|e| e.within(&format!("tls.certificates[{i}]")))?);
    }
    let fault = |e: rustls::Error| Invalid::new("tls", e);
    let names = ByName::new(&pairs, protocol == ListenerProtocol::Http2)
        .ok_or_else(|| Invalid::new("tls.certificates", "must be one at least"))?;
    let versions: &[&SupportedProtocolVersion] = match settings.min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions).map_err(fault)?;
    let builder = match &settings.client_certificate {
        None => builder.with_no_client_auth(),
        Some(client) => builder.with_client_cert_verifier(verifier(client)?),
    };
    let mut config = builder.with_cert_resolver(Arc::new(names));
    config.alpn_protocols = match protocol {
        ListenerProtocol::Auto => vec![ALPN_HTTP2.into(), ALPN_HTTP1.into()],
        ListenerProtocol::Http1 => vec![ALPN_HTTP1.into()],
        ListenerProtocol::Http2 => vec![ALPN_HTTP2.into()],
    };
    config.send_tls13_tickets = TICKETS;
    // A resumed session is not asked for its certificate again, so those of clients that an older file let in must end
    // with it. Between listeners nothing is shared for the same reason.
    if let Some(before) = before.filter(|_| settings.client_certificate.is_none()) {
        config.ticketer = Arc::clone(&before.ticketer);
        config.session_storage = Arc::clone(&before.session_storage);
    } else {
        config.ticketer = Ticketer::new().map_err(fault)?;
        config.session_storage = ServerSessionMemoryCache::new(REMEMBERED_SESSIONS);
    }
    Ok(Made { config, certificates: pairs.into_iter().map(|pair| pair.presented).collect() })
}

fn verifier(client: &ClientCertificate) -> Result<Arc<dyn ClientCertVerifier>, Invalid> {
    let refuse = |reason| Invalid::new("tls.client_certificate.ca_file", reason);
    let roots: Arc<RootCertStore> = pem::authorities(&client.ca).map_err(refuse)?;
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let builder = match client.mode {
        ClientCertificateMode::Optional => builder.allow_unauthenticated(),
        ClientCertificateMode::Required => builder,
    };
    builder.build().map_err(|e| refuse(format!("{}: {e}", client.ca.display())))
}
