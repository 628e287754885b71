//! Keeping the list of those that clients are sent to.

use std::{mem, sync::Arc};

use tokio::time::Instant;
use weir_proto::ProxyId;

use super::{
    super::routable::{Presence, Routable, listed},
    Roster, StreamId,
};

impl Roster {
    /// Notes whether a proxy whose stream began has a configuration already. Until then it counts as it did before.
    pub(crate) fn starts(&mut self, id: &ProxyId, stream: StreamId, has_something: bool) {
        let Some(member) = self.of_stream(id, stream) else { return };
        member.serves = has_something || member.acknowledged.is_some();
        self.is_stale = true;
    }

    /// Notes that a proxy is told to come back then.
    pub(crate) fn put_off(&mut self, id: &ProxyId, stream: StreamId, until: Instant) {
        if let Some(member) = self.of_stream(id, stream) {
            member.put_off(until);
        }
    }

    /// Those that clients are sent to, in the order of their ids, if that may have changed since the last call.
    pub(crate) fn relisted(&mut self, now: Instant) -> Option<Vec<Arc<Routable>>> {
        if !mem::take(&mut self.is_stale) {
            return None;
        }
        let presences: Vec<_> = self.members.values().map(|member| member.presence(now)).collect();
        // The time decides about those, too.
        self.is_waning = presences.iter().any(|p| matches!(p, Presence::Lost { listed: true, .. }));
        let mut list = Vec::with_capacity(presences.len());
        for (member, listed) in self.members.values_mut().zip(listed(&presences)) {
            if member.listed != listed {
                member.listed = listed;
                self.unwritten.insert(member.identity.id.clone());
            }
            list.extend(member.address.iter().filter(|_| listed).cloned());
        }
        Some(list)
    }

    /// Notes that time has passed.
    pub(crate) fn elapsed(&mut self) {
        self.is_stale |= self.is_waning;
    }
}
