//! Who promised to live until when, and who is due. No I/O; time is passed in and never the wall clock's.
//!
//! A heartbeat moves the deadline in one slot and nothing else. The wheel holds each lease once, filed under the
//! deadline it had when it was filed; when that comes it is looked at again, and filed anew if it lives on.

mod slots;
mod wheel;

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;
use weir_proto::{BackendKey, LeaseId, LeaseState, LeaseTerms, ObjectKind};

use crate::snapshot::{Entry, Snapshot};
use slots::{Phase, Slot, Slots};
use wheel::{Filing, Wheel};

pub(crate) use wheel::TICK;

/// When something that was due could not be done (a full disk, for example), it is due again after this.
const RETRY: Duration = Duration::from_secs(1);

/// All leases, live and expired. Shared: every method may be called from anywhere at any time.
#[derive(Debug)]
pub(crate) struct Leases {
    slots: Slots,
    wheel: Mutex<Wheel>,
    live: AtomicUsize,
}

/// What is due for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lapse {
    /// It was not renewed for a whole ttl.
    Expire(LeaseId),
    /// It expired so long ago that its backend goes.
    Remove(LeaseId),
}

impl Leases {
    /// The leases of a snapshot that was just loaded: each begins anew at `now`, with the whole ttl or, if it has
    /// expired, the whole time before its backend is removed.
    pub(crate) fn restore(snapshot: &Snapshot, now: Instant) -> Self {
        let leases =
            Self { slots: Slots::default(), wheel: Mutex::new(Wheel::new(now)), live: AtomicUsize::new(0) };
        for entry in snapshot.list(ObjectKind::Backend, None) {
            let Some((id, backend, terms, expired)) = promised(entry) else { continue };
            leases.grant(id, backend, terms, now);
            if expired && leases.begin_expiry(id, now + terms.ttl).is_some() {
                leases.slots.update(id, |slot| slot.deadline = now + slot.terms.deregister_after);
                leases.file(id);
            }
        }
        leases
    }

    /// Makes a lease live from `now` on; one that lives already gets new terms.
    pub(crate) fn grant(&self, id: LeaseId, backend: BackendKey, terms: LeaseTerms, now: Instant) {
        let deadline = now + terms.ttl;
        let slot = Slot { backend, terms, renewed: now, deadline, filed: 0, phase: Phase::Live };
        if self.slots.insert(id, slot).is_none_or(|old| old.phase == Phase::Expired) {
            self.live.fetch_add(1, Relaxed);
        }
        self.file(id);
    }

    /// Extends a lease to a whole ttl from `now` on. False if there is none, or it has expired.
    pub(crate) fn renew(&self, id: LeaseId, now: Instant) -> bool {
        let renew = |slot: &mut Slot| {
            if slot.phase == Phase::Live {
                slot.renewed = now;
                slot.deadline = now + slot.terms.ttl;
            }
            slot.phase == Phase::Live
        };
        self.slots.update(id, renew).unwrap_or(false)
    }

    /// How long a live lease lasts if it is not renewed; 0 if it is due.
    pub(crate) fn remaining(&self, id: LeaseId, now: Instant) -> Option<Duration> {
        let slot = self.slots.get(id).filter(|slot| slot.phase == Phase::Live)?;
        Some(slot.deadline.saturating_duration_since(now))
    }

    /// The backend that the lease is for, live or expired.
    pub(crate) fn backend(&self, id: LeaseId) -> Option<BackendKey> {
        self.slots.get(id).map(|slot| slot.backend)
    }

