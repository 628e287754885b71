//! Declaring again what was declared at a revision. See `Admin.Rollback` in `admin.proto`.

use std::sync::Arc;

use weir_proto::{Backend, LeaseState, ObjectKey, ObjectKind, v1};

use super::{
    Applied, Change, Rollback, addresses,
    apply::{self, Paths},
    backends, consequences, default_route,
    work::{Effect, Step},
};
use crate::{
    error::Error,
    journal::{Before, declared, is_same},
    snapshot::{Entry, Object, Snapshot, Value},
};

/// Makes everything so again that was declared otherwise since: `befores` says how it was.
pub(super) fn rollback(
    step: &mut Step<'_>,
    wanted: &Rollback,
    befores: Vec<Before>,
) -> Result<Applied, Error> {
    step.expect(wanted.if_revision)?;
    let base = step.draft.view().clone();
    let mut warnings = Vec::new();
    let mut due: Vec<_> = befores.into_iter().filter(|before| is_due(&base, before)).collect();
    due.retain(|before| may_change(&base, before, &mut warnings));
    // Services before backends, so that what was declared does not first appear as implicit.
    due.sort_by(|a, b| a.key.cmp(&b.key));
    let (services, others): (Vec<_>, Vec<_>) =
        due.iter().partition(|before| before.key.kind == ObjectKind::Service);
    for Before { key, entry } in services.iter().chain(&others) {
        if let Some(entry) = entry {
            put(step, key, entry);
        }
    }
    // And those that go after the backends that go with them.
    for Before { key, .. } in others.iter().filter(|before| before.entry.is_none()) {
        remove(step, key);
    }
    let mut keys: Vec<_> = due.iter().map(|before| before.key.clone()).collect();
    for Before { key, .. } in services.iter().filter(|before| before.entry.is_none()) {
        apply::release(step, key, &mut warnings);
    }
    for Before { key, .. } in &others {
        if let Some(backend) = base.get(key).and_then(|entry| entry.object.value.as_backend()) {
            keys.extend(backends::remove_if_idle(step, &backend.key.service));
        }
    }
    keys.extend(default_route::settle(step, &base));
    let paths: Paths = due
        .iter()
        .filter(|before| before.entry.is_some())
        .map(|before| (before.key.clone(), before.key.to_string()))
        .collect();
    addresses::check(step.draft.view(), step.world.policy, &paths)?;
    apply::check(step.draft.view(), &paths)?;
    warnings.extend(apply::missing_services(step.draft.view(), &paths));
    warnings.extend(apply::large_tables(step.draft.view()));

    keys.retain(apply::unseen());
    let mut changes: Vec<_> =
        keys.into_iter().map(|key| apply::change(&base, step.draft.view(), key)).collect();
    changes.retain(|change| change.kind != v1::ChangeKind::Unchanged);
    warnings.extend(consequences::of(&base, step.draft.view(), &changes, &wanted.own_addresses));
    if wanted.dry_run {
        step.undo(&base);
    } else {
        tell(step, &changes, wanted);
    }
    Ok(Applied { revision: step.revision(), changes, warnings })
}

fn is_due(base: &Snapshot, before: &Before) -> bool {
    let now = base.get(&before.key).and_then(declared);
    !is_same(before.entry.as_ref(), now.as_deref())
}

/// Leaves alone what belongs to a lease now.
fn may_change(base: &Snapshot, before: &Before, warnings: &mut Vec<String>) -> bool {
    let leased = base.get(&before.key).is_some_and(|entry| entry.meta.lease.is_some());
    if leased && before.entry.is_some() {
        warnings.push(format!(
            "{} was registered with a lease meanwhile and is left as it is; deregister it first to have it as it was",
            before.key
        ));
    }
    !leased
}

fn put(step: &mut Step<'_>, key: &ObjectKey, entry: &Arc<Entry>) {
    let now = step.draft.view().get(key).and_then(|now| now.object.value.as_backend()).cloned();
    let owner = entry.meta.owner.clone().unwrap_or_default();
    let object = match &entry.object.value {
        Value::Backend(backend) => {
            backends::ensure_service(step, &backend.key.service, &owner);
            let declared = Backend { lease_state: LeaseState::Static, ..backend.clone() };
            Object::backend(declared.in_place_of(now.as_ref()))
        }
        _ => entry.object.clone(),
    };
    step.draft.put(object, v1::ObjectMeta { owner: Some(owner), ..v1::ObjectMeta::default() });
}

fn remove(step: &mut Step<'_>, key: &ObjectKey) {
    step.draft.remove(key);
    if key.kind == ObjectKind::Backend {
        step.then(Effect::Count(step.world.metrics.deregistrations.clone()));
    }
}

/// One event for each change.
fn tell(step: &mut Step<'_>, changes: &[Change], wanted: &Rollback) {
    let why = if wanted.message.is_empty() { String::new() } else { format!(": {}", wanted.message) };
    for change in changes.iter().filter(|change| !apply::went_along(change)) {
        if let Some((event, what)) = apply::event(change.kind) {
            let text = format!("{} {what} by the rollback to revision {}{why}", change.key, wanted.to);
            step.tell(event, Some(&change.key), text);
        }
    }
}
