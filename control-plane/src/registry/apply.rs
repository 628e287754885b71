//! Declarations: a file set says what is to be, all or nothing. See `Admin.Apply` in `admin.proto`.

mod conflicts;
mod prune;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use weir_proto::{Backend, Invalid, LeaseState, ObjectKey, ObjectKind, v1};

use super::{
    Applied, Apply, Change, Declared, addresses, backends, consequences, default_route,
    work::{Effect, Step},
};
use crate::{
    error::Error,
    snapshot::{Entry, Object, Snapshot, Value},
};

pub(super) use conflicts::{check, large_tables, missing_services};
pub(super) use prune::release;

/// The declarations by what they declare, each with the path where it stands.
pub(super) type Paths = HashMap<ObjectKey, String>;

/// Makes the declarations so.
pub(super) fn apply(step: &mut Step<'_>, wanted: Apply) -> Result<Applied, Error> {
    step.expect(wanted.if_revision)?;
    let sets = prune::sets(&wanted);
    let Apply { declared, file_set, prune, force, dry_run, message, allow_empty, own_addresses, .. } = wanted;
    let owner = v1::Owner { kind: v1::OwnerKind::FileSet as i32, name: file_set };
    let base = step.draft.view().clone();
    let paths = paths(&declared)?;

    let mut warnings = Vec::new();
    let mut keys = Vec::with_capacity(declared.len());
    // Services before backends: what is declared must not first appear as implicit.
    let (services, others): (Vec<_>, Vec<_>) =
        declared.into_iter().partition(|d| d.object.key.kind == ObjectKind::Service);
    for Declared { path, object, owner: own } in services.into_iter().chain(others) {
        keys.push(object.key.clone());
        declare(step, object, path, own.as_ref().unwrap_or(&owner), force)?;
    }
    if prune {
        for (set, declares) in sets {
            if declares == 0 && !allow_empty {
                prune::refuse_emptying(&base, &set)?;
            }
            let owner = v1::Owner { name: set, ..owner.clone() };
            keys.extend(prune::prune(step, &owner, &paths, &mut warnings));
        }
    }
    addresses::check(step.draft.view(), step.world.policy, &paths)?;
    keys.extend(default_route::settle(step, &base));
    conflicts::check(step.draft.view(), &paths)?;
    warnings.extend(conflicts::missing_services(step.draft.view(), &paths));
    warnings.extend(conflicts::large_tables(step.draft.view()));

    keys.retain(unseen());
    let changes: Vec<_> = keys.into_iter().map(|key| change(&base, step.draft.view(), key)).collect();
    warnings.extend(consequences::of(&base, step.draft.view(), &changes, &own_addresses));
    if dry_run {
        step.undo(&base);
    } else {
        tell(step, &changes, &owner.name, &message);
    }
    Ok(Applied { revision: step.revision(), changes, warnings })
}

fn paths(declared: &[Declared]) -> Result<Paths, Error> {
    let mut paths = Paths::with_capacity(declared.len());
    for Declared { path, object, .. } in declared {
        if let Some(first) = paths.insert(object.key.clone(), path.clone()) {
            let reason = format!("{} is declared twice, first at {first}", object.key);
            return Err(Invalid::new(path, reason).into());
        }
    }
    Ok(paths)
}

/// Makes one declaration so.
fn declare(
    step: &mut Step<'_>,
    mut object: Object,
    path: String,
    owner: &v1::Owner,
    force: bool,
) -> Result<(), Error> {
    let old = step.draft.view().get(&object.key).cloned();
    if let Value::Backend(backend) = &object.value {
        let standing = old.as_ref().and_then(|old| old.object.value.as_backend());
        let declared = Backend { lease_state: LeaseState::Static, ..backend.clone() };
        object = Object::backend(declared.in_place_of(standing));
    }
    if let Some(old) = &old {
        let is_own = old.meta.owner.as_ref() == Some(owner) && !old.meta.implicit;
        if is_own && old.object.body == object.body {
            return Ok(());
        }
        if !is_own && !force && !is_free(old, &object) {
            return Err(backends::foreign(old, path));
        }
        if let Some(lease) = old.lease_id() {
            step.then(Effect::Forget(lease));
        }
    }
    if let Value::Backend(backend) = &object.value {
        backends::ensure_service(step, &backend.key.service.clone(), owner);
    }
    step.draft.put(object, v1::ObjectMeta { owner: Some(owner.clone()), ..v1::ObjectMeta::default() });
    Ok(())
}

/// Whether what belongs to another may be declared without force: a service that nobody declared yet, or a backend
/// that somebody registered by hand exactly so.
fn is_free(old: &Entry, new: &Object) -> bool {
    let kind = old.meta.owner.as_ref().map(v1::Owner::kind);
    old.meta.implicit || (kind == Some(v1::OwnerKind::Operator) && old.object.body == new.body)
}

/// Whether it is a service that went with its last backend, or the implicit route: that was told already.
pub(super) fn went_along(change: &Change) -> bool {
    let is_implicit = |entry: &Option<Arc<Entry>>| entry.as_ref().is_some_and(|entry| entry.meta.implicit);
    match change.key.kind {
        ObjectKind::Route => is_implicit(change.after.as_ref().map_or(&change.before, |_| &change.after)),
        _ => change.after.is_none() && is_implicit(&change.before),
    }
}

/// Whether a key is there for the first time.
pub(super) fn unseen() -> impl FnMut(&ObjectKey) -> bool {
    let mut seen = HashSet::new();
    move |key| seen.insert(key.clone())
}

/// What became of an object on the way from `base` to `next`.
pub(super) fn change(base: &Snapshot, next: &Snapshot, key: ObjectKey) -> Change {
    let (before, after) = (base.get(&key).cloned(), next.get(&key).cloned());
    let kind = match (&before, &after) {
        (None, _) => v1::ChangeKind::Created,
        (Some(_), None) => v1::ChangeKind::Deleted,
        (Some(before), Some(after)) if Arc::ptr_eq(before, after) => v1::ChangeKind::Unchanged,
        (Some(_), Some(_)) => v1::ChangeKind::Updated,
    };
    Change { kind, key, before, after }
}

/// What is told of a change.
pub(super) fn event(kind: v1::ChangeKind) -> Option<(v1::EventType, &'static str)> {
    match kind {
        v1::ChangeKind::Created => Some((v1::EventType::ObjectCreated, "was created")),
        v1::ChangeKind::Updated => Some((v1::EventType::ObjectUpdated, "was changed")),
        v1::ChangeKind::Deleted => Some((v1::EventType::ObjectDeleted, "was deleted")),
        v1::ChangeKind::Unchanged | v1::ChangeKind::Unspecified => None,
    }
}

/// One event for each change. Services that went with their last backend have theirs already.
fn tell(step: &mut Step<'_>, changes: &[Change], file_set: &str, message: &str) {
    let why = if message.is_empty() { String::new() } else { format!(": {message}") };
    for Change { kind, key, .. } in changes.iter().filter(|change| !went_along(change)) {
        let Some((event, what)) = event(*kind) else { continue };
        step.tell(event, Some(key), format!("{key} {what} by the file set {file_set}{why}"));
    }
}
