//! The configuration as requests see it: compiled, immutable, swapped as a whole.

mod apply;
mod compile;
mod forms;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;
use weir_proto::{Backend, BackendId, Service, ServiceName};

pub(crate) use self::apply::{Applied, Applier};
use crate::{
    balance::Balance, counters::ServiceCounters, endpoint::Endpoint, objects::Position, router::Router, tls,
};

/// The table in force. None before the first snapshot.
pub(crate) type SharedTable = ArcSwapOption<Table>;

/// One version of everything. A request sees one table from its start to its end.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) position: Position,
    pub(crate) router: Arc<Router>,
    pub(crate) services: HashMap<ServiceName, Arc<ServiceEntry>, RandomState>,
    /// Endpoints that are in no service any more, until the last request to them has ended.
    pub(crate) departed: Vec<Arc<Endpoint>>,
}

/// A service with what is compiled from it. The same one in successive tables while nothing about it changes.
#[derive(Debug)]
pub(crate) struct ServiceEntry {
    pub(crate) service: Arc<Service>,
    /// Over the routable members.
    pub(crate) balance: Arc<dyn Balance>,
    /// How to speak TLS to the backends; in the clear without it.
    pub(crate) tls: Option<Arc<tls::Client>>,
    /// All backends, routable or not.
    pub(crate) members: BTreeMap<BackendId, Member>,
    /// What became of its requests, since it has been known.
    pub(crate) counters: Arc<ServiceCounters>,
}

/// A backend of a service, and its live state. The endpoint outlasts every change but that of the address.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) backend: Arc<Backend>,
    pub(crate) endpoint: Arc<Endpoint>,
}

impl Table {
    /// Every endpoint that takes no new requests: of backends that are draining, disabled or expired, and departed.
    pub(crate) fn unroutable(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        let members = self.services.values().flat_map(|entry| entry.members.values());
        members.filter(|m| !m.backend.is_routable()).map(|m| &m.endpoint).chain(&self.departed)
    }
}
