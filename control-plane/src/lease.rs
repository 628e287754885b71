//! Who promised to live until when, who is due, and who of those may expire. No I/O; time is passed in and never the wall
//! clock's.
//!
//! A heartbeat moves the deadline in one slot and nothing else. The wheel holds each lease once, filed under the moment
//! at which it is to be looked at: two thirds of a ttl after the renewal that was known when it was filed, to see whether
//! there was another one; if not, at its deadline; and while it is overdue, again and again.

mod damping;
mod guard;
mod slots;
mod tally;
mod wheel;
mod window;
mod withdrawn;

#[cfg(test)]
mod tests;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use weir_proto::{BackendKey, LeaseId, LeaseState, LeaseTerms, ObjectKind, ServiceName};

use crate::snapshot::{Entry, Snapshot};
use slots::{Phase, Slot, Slots};
use tally::{Services, Tally};
use wheel::{Filing, Wheel};
use withdrawn::Withdrawn;

pub(crate) use damping::Damping;
pub(crate) use guard::{Case, Cause, Guard, Hold, Rules, Verdict};
pub(crate) use wheel::TICK;

/// When something that was due could not be done (a full disk, for example), it is due again after this.
const RETRY: Duration = Duration::from_secs(1);
/// How many leases are looked at in one tick, so that a tick is short however many come at once.
const LOOKS_AT_ONCE: usize = 50_000;
/// How many leases that are overdue are looked at again in one tick, so that they cost little however many there are.
const AGAIN_AT_ONCE: usize = 2_000;

/// All leases, live and expired. Shared: every method may be called from anywhere at any time.
#[derive(Debug)]
pub(crate) struct Leases {
    slots: Slots,
    services: Services,
    tally: Tally,
    wheel: Mutex<Wheel>,
    withdrawn: Mutex<Withdrawn>,
}

/// What is due.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Leases that were not renewed for a whole ttl, the longest overdue first.
    pub(crate) silent: Vec<Silent>,
    /// Leases that expired so long ago that their backends go.
    pub(crate) removals: Vec<LeaseId>,
}

/// A lease that was not renewed for a whole ttl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Silent {
    /// Which.
    pub(crate) id: LeaseId,
    /// Whose.
    pub(crate) backend: BackendKey,
    /// How long it lasts.
    pub(crate) ttl: Duration,
    /// When that was over.
    pub(crate) due: Instant,
    /// Whether it is held already.
    pub(crate) is_overdue: bool,
    /// How many leases of its service live.
    pub(crate) live: usize,
}

/// What is to be done about a lease that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lapse {
    /// It expires.
    Expire(LeaseId, Cause),
    /// Its backend goes.
    Remove(LeaseId),
}

impl Due {
    /// Whether nothing is.
    pub(crate) fn is_empty(&self) -> bool {
        self.silent.is_empty() && self.removals.is_empty()
    }
}

impl Leases {
    /// The leases of a snapshot that was just loaded: each begins anew at `now`, with the whole ttl or, if it has
    /// expired, the whole time before its backend is removed.
    pub(crate) fn restore(snapshot: &Snapshot, now: Instant) -> Self {
        let leases = Self {
            slots: Slots::default(),
            services: Services::default(),
            tally: Tally::default(),
            wheel: Mutex::new(Wheel::new(now)),
            withdrawn: Mutex::default(),
        };
        for entry in snapshot.list(ObjectKind::Backend, None) {
            let Some((id, backend, terms, expired)) = promised(entry) else { continue };
            leases.insert(id, &backend, terms, if expired { Phase::Expired } else { Phase::Fresh }, now);
            // All begin at one moment: they must not be looked at together for ever.
            let share = u32::try_from(id.0 % 1_000).unwrap_or_default();
            leases.file_as(id, |slot| now + slot.next_look().saturating_duration_since(now) * share / 1_000);
        }
        leases
    }

    /// Makes a lease live from `now` on; one that lives already gets new terms.
    pub(crate) fn grant(&self, id: LeaseId, backend: &BackendKey, terms: LeaseTerms, now: Instant) {
        self.insert(id, backend, terms, Phase::Fresh, now);
        self.file(id);
    }

    /// Extends a lease to a whole ttl from `now` on. False if there is none, or it has expired.
    pub(crate) fn renew(&self, id: LeaseId, now: Instant) -> bool {
        let renew = |slot: &mut Slot| {
            if slot.phase.is_live() {
                slot.deadline = now + slot.ttl();
                self.enter(slot, Phase::Fresh);
            }
            slot.phase.is_live()
        };
        self.slots.update(id, renew).unwrap_or(false)
    }

