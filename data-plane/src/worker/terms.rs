//! What a listener offers its clients.

use std::sync::Arc;

use weir_proto::{Limits, ListenerProtocol};

use crate::tls;

/// How to treat the clients of an address. May change while it is open.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The listener's name, or `--listen`.
    pub(crate) name: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) protocol: ListenerProtocol,
    /// None: in the clear.
    pub(crate) tls: Option<Arc<tls::Server>>,
}

impl Terms {
    /// Everything but the limits by default.
    pub(crate) fn plain(name: &str, limits: Limits) -> Self {
        Self { name: name.into(), limits, protocol: ListenerProtocol::default(), tls: None }
    }
}

impl PartialEq for Terms {
    /// TLS is the same if it is the very same: it follows its files by itself.
    fn eq(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same_tls && (&self.name, self.limits, self.protocol) == (&other.name, other.limits, other.protocol)
    }
}

impl Eq for Terms {}
