//! Everything that speaks TLS in the configuration in force.

use std::sync::Arc;

use weir_proto::{Invalid, ObjectKey, ObjectKind};

use super::{Client, Presented, Server, current::Renewal};
use crate::table::{Applied, Table};

/// What an object of the configuration speaks TLS with.
#[derive(Debug, Clone)]
pub(crate) enum InUse {
    Listener(Arc<Server>),
    Service(Arc<Client>),
}

/// All of them with the objects that they belong to.
pub(crate) fn in_use(applied: &Applied, table: Option<&Table>) -> Vec<(ObjectKey, InUse)> {
    let listeners = applied.open.values().filter_map(|terms| {
        let tls = InUse::Listener(Arc::clone(terms.tls.as_ref()?));
        Some((ObjectKey::new(ObjectKind::Listener, &terms.name), tls))
    });
    let services = table.into_iter().flat_map(|table| &table.services).filter_map(|(name, entry)| {
        let tls = InUse::Service(Arc::clone(entry.tls.as_ref()?));
        Some((ObjectKey::new(ObjectKind::Service, name.as_str()), tls))
    });
    listeners.chain(services).collect()
}

impl InUse {
    /// What is presented to the other side.
    pub(crate) fn certificates(&self) -> Arc<[Presented]> {
        match self {
            Self::Listener(server) => server.certificates(),
            Self::Service(client) => client.certificates(),
        }
    }

    /// Why what is in force is not what the files say now.
    pub(crate) fn failure(&self) -> Option<Invalid> {
        match self {
            Self::Listener(server) => server.failure(),
            Self::Service(client) => client.failure(),
        }
    }

    pub(super) fn renew(&self) -> Renewal {
        match self {
            Self::Listener(server) => server.renew(),
            Self::Service(client) => client.renew(),
        }
    }
}