    /// How long a live lease lasts if it is not renewed; 0 if it is due.
    pub(crate) fn remaining(&self, id: LeaseId, now: Instant) -> Option<Duration> {
        let remaining =
            |slot: &Slot| slot.phase.is_live().then(|| slot.deadline.saturating_duration_since(now));
        self.slots.read(id, remaining).flatten()
    }

    /// For how long a lease has been overdue, if it is, and why it does not expire.
    pub(crate) fn held(&self, id: LeaseId, now: Instant) -> Option<(Duration, Hold)> {
        let held = |slot: &Slot| match slot.phase {
            Phase::Overdue(hold) => Some((now.saturating_duration_since(slot.deadline), hold)),
            _ => None,
        };
        self.slots.read(id, held).flatten()
    }

    /// The backend that the lease is for, live or expired.
    pub(crate) fn backend(&self, id: LeaseId) -> Option<BackendKey> {
        self.slots.read(id, Slot::backend)
    }

    /// How many leases live.
    pub(crate) fn live(&self) -> usize {
        self.tally.live()
    }

    /// How many of those were not renewed within two thirds of their ttl.
    pub(crate) fn late(&self) -> usize {
        self.tally.late()
    }

    /// The longest ttl that any lease has had.
    pub(crate) fn longest_ttl(&self) -> Duration {
        self.tally.longest_ttl()
    }

    /// How many of those are overdue and held.
    pub(crate) fn overdue(&self) -> usize {
        self.tally.overdue()
    }

    /// How many leases of a service are overdue and held.
    pub(crate) fn overdue_in(&self, service: &ServiceName) -> usize {
        self.services.overdue(service)
    }

    /// Whether there is such a lease, live or expired.
    pub(crate) fn knows(&self, id: LeaseId) -> bool {
        self.slots.read(id, |_| ()).is_some()
    }

    /// Takes out those whose time is over at `now`. Whoever gets one of them passes it on to `begin_expiry`, `removable`
    /// or `hold`, or back to `postpone`; else it is never due again.
    pub(crate) fn due(&self, now: Instant) -> Due {
        let mut due = Due::default();
        for _ in 0..LOOKS_AT_ONCE {
            let Some((filed, id)) = self.pop(now) else { break };
            let look = |slot: &mut Slot| (slot.filed == filed).then(|| self.look(id, slot, now));
            match self.slots.update(id, look).flatten() {
                None => {}
                Some(Look::Again(at, number)) => self.wheel().push(at, number, id),
                Some(Look::Silent(silent)) => due.silent.push(silent),
                Some(Look::Remove) => due.removals.push(id),
            }
        }
        due.silent.sort_by_key(|silent| silent.due);
        due
    }

    /// Expires a lease that was due at `at`, unless a heartbeat has come since: from now on it is unknown to
    /// heartbeats. To be followed by `file` or by `postpone`.
    pub(crate) fn begin_expiry(&self, id: LeaseId, at: Instant) -> Option<BackendKey> {
        let expire = |slot: &mut Slot| {
            let is_due = slot.phase.is_live() && slot.deadline <= at;
            if is_due {
                self.enter(slot, Phase::Expired);
                slot.deadline = at + slot.deregister_after();
            }
            is_due.then(|| slot.backend())
        };
        let expired = self.slots.update(id, expire).flatten();
        if expired.is_none() {
            self.file(id);
        }
        expired
    }

    /// Keeps a lease that was due at `now`, unless a heartbeat has come since. It is due again in a tick, or later if
    /// there are very many. Answers whether it was not held before.
    pub(crate) fn hold(&self, id: LeaseId, why: Hold, now: Instant) -> bool {
        let ticks = 1 + self.overdue() / AGAIN_AT_ONCE;
        let mut is_new = false;
        self.file_as(id, |slot| {
            if !slot.phase.is_live() || slot.deadline > now {
                return slot.next_look();
            }
            is_new = !slot.phase.is_overdue();
            self.enter(slot, Phase::Overdue(why));
            now + TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
        });
        is_new
    }

    /// The backend of a lease that was due for removal at `at`, if it still is. To be followed by `forget` or
    /// `postpone`.
    pub(crate) fn removable(&self, id: LeaseId, at: Instant) -> Option<BackendKey> {
        let removable = |slot: &Slot| (!slot.phase.is_live() && slot.deadline <= at).then(|| slot.backend());
        let backend = self.slots.read(id, removable).flatten();
        if backend.is_none() {
            self.file(id);
        }
        backend
    }

