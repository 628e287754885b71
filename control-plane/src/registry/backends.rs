//! Backends come and go: registration, deregistration, leases that lapse.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use weir_proto::{
    Backend, BackendKey, LeaseId, LeaseState, LeaseTerms, ObjectKey, ObjectKind, OperatorState, ServiceName,
    v1,
};

use super::{
    Deregistered, Outcome, Registered, Registration, Remove, Target, addresses,
    work::{Effect, Step},
};
use crate::{
    error::Error,
    lease::{Cause, Lapse},
    snapshot::{Entry, Object},
};

/// See `Registry.Register` in `registry.proto`.
pub(super) fn register(step: &mut Step<'_>, wanted: Registration) -> Result<Registered, Error> {
    addresses::backend(step.draft.view(), step.world.policy, &wanted.backend, "backend")?;
    let Some(old) = step.draft.view().backend(&wanted.backend.key).cloned() else {
        return create(step, wanted);
    };
    let standing = old.object.value.as_backend();
    let terms_hold = old.lease_terms() == wanted.lease;
    let owner = owner(&wanted);
    let same_content = standing.is_some_and(|b| same_content(b, &wanted.backend));
    let same = terms_hold && same_content;
    if !same && old.meta.owner.as_ref() != Some(&owner) {
        return Err(foreign(&old, "backend".to_owned()));
    }
    // A heartbeat, whatever else this is: it takes effect even if the rest cannot be stored.
    let live = old.lease_id().filter(|id| is_live(&old) && step.world.leases.renew(*id, step.world.now));
    if same && (live.is_some() || wanted.lease.is_none()) {
        let backend = standing.cloned().unwrap_or(wanted.backend);
        return Ok(registered(step, live, wanted.lease, backend, Outcome::Unchanged));
    }
    // A lease that was live in the snapshot and cannot be renewed lapsed just now.
    let restored = wanted.lease.is_some() && live.is_none();
    if wanted.lease.is_some() && (restored || !same_content) {
        flap(step, &wanted.backend.key)?;
    }
    let lease = wanted.lease.map(|terms| (live.unwrap_or_else(|| new_lease(step)), terms));
    if restored && let Some(expired) = old.lease_id() {
        step.then(Effect::Forget(expired));
    }
    let key = old.object.key.clone();
    let backend = put(step, wanted.backend.in_place_of(standing), lease, owner);
    let (kind, what) = if restored {
        (v1::EventType::LeaseRestored, "registered again after its lease had expired")
    } else {
        (v1::EventType::ObjectUpdated, "registered with other content")
    };
    step.tell(kind, Some(&key), format!("{key} was {what}"));
    let before = standing.cloned().unwrap_or_else(|| backend.clone());
    let outcome = Outcome::Changed { before, ttl: old.lease_terms().map(|terms| terms.ttl) };
    Ok(registered(step, lease.map(|(id, _)| id), wanted.lease, backend, outcome))
}

/// See `Registry.Deregister` in `registry.proto`.
pub(super) fn deregister(step: &mut Step<'_>, target: &Target) -> Deregistered {
    let entry = meant(step, target);
    if let Some(entry) = &entry {
        remove(step, entry, "was deregistered");
        step.then(Effect::Count(step.world.metrics.deregistrations.clone()));
    }
    Deregistered { existed: entry.is_some(), revision: step.revision() }
}

/// The end of a drain. Fails for a backend that is enabled, or was changed meanwhile: then it may have requests again.
pub(super) fn remove_drained(step: &mut Step<'_>, wanted: &Remove) -> Result<Deregistered, Error> {
    let entry = meant(step, &wanted.target);
    if let Some(entry) = &entry {
        if entry.object.value.as_backend().is_some_and(|b| b.operator_state == OperatorState::Enabled) {
            return Err(taken_back(entry.object.key.clone()));
        }
        if let Some(expected) = wanted.unchanged_since.filter(|since| entry.modified() > *since) {
            return Err(Error::RevisionMismatch { expected, current: entry.modified() });
        }
        if let Some(id) = entry.lease_id().filter(|_| wanted.withdraws) {
            // Before the lease ends: no heartbeat finds it unknown in between.
            step.then(Effect::Withdraw(id));
        }
        remove(step, entry, "was drained and removed");
        step.then(Effect::Count(step.world.metrics.deregistrations.clone()));
    }
    Ok(Deregistered { existed: entry.is_some(), revision: step.revision() })
}

