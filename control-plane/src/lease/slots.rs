//! One slot for each lease. Values are copied out or changed in place: no guard ever leaves this module, because a
//! guard held across another call on the same map can deadlock.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use tokio::time::Instant;
use weir_proto::{BackendId, BackendKey, LeaseId, LeaseTerms};

use super::{guard::Hold, tally::Service, wheel::Filing};

/// Slots by lease.
#[derive(Debug, Default)]
pub(super) struct Slots(DashMap<LeaseId, Slot>);

/// What is known of one lease. There may be a million.
#[derive(Debug)]
pub(super) struct Slot {
    /// Whose it is. The texts are shared with the snapshot's backend.
    pub(super) service: Arc<Service>,
    pub(super) id: BackendId,
    /// When it is due, or has its backend removed.
    pub(super) deadline: Instant,
    /// What was promised, in milliseconds.
    pub(super) ttl: u32,
    pub(super) deregister_after: u32,
    /// Its last filing in the wheel; earlier ones are out of date.
    pub(super) filed: Filing,
    /// How it stands.
    pub(super) phase: Phase,
}

/// How a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It was renewed within the last two thirds of its ttl.
    Fresh,
    /// It lives, but was not.
    Late,
    /// It was not renewed for a whole ttl, and lives nevertheless.
    Overdue(Hold),
    /// It does not live; the backend is still listed.
    Expired,
}

impl Phase {
    pub(super) fn is_live(self) -> bool {
        self != Self::Expired
    }

    pub(super) fn is_late(self) -> bool {
        matches!(self, Self::Late | Self::Overdue(_))
    }

    pub(super) fn is_overdue(self) -> bool {
        matches!(self, Self::Overdue(_))
    }
}

impl Slot {
    /// A lease that begins, or expires, at `now`. It is not filed and not counted.
    pub(super) fn new(
        service: Arc<Service>,
        id: BackendId,
        terms: LeaseTerms,
        phase: Phase,
        now: Instant,
    ) -> Self {
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let (ttl, deregister_after) = (millis(terms.ttl), millis(terms.deregister_after));
        let mut slot = Self { service, id, deadline: now, ttl, deregister_after, filed: 0, phase };
        slot.deadline += slot.span();
        slot
    }

    pub(super) fn backend(&self) -> BackendKey {
        BackendKey { service: self.service.name().clone(), id: self.id.clone() }
    }

    pub(super) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl.into())
    }

    pub(super) fn deregister_after(&self) -> Duration {
        Duration::from_millis(self.deregister_after.into())
    }

    /// When it began to wait for its deadline: its last renewal, or its expiry.
    pub(super) fn began(&self) -> Instant {
        self.deadline.checked_sub(self.span()).unwrap_or(self.deadline)
    }

    /// When it is to be looked at, if nothing happens to it.
    pub(super) fn next_look(&self) -> Instant {
        match self.phase {
            Phase::Fresh => self.began() + self.ttl() * 2 / 3,
            Phase::Late | Phase::Overdue(_) | Phase::Expired => self.deadline,
        }
    }

    fn span(&self) -> Duration {
        if self.phase.is_live() { self.ttl() } else { self.deregister_after() }
    }
}

impl Slots {
    /// Reads one slot. `read` must not come back here.
    pub(super) fn read<T>(&self, id: LeaseId, read: impl FnOnce(&Slot) -> T) -> Option<T> {
        self.0.get(&id).map(|slot| read(&slot))
    }

    /// Puts a slot in the place of another one, whose filings are out of date then.
    pub(super) fn insert(&self, id: LeaseId, mut slot: Slot) -> Option<Slot> {
        match self.0.entry(id) {
            dashmap::Entry::Occupied(mut old) => {
                slot.filed = old.get().filed.wrapping_add(1);
                Some(old.insert(slot))
            }
            dashmap::Entry::Vacant(new) => {
                new.insert(slot);
                None
            }
        }
    }

    pub(super) fn remove(&self, id: LeaseId) -> Option<Slot> {
        self.0.remove(&id).map(|(_, slot)| slot)
    }

    /// Changes one slot. `change` must not come back here.
    pub(super) fn update<T>(&self, id: LeaseId, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        self.0.get_mut(&id).map(|mut slot| change(&mut slot))
    }

    /// Changes every slot. `change` must not come back here.
    pub(super) fn update_all(&self, mut change: impl FnMut(&mut Slot)) {
        self.0.iter_mut().for_each(|mut slot| change(&mut slot));
    }
}
