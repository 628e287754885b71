//! How far the fleet is with leaving one backend.

use tokio::time::Instant;
use weir_proto::{Epoch, ProxyId, Revision};

use super::member::{MOST_DRAINING, Member};

/// What the proxies said of it since `Draining::add` began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Draining {
    /// Proxies that count: those that are connected, or were a moment ago.
    pub live: usize,
    /// Requests still in flight, as far as reported.
    pub in_flight: u64,
    /// Proxies that did not acknowledge the revision.
    pub unacknowledged: Vec<ProxyId>,
    /// Proxies that did, and have not counted since.
    pub uncounted: Vec<ProxyId>,
    /// Proxies that did, and have requests in flight.
    pub busy: Vec<ProxyId>,
}

impl Draining {
    /// Adds what a proxy said, if it counts.
    pub(super) fn add(
        &mut self,
        member: &Member,
        now: Instant,
        epoch: Epoch,
        revision: Revision,
        backend: &str,
    ) {
        if !member.is_live(now) {
            return;
        }
        self.live += 1;
        let id = || member.identity.id.clone();
        let report = member.report.as_ref();
        let said = report.and_then(|report| report.draining.get(backend).copied());
        // What a proxy reports may be anything.
        self.in_flight = self.in_flight.saturating_add(said.unwrap_or(0));
        // A proxy that has the revision and does not name the backend does not know it, if there was room for its name.
        let counted = report.is_some_and(|report| {
            report.revision >= revision && (said.is_some() || report.draining.len() < MOST_DRAINING)
        });
        if !member.has(epoch, revision) {
            self.unacknowledged.push(id());
        } else if !counted {
            self.uncounted.push(id());
        } else if said.is_some_and(|count| count > 0) {
            self.busy.push(id());
        }
    }

    /// Whether no proxy that counts uses the backend any more.
    pub(crate) fn is_done(&self) -> bool {
        self.in_flight == 0 && self.waiting_for().next().is_none()
    }

    /// Those who did not acknowledge, or not count since.
    pub(crate) fn unheard(&self) -> impl Iterator<Item = &ProxyId> {
        self.unacknowledged.iter().chain(&self.uncounted)
    }

    /// Those on whom it depends.
    pub(crate) fn waiting_for(&self) -> impl Iterator<Item = &ProxyId> {
        self.unheard().chain(&self.busy)
    }
}