/// The refusal to go on with a drain that somebody took back.
pub(crate) fn taken_back(key: ObjectKey) -> Error {
    let reason = "was enabled while it drained, so it is not removed; drain it again if it is to go";
    Error::Precondition { key, reason: reason.to_owned() }
}

/// Does what was due for a lease at `at`, unless a heartbeat or somebody else came first.
pub(super) fn lapse(step: &mut Step<'_>, lapse: Lapse, at: Instant) {
    match lapse {
        Lapse::Expire(id, cause) => {
            let Some(key) = step.world.leases.begin_expiry(id, at) else { return };
            step.then(Effect::Lapse(lapse));
            if let Some(entry) = holder(step, &key, id) {
                expire(step, &entry, cause);
            }
        }
        Lapse::Remove(id) => {
            let Some(key) = step.world.leases.removable(id, at) else { return };
            step.then(Effect::Lapse(lapse));
            if let Some(entry) = holder(step, &key, id) {
                remove(step, &entry, "was removed: its lease expired and nobody registered it again");
            }
        }
    }
}

/// Removes a backend, and its service if that was only there for it.
pub(super) fn remove(step: &mut Step<'_>, entry: &Entry, why: &str) {
    let key = &entry.object.key;
    step.draft.remove(key);
    step.tell(v1::EventType::ObjectDeleted, Some(key), format!("{key} {why}"));
    let backend = entry.object.value.as_backend();
    if let (Some(id), Some(backend)) = (entry.lease_id(), backend) {
        step.then(Effect::Forget(id));
        step.then(Effect::Left(backend.key.clone()));
    }
    if let Some(backend) = backend {
        remove_if_idle(step, &backend.key.service);
    }
}

/// Removes a service that nobody declared and that has no backend any more; answers its key if it did.
pub(super) fn remove_if_idle(step: &mut Step<'_>, service: &ServiceName) -> Option<ObjectKey> {
    let key = ObjectKey::new(ObjectKind::Service, service.as_str());
    let view = step.draft.view();
    let is_idle =
        view.get(&key).is_some_and(|s| s.meta.implicit) && view.backends_of(service, None).next().is_none();
    if !is_idle {
        return None;
    }
    step.draft.remove(&key);
    step.tell(v1::EventType::ObjectDeleted, Some(&key), format!("{key} went with its last backend"));
    Some(key)
}

/// Makes a backend's service, if nobody has declared it.
pub(super) fn ensure_service(step: &mut Step<'_>, service: &ServiceName, owner: &v1::Owner) {
    let key = ObjectKey::new(ObjectKind::Service, service.as_str());
    if step.draft.view().get(&key).is_none() {
        let meta = v1::ObjectMeta { owner: Some(owner.clone()), implicit: true, ..v1::ObjectMeta::default() };
        step.draft.put(Object::default_service(service), meta);
        step.tell(v1::EventType::ObjectCreated, Some(&key), format!("{key} came with its first backend"));
    }
}

/// Whether two backends are declared alike: all but the states and what operators want, which others set.
pub(super) fn same_content(a: &Backend, b: &Backend) -> bool {
    *a == Backend { lease_state: a.lease_state, ..b.clone().in_place_of(Some(a)) }
}

/// The refusal to change what belongs to somebody else.
pub(super) fn foreign(entry: &Entry, field: String) -> Error {
    let owner = entry.meta.owner.clone().unwrap_or_default();
    let kind = match owner.kind() {
        v1::OwnerKind::FileSet => "the file set",
        v1::OwnerKind::Operator => "the operator",
        v1::OwnerKind::Agent => "the agent",
        v1::OwnerKind::Unspecified => "somebody",
    };
    let name = if owner.name.is_empty() { "without a name" } else { &owner.name };
    let remedy = match entry.object.key.kind {
        ObjectKind::Backend => "register under another id, deregister that one first, or apply with --force",
        _ => "choose another name, or apply with --force to take it over",
    };
    Error::AlreadyExists { key: entry.object.key.clone(), owner: format!("{kind} {name}"), field, remedy }
}

