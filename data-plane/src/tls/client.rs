//! What a service uses to speak TLS to its backends.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    sign::SingleCertAndKey,
};
use rustls_pki_types::{DnsName, ServerName};
use weir_proto::{Invalid, PeerName, ServiceProtocol, ServiceTls};

use super::{
    ALPN_HTTP1, ALPN_HTTP2,
    current::{Current, Made, Renewal},
    pair::{Pair, Presented},
    pem, provider, roots,
    verifier::OneOf,
};

/// Names of backends whose sessions one service remembers.
const REMEMBERED_PEERS: usize = 256;

/// A service's TLS. The same one as long as its settings stay, whatever becomes of the files.
#[derive(Debug)]
pub(crate) struct Client {
    settings: ServiceTls,
    protocol: ServiceProtocol,
    /// None: a backend's own address.
    server_name: Option<ServerName<'static>>,
    current: Current<ClientConfig>,
}

impl Client {
    /// Reads the files. A refusal names the field, from `tls` on, and the file.
    pub(crate) fn load(settings: &ServiceTls, protocol: ServiceProtocol) -> Result<Arc<Self>, Invalid> {
        let server_name = settings.server_name.as_ref().map(name).transpose();
        let server_name = server_name.map_err(|e| e.within("tls.server_name"))?;
        let pair = settings.certificate.iter().flat_map(|c| [&c.certificate, &c.private_key]);
        let files: Vec<PathBuf> = settings.ca.iter().chain(pair).cloned().collect();
        let current = Current::load(files, || make(settings, protocol))?;
        Ok(Arc::new(Self { settings: settings.clone(), protocol, server_name, current }))
    }

    /// For the next handshake.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.current.config()
    }

    /// Whom to ask for at a backend: the name in SNI, and in the certificate unless there are others.
    pub(crate) fn server_name(&self, address: SocketAddr) -> ServerName<'static> {
        self.server_name.clone().unwrap_or_else(|| ServerName::IpAddress(address.ip().into()))
    }

    /// Whether a backend that has chosen this protocol by ALPN speaks what the service speaks.
    pub(crate) fn accepts(&self, alpn: Option<&[u8]>) -> bool {
        match self.protocol {
            ServiceProtocol::Http1 => alpn.is_none_or(|chosen| chosen == ALPN_HTTP1),
            ServiceProtocol::Http2 => alpn == Some(ALPN_HTTP2),
        }
    }

    /// Whether it is made of these settings.
    pub(crate) fn is_of(&self, settings: &ServiceTls, protocol: ServiceProtocol) -> bool {
        self.settings == *settings && self.protocol == protocol
    }

    /// What is presented to backends.
    pub(crate) fn certificates(&self) -> Arc<[Presented]> {
        self.current.certificates()
    }

    /// Why what is in force is not what the files say now.
    pub(crate) fn failure(&self) -> Option<Invalid> {
        self.current.failure()
    }

    /// Looks whether the files have changed. Sessions end with the configuration they were begun by: a backend that an
    /// older file let in is verified again.
    pub(super) fn renew(&self) -> Renewal {
        self.current.renew(|_| make(&self.settings, self.protocol))
    }
}

fn make(settings: &ServiceTls, protocol: ServiceProtocol) -> Result<Made<ClientConfig>, Invalid> {
    let pair = settings.certificate.as_ref().map(Pair::load).transpose().map_err(|e| e.within("tls"))?;
    let fault = |e: rustls::Error| Invalid::new("tls", e);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(settings)?);
    let (mut config, certificates) = match pair {
        None => (builder.with_no_client_auth(), Vec::new()),
        Some(Pair { key, presented }) => {
            let resolver = SingleCertAndKey::from(Arc::unwrap_or_clone(key));
            (builder.with_client_cert_resolver(Arc::new(resolver)), vec![presented])
        }
    };
    config.alpn_protocols = match protocol {
        ServiceProtocol::Http1 => vec![ALPN_HTTP1.into()],
        ServiceProtocol::Http2 => vec![ALPN_HTTP2.into()],
    };
    config.resumption = Resumption::in_memory_sessions(REMEMBERED_PEERS);
    Ok(Made { config, certificates })
}

fn verifier(settings: &ServiceTls) -> Result<Arc<dyn ServerCertVerifier>, Invalid> {
    let refuse = |reason: String| Invalid::new("tls.ca_file", reason);
    let roots = match &settings.ca {
        Some(path) => pem::authorities(path),
        None => roots::of_host(),
    };
    let roots = roots.map_err(refuse)?;
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider()).build();
    let webpki = webpki.map_err(|e| refuse(e.to_string()))?;
    if settings.subject_alt_names.is_empty() {
        return Ok(webpki);
    }
    let names = settings.subject_alt_names.iter().enumerate();
    let names =
        names.map(|(i, peer)| name(peer).map_err(|e| e.within(&format!("tls.subject_alt_names[{i}]"))));
    Ok(Arc::new(OneOf::new(roots, names.collect::<Result<_, _>>()?, webpki)))
}

fn name(peer: &PeerName) -> Result<ServerName<'static>, Invalid> {
    match peer {
        PeerName::Ip(ip) => Ok(ServerName::IpAddress((*ip).into())),
        PeerName::Dns(text) => match DnsName::try_from(text.clone()) {
            Ok(name) => Ok(ServerName::DnsName(name)),
            Err(e) => Err(Invalid::new("", format_args!("{text:?} cannot be asked for: {e}"))),
        },
    }
}