    /// How many leases live.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Relaxed)
    }

    /// Whether there is such a lease, live or expired.
    pub(crate) fn knows(&self, id: LeaseId) -> bool {
        self.slots.get(id).is_some()
    }

    /// Takes out at most `most` of those whose time is over at `now`. Whoever gets one of them passes it on to
    /// `begin_expiry` or `removable`, or back to `postpone`; else it is never due again.
    pub(crate) fn due(&self, now: Instant, most: usize) -> Vec<Lapse> {
        let mut due = Vec::new();
        while due.len() < most
            && let Some((filed, id)) = self.pop(now)
        {
            let Some(slot) = self.slots.get(id).filter(|slot| slot.filed == filed) else { continue };
            match slot.phase {
                _ if slot.deadline > now => self.file(id),
                Phase::Live => due.push(Lapse::Expire(id)),
                Phase::Expired => due.push(Lapse::Remove(id)),
            }
        }
        due
    }

    /// Expires a lease that was due at `at`, unless a heartbeat has come since: from now on it is unknown to
    /// heartbeats. To be followed by `file` or by `postpone`.
    pub(crate) fn begin_expiry(&self, id: LeaseId, at: Instant) -> Option<BackendKey> {
        let expire = |slot: &mut Slot| {
            let is_due = slot.phase == Phase::Live && slot.deadline <= at;
            if is_due {
                slot.phase = Phase::Expired;
                slot.deadline = at + slot.terms.deregister_after;
            }
            is_due.then(|| slot.backend.clone())
        };
        let expired = self.slots.update(id, expire).flatten();
        match expired {
            Some(_) => _ = self.live.fetch_sub(1, Relaxed),
            None => self.file(id),
        }
        expired
    }

    /// The backend of a lease that was due for removal at `at`, if it still is. To be followed by `forget` or
    /// `postpone`.
    pub(crate) fn removable(&self, id: LeaseId, at: Instant) -> Option<BackendKey> {
        let slot = self.slots.get(id).filter(|slot| slot.phase == Phase::Expired && slot.deadline <= at);
        if slot.is_none() {
            self.file(id);
        }
        slot.map(|slot| slot.backend)
    }

    /// Has the lease looked at again when its present deadline comes.
    pub(crate) fn file(&self, id: LeaseId) {
        // Held all the while: until the slot has the number, nobody may find the filing.
        let mut wheel = self.wheel();
        let number = wheel.number();
        let mark = |slot: &mut Slot| {
            slot.filed = number;
            slot.deadline
        };
        if let Some(deadline) = self.slots.update(id, mark) {
            wheel.push(deadline, number, id);
        }
    }

    /// Takes back what was due at `now` and could not be done. It is due again a little later.
    pub(crate) fn postpone(&self, lapse: Lapse, now: Instant) {
        let (id, phase) = match lapse {
            Lapse::Expire(id) => (id, Phase::Live),
            Lapse::Remove(id) => (id, Phase::Expired),
        };
        let back = |slot: &mut Slot| {
            slot.deadline = now + RETRY;
            std::mem::replace(&mut slot.phase, phase)
        };
        if let Some(before) = self.slots.update(id, back)
            && before != phase
            && phase == Phase::Live
        {
            self.live.fetch_add(1, Relaxed);
        }
        self.file(id);
    }

    /// Forgets a lease.
    pub(crate) fn forget(&self, id: LeaseId) {
        if self.slots.remove(id).is_some_and(|slot| slot.phase == Phase::Live) {
            self.live.fetch_sub(1, Relaxed);
        }
    }

    /// Nothing ran between `from` and `to` (the process was stopped, or the machine): nobody could renew in that
    /// time, so it counts for no lease.
    pub(crate) fn extend(&self, from: Instant, to: Instant) {
        self.slots.update_all(|slot| {
            slot.deadline += to.saturating_duration_since(from.max(slot.renewed));
        });
    }

    /// A method of its own, so that the lock is released before the caller goes on.
    fn pop(&self, now: Instant) -> Option<(Filing, LeaseId)> {
        self.wheel().pop(now)
    }

    fn wheel(&self) -> std::sync::MutexGuard<'_, Wheel> {
        self.wheel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a stored backend with a lease promised, and whether it has expired.
fn promised(entry: &Entry) -> Option<(LeaseId, BackendKey, LeaseTerms, bool)> {
    let backend = entry.object.value.as_backend()?;
    let (id, terms) = (entry.lease_id()?, entry.lease_terms()?);
    Some((id, backend.key.clone(), terms, backend.lease_state == LeaseState::Expired))
}
