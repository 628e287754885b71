//! Which of a listener's certificates a client gets: by the name that it asks for (SNI, RFC 6066 section 3).

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{ALPN_HTTP2, pair::Pair};

/// Certificates by the names that they are for.
#[derive(Debug)]
pub(super) struct ByName {
    /// For clients that ask for no name, or for one that nobody has.
    first: Arc<CertifiedKey>,
    exact: HashMap<Box<str>, Arc<CertifiedKey>, RandomState>,
    /// What follows the `*.`, which stands for exactly one label (RFC 9525 section 6.3).
    wildcards: HashMap<Box<str>, Arc<CertifiedKey>, RandomState>,
    http2_alone: bool,
}

impl ByName {
    /// None without a certificate. With `http2_alone`, who does not offer HTTP/2 by ALPN gets none of them: whoever
    /// offers nothing at all would else have agreed on nothing.
    pub(super) fn new(pairs: &[Pair], http2_alone: bool) -> Option<Self> {
        let first = Arc::clone(&pairs.first()?.key);
        let (mut exact, mut wildcards) = (HashMap::default(), HashMap::default());
        for pair in pairs {
            for name in &pair.presented.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut wildcards, rest),
                    None => (&mut exact, &**name),
                };
                map.entry(name.into()).or_insert_with(|| Arc::clone(&pair.key));
            }
        }
        Some(Self { first, exact, wildcards, http2_alone })
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.exact.get(name).or_else(|| self.wildcards.get(name.split_once('.')?.1))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.http2_alone && !hello.alpn()?.any(|offered| offered == ALPN_HTTP2) {
            return None;
        }
        let found = hello.server_name().and_then(|name| {
            // Hardly anybody asks in capitals.
            if name.bytes().any(|c| c.is_ascii_uppercase()) {
                self.find(&name.to_ascii_lowercase())
            } else {
                self.find(name)
            }
        });
        Some(Arc::clone(found.unwrap_or(&self.first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Authority, Folder};

    #[test]
    fn an_exact_name_goes_before_a_wildcard_and_the_first_before_the_second() {
        let (folder, root) = (Folder::new(), Authority::new("root"));
        let pair = |file: &str, names: &[&str]| {
            let issued = root.issue(names);
            Pair::load(&folder.pair(file, &issued.certificate, &issued.key)).unwrap()
        };
        let pairs = [
            pair("0", &["default.example"]),
            pair("1", &["*.shop.example"]),
            pair("2", &["a.shop.example", "*.shop.example"]),
        ];
        let names = ByName::new(&pairs, false).unwrap();
        let found = |name: &str| {
            let key = names.find(name)?;
            pairs.iter().position(|pair| Arc::ptr_eq(&pair.key, key))
        };
        assert_eq!(found("a.shop.example"), Some(2));
        assert_eq!(found("b.shop.example"), Some(1));
        assert_eq!(found("default.example"), Some(0));
        for other in ["a.b.shop.example", "shop.example", "example", ""] {
            assert_eq!(found(other), None, "{other:?}");
        }
    }
}
