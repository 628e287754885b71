//! In which order proxies came, went and acknowledged: who knows a number needs to look only at what came later.

use std::collections::BTreeMap;

use weir_proto::ProxyId;

use super::{super::member::Member, Roster};

/// Each proxy under the number of its last change.
#[derive(Debug, Default)]
pub(super) struct Changes {
    last: u64,
    order: BTreeMap<u64, ProxyId>,
}

impl Roster {
    /// The number of the last change.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.last
    }

    /// The proxies that came, went or acknowledged after the change of that number.
    pub(crate) fn changed_since(&self, change: u64) -> impl Iterator<Item = &ProxyId> {
        self.changes.order.range(change + 1..).map(|(_, id)| id)
    }

    /// The proxy of that id, unless it is forgotten.
    pub(crate) fn member(&self, id: &ProxyId) -> Option<&Member> {
        self.members.get(id)
    }

    pub(in super::super) fn touch(&mut self, id: &ProxyId) {
        let Some(member) = self.members.get_mut(id) else { return };
        self.changes.order.remove(&member.change);
        self.changes.last += 1;
        member.change = self.changes.last;
        self.changes.order.insert(member.change, id.clone());
    }

    pub(super) fn take(&mut self, id: &ProxyId) -> Option<Member> {
        let member = self.members.remove(id)?;
        self.changes.order.remove(&member.change);
        self.unwritten.insert(id.clone());
        Some(member)
    }
}
