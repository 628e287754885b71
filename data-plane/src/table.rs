//! The configuration as requests see it: compiled, immutable, swapped as a whole.

mod applied;
mod apply;
mod build;
mod compile;
mod entry;
mod fit;
mod forms;
mod here;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;
use weir_proto::ServiceName;

pub(crate) use self::{
    applied::Applied,
    apply::Applier,
    entry::{Member, ServiceEntry},
    here::Here,
};
use crate::{endpoint::Endpoint, objects::Position, router::Router};

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

impl Table {
    /// Every endpoint that takes no new requests: of backends that are draining, disabled or expired, and departed.
    pub(crate) fn unroutable(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        // Reports ask after every change: a service whose members are all routable is not looked through.
        let some = self.services.values().filter(|entry| (entry.routable as usize) < entry.members.len());
        let members = some.flat_map(|entry| entry.members.values());
        members.filter(|m| !m.backend.is_routable()).map(|m| &m.endpoint).chain(&self.departed)
    }
}