    /// Has the lease looked at when it is next to be.
    pub(crate) fn file(&self, id: LeaseId) {
        self.file_as(id, |slot| slot.next_look());
    }

    /// Takes back what was due at `now` and could not be done. It is due again a little later.
    pub(crate) fn postpone(&self, lapse: Lapse, now: Instant) {
        let (Lapse::Expire(id, _) | Lapse::Remove(id)) = lapse;
        self.file_as(id, |slot| {
            if matches!(lapse, Lapse::Expire(..)) && !slot.phase.is_live() {
                self.enter(slot, Phase::Late);
                slot.deadline = now;
            }
            now + RETRY
        });
    }

    /// Whether the lease lives.
    pub(crate) fn is_live(&self, id: LeaseId) -> bool {
        self.slots.read(id, |slot| slot.phase.is_live()).unwrap_or(false)
    }

    /// Forgets a lease.
    pub(crate) fn forget(&self, id: LeaseId) {
        if let Some(slot) = self.slots.remove(id) {
            self.tally.moved(&slot.service, Some(slot.phase), None);
            self.services.leave(slot.service);
        }
    }

    /// An operator takes out the backend of a lease, whose agent may live on.
    pub(crate) fn withdraw(&self, id: LeaseId, now: Instant) {
        self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner).add(id, now);
    }

    /// A heartbeat came for a lease that does not live. Answers whether an operator took out its backend.
    pub(crate) fn was_withdrawn(&self, id: LeaseId, now: Instant) -> bool {
        self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner).hears(id, now)
    }

    /// Nothing ran between `from` and `to` (the process was stopped, or the machine): nobody could renew in that
    /// time, so it counts for no lease.
    pub(crate) fn extend(&self, from: Instant, to: Instant) {
        self.slots.update_all(|slot| {
            slot.deadline += to.saturating_duration_since(from.max(slot.began()));
        });
    }

    fn insert(&self, id: LeaseId, backend: &BackendKey, terms: LeaseTerms, phase: Phase, now: Instant) {
        let service = self.services.get(&backend.service);
        self.tally.moved(&service, None, Some(phase));
        let slot = Slot::new(service, backend.id.clone(), terms, phase, now);
        self.tally.has_ttl(slot.ttl);
        if let Some(old) = self.slots.insert(id, slot) {
            self.tally.moved(&old.service, Some(old.phase), None);
            self.services.leave(old.service);
        }
    }

    fn enter(&self, slot: &mut Slot, phase: Phase) {
        self.tally.moved(&slot.service, Some(slot.phase), Some(phase));
        slot.phase = phase;
    }

    fn look(&self, id: LeaseId, slot: &mut Slot, now: Instant) -> Look {
        if slot.phase == Phase::Fresh && slot.next_look() <= now {
            self.enter(slot, Phase::Late);
        }
        if slot.deadline > now {
            slot.filed = slot.filed.wrapping_add(1);
            return Look::Again(slot.next_look(), slot.filed);
        }
        if !slot.phase.is_live() {
            return Look::Remove;
        }
        let (backend, ttl, due) = (slot.backend(), slot.ttl(), slot.deadline);
        let (is_overdue, live) = (slot.phase.is_overdue(), slot.service.live());
        Look::Silent(Silent { id, backend, ttl, due, is_overdue, live })
    }

    /// Files a lease under the moment that `when` says.
    fn file_as(&self, id: LeaseId, when: impl FnOnce(&mut Slot) -> Instant) {
        let number = |slot: &mut Slot| {
            let at = when(slot);
            slot.filed = slot.filed.wrapping_add(1);
            (at, slot.filed)
        };
        if let Some((at, number)) = self.slots.update(id, number) {
            self.wheel().push(at, number, id);
        }
    }

    /// A method of its own, so that the lock is released before the caller goes on.
    fn pop(&self, now: Instant) -> Option<(Filing, LeaseId)> {
        self.wheel().pop(now)
    }

    fn wheel(&self) -> std::sync::MutexGuard<'_, Wheel> {
        self.wheel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is found at a lease that was to be looked at.
enum Look {
    /// It is not due: it is to be filed anew, under this number.
    Again(Instant, Filing),
    Silent(Silent),
    Remove,
}

/// What a stored backend with a lease promised, and whether it has expired.
fn promised(entry: &Entry) -> Option<(LeaseId, BackendKey, LeaseTerms, bool)> {
    let backend = entry.object.value.as_backend()?;
    let (id, terms) = (entry.lease_id()?, entry.lease_terms()?);
    Some((id, backend.key.clone(), terms, backend.lease_state == LeaseState::Expired))
}
