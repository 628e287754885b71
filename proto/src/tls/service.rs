//! TLS to backends.

use std::{fmt, net::IpAddr, path::PathBuf};

use super::{CertificateFiles, path};
use crate::{Invalid, name::dns_name, v1};

/// How many names of which one must be in a backend's certificate.
const MAX_SUBJECT_ALT_NAMES: usize = 64;

/// How TLS is spoken to the backends of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ServiceTls {
    /// The authorities that are trusted; those of the proxy's host without it.
    pub ca: Option<PathBuf>,
    /// Who a backend must be, and is told to be by SNI; the backend's IP address without it.
    pub server_name: Option<PeerName>,
    /// If there are any, the certificate must be for one of them in place of `server_name`.
    pub subject_alt_names: Vec<PeerName>,
    /// What is presented to a backend that asks.
    pub certificate: Option<CertificateFiles>,
}

/// What a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerName {
    /// A DNS name, in lower case.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

impl TryFrom<v1::ServiceTls> for ServiceTls {
    type Error = Invalid;

    fn try_from(wire: v1::ServiceTls) -> Result<Self, Invalid> {
        let ca = match &*wire.ca_file {
            "" => None,
            ca => Some(path("ca_file", ca)?),
        };
        let server_name = match &*wire.server_name {
            "" => None,
            name => Some(PeerName::try_from(name).map_err(|e| e.within("server_name"))?),
        };
        let n = wire.subject_alt_names.len();
        if n > MAX_SUBJECT_ALT_NAMES {
            let reason = format!("must be at most {MAX_SUBJECT_ALT_NAMES}, are {n}");
            return Err(Invalid::new("subject_alt_names", reason));
        }
        let names = wire.subject_alt_names.iter().enumerate().map(|(i, name)| {
            PeerName::try_from(&**name).map_err(|e| e.within(&format!("subject_alt_names[{i}]")))
        });
        let subject_alt_names = names.collect::<Result<_, _>>()?;
        let certificate = match (&*wire.certificate_file, &*wire.private_key_file) {
            ("", "") => None,
            ("", _) => return Err(Invalid::new("certificate_file", "is missing beside the private key")),
            (_, "") => return Err(Invalid::new("private_key_file", "is missing beside the certificate")),
            (certificate, key) => Some(CertificateFiles {
                certificate: path("certificate_file", certificate)?,
                private_key: path("private_key_file", key)?,
            }),
        };
        Ok(Self { ca, server_name, subject_alt_names, certificate })
    }
}

impl TryFrom<&str> for PeerName {
    type Error = Invalid;

    fn try_from(text: &str) -> Result<Self, Invalid> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let name = text.to_ascii_lowercase();
        let wrong = |why| Invalid::new("", format_args!("must be a DNS name or an IP address: {why}"));
        dns_name(&name).map_err(wrong)?;
        // What ends in a number is an address to some readers and a name to others.
        if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|c| c.is_ascii_digit())) {
            return Err(wrong("its last label must not be a number".to_owned()));
        }
        Ok(Self::Dns(name))
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(wire: v1::ServiceTls) -> String {
        ServiceTls::try_from(wire).unwrap_err().to_string()
    }

    #[test]
    fn everything_may_be_absent() {
        assert_eq!(ServiceTls::try_from(v1::ServiceTls::default()), Ok(ServiceTls::default()));
    }

    #[test]
    fn names_are_dns_names_or_addresses() {
        let name = |text| PeerName::try_from(text).map(|name| name.to_string()).ok();
        assert_eq!(name("Shop.Example").as_deref(), Some("shop.example"));
        assert_eq!(name("10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(name("::1").as_deref(), Some("::1"));
        for bad in ["", "*.shop.example", "10.0.0.256", "a b", "shop.example.", "10.0.0.1:443"] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let names = vec!["a.example".to_owned(), "*".to_owned()];
        let text = reason(v1::ServiceTls { subject_alt_names: names, ..Default::default() });
        assert!(text.starts_with("subject_alt_names[1]: must be a DNS name or an IP address"), "{text}");
        let text = reason(v1::ServiceTls { certificate_file: "/a".into(), ..Default::default() });
        assert_eq!(text, "private_key_file: is missing beside the certificate");
        let text = reason(v1::ServiceTls { private_key_file: "/a".into(), ..Default::default() });
        assert_eq!(text, "certificate_file: is missing beside the private key");
        let text = reason(v1::ServiceTls { subject_alt_names: vec!["a".into(); 65], ..Default::default() });
        assert_eq!(text, "subject_alt_names: must be at most 64, are 65");
    }
}