fn create(step: &mut Step<'_>, wanted: Registration) -> Result<Registered, Error> {
    if wanted.lease.is_some() {
        if step.world.flaps.knows(&wanted.backend.key, step.world.now) {
            flap(step, &wanted.backend.key)?;
        } else {
            step.then(Effect::Came(wanted.backend.key.clone()));
        }
    }
    let owner = owner(&wanted);
    let key = ObjectKey::from(&wanted.backend.key);
    let lease = wanted.lease.map(|terms| (new_lease(step), terms));
    ensure_service(step, &wanted.backend.key.service, &owner);
    let how = if lease.is_some() { "with a lease" } else { "without a lease" };
    let backend = put(step, wanted.backend.as_declared(), lease, owner);
    step.tell(v1::EventType::ObjectCreated, Some(&key), format!("{key} was registered {how}"));
    Ok(registered(step, lease.map(|(id, _)| id), wanted.lease, backend, Outcome::Created))
}

/// Counts that a backend comes back or changes; refuses that if it does so too often.
fn flap(step: &mut Step<'_>, key: &BackendKey) -> Result<(), Error> {
    let world = step.world;
    world.flaps.check(key, world.now, step.draft.view().revision(), world.events, world.metrics)?;
    step.then(Effect::Flapped(key.clone()));
    Ok(())
}

fn put(
    step: &mut Step<'_>,
    backend: Backend,
    lease: Option<(LeaseId, LeaseTerms)>,
    owner: v1::Owner,
) -> Backend {
    let lease_state = if lease.is_some() { LeaseState::Live } else { LeaseState::Static };
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let wire = lease.map(|(id, terms)| v1::Lease {
        id: id.0,
        ttl_ms: millis(terms.ttl),
        deregister_after_ms: millis(terms.deregister_after),
    });
    if let Some((id, terms)) = lease {
        step.then(Effect::Grant(id, backend.key.clone(), terms));
    }
    step.then(Effect::Count(step.world.metrics.registrations.clone()));
    let meta = v1::ObjectMeta { owner: Some(owner), lease: wire, ..v1::ObjectMeta::default() };
    let backend = Backend { lease_state, ..backend };
    step.draft.put(Object::backend(backend.clone()), meta);
    backend
}

fn expire(step: &mut Step<'_>, entry: &Entry, cause: Cause) {
    let Some(backend) = entry.object.value.as_backend() else { return };
    let expired = Backend { lease_state: LeaseState::Expired, ..backend.clone() };
    step.draft.put(Object::backend(expired), entry.meta.clone());
    step.then(Effect::Count(step.world.metrics.expiries.get_or_create_owned(&[("cause", cause.label())])));
    let key = &entry.object.key;
    let ttl = entry.lease_terms().map_or(Duration::ZERO, |terms| terms.ttl);
    let more = match cause {
        Cause::Silence => "",
        Cause::Confirmed => ", and every proxy finds it unhealthy",
        Cause::MaxHold => " and as long as any is held beyond that",
    };
    step.tell(
        v1::EventType::LeaseExpired,
        Some(key),
        format!("{key} expired: no heartbeat for {ttl:?}{more}"),
    );
}

fn meant(step: &Step<'_>, target: &Target) -> Option<Arc<Entry>> {
    match target {
        Target::Backend(key) => step.draft.view().backend(key).cloned(),
        Target::Lease(id) => step.world.leases.backend(*id).and_then(|key| holder(step, &key, *id)),
    }
}

/// The backend of that name, if it still has that lease.
fn holder(step: &Step<'_>, key: &BackendKey, id: LeaseId) -> Option<Arc<Entry>> {
    step.draft.view().backend(key).filter(|entry| entry.lease_id() == Some(id)).cloned()
}

fn is_live(entry: &Entry) -> bool {
    entry.object.value.as_backend().is_some_and(|backend| backend.lease_state == LeaseState::Live)
}

fn owner(wanted: &Registration) -> v1::Owner {
    let kind = if wanted.lease.is_some() { v1::OwnerKind::Agent } else { v1::OwnerKind::Operator };
    v1::Owner { kind: kind as i32, name: wanted.owner.clone() }
}

fn new_lease(step: &Step<'_>) -> LeaseId {
    loop {
        let id = LeaseId(fastrand::u64(1..));
        if !step.world.leases.knows(id) {
            return id;
        }
    }
}

fn registered(
    step: &Step<'_>,
    lease: Option<LeaseId>,
    terms: Option<LeaseTerms>,
    backend: Backend,
    outcome: Outcome,
) -> Registered {
    let ttl = terms.map_or(Duration::ZERO, |terms| terms.ttl);
    Registered { lease, ttl, outcome, backend, revision: step.revision(), warnings: Vec::new() }
}
