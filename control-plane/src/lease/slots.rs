//! One slot for each lease. Values are copied out or changed in place: no guard ever leaves this module, because a
//! guard held across another call on the same map can deadlock.

use dashmap::DashMap;
use tokio::time::Instant;
use weir_proto::{BackendKey, LeaseId, LeaseTerms};

use super::wheel::Filing;

/// Slots by lease.
#[derive(Debug, Default)]
pub(super) struct Slots(DashMap<LeaseId, Slot>);

/// What is known of one lease.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// Whose it is.
    pub(super) backend: BackendKey,
    /// What was promised.
    pub(super) terms: LeaseTerms,
    /// When it was last heard of.
    pub(super) renewed: Instant,
    /// When it expires, or has its backend removed.
    pub(super) deadline: Instant,
    /// Its last filing in the wheel; earlier ones are out of date.
    pub(super) filed: Filing,
    /// How it stands.
    pub(super) phase: Phase,
}

/// How a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The promise holds.
    Live,
    /// It does not; the backend is still listed.
    Expired,
}

impl Slots {
    pub(super) fn get(&self, id: LeaseId) -> Option<Slot> {
        self.0.get(&id).map(|slot| slot.clone())
    }

    pub(super) fn insert(&self, id: LeaseId, slot: Slot) -> Option<Slot> {
        self.0.insert(id, slot)
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
