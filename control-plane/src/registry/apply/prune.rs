//! What a file set declared earlier and does not declare any more goes.

use std::{collections::BTreeMap, sync::Arc};

use weir_proto::{ObjectKey, v1};

use super::{Paths, backends};
use crate::{
    error::Error,
    registry::{
        Apply,
        work::{Effect, Step},
    },
    snapshot::{Entry, Object, Snapshot, Value},
};

/// The file sets that an [`Apply`] is of, each with the number of objects that it declares.
pub(super) fn sets(apply: &Apply) -> BTreeMap<String, usize> {
    let mut sets: BTreeMap<_, _> = apply.file_sets.iter().map(|set| (set.clone(), 0)).collect();
    if sets.is_empty() {
        sets.insert(apply.file_set.clone(), 0);
    }
    for declared in &apply.declared {
        match &declared.owner {
            None => *sets.entry(apply.file_set.clone()).or_default() += 1,
            Some(owner) if owner.kind() == v1::OwnerKind::FileSet => {
                *sets.entry(owner.name.clone()).or_default() += 1;
            }
            Some(_) => {}
        }
    }
    sets
}

/// Refuses to delete all that a file set owns: an empty file is more likely a mistake.
pub(super) fn refuse_emptying(base: &Snapshot, set: &str) -> Result<(), Error> {
    let owner = v1::Owner { kind: v1::OwnerKind::FileSet as i32, name: set.to_owned() };
    let mut all =
        base.entries().filter(|entry| entry.meta.owner.as_ref() == Some(&owner) && !entry.meta.implicit);
    let Some(first) = all.next() else { return Ok(()) };
    let those = match all.count() {
        0 => "the only object".to_owned(),
        more => format!("all {} objects", more + 1),
    };
    let reason = format!(
        "nothing of the file set {set} is declared, and pruning would delete {those} that it owns; if that is meant, say so \
         with --allow-empty"
    );
    Err(Error::Precondition { key: first.object.key.clone(), reason })
}

/// Removes what `owner` owns and does not declare; answers what was removed or became implicit.
pub(super) fn prune(
    step: &mut Step<'_>,
    owner: &v1::Owner,
    declared: &Paths,
    warnings: &mut Vec<String>,
) -> Vec<ObjectKey> {
    let is_left_out = |entry: &&Arc<Entry>| {
        !entry.meta.implicit
            && entry.meta.owner.as_ref() == Some(owner)
            && !declared.contains_key(&entry.object.key)
    };
    let left_out: Vec<_> = step.draft.view().entries().filter(is_left_out).cloned().collect();
    let (services, others): (Vec<_>, Vec<_>) =
        left_out.into_iter().partition(|entry| matches!(entry.object.value, Value::Service(_)));
    // Backends before services, so that a service goes if all its backends do.
    for entry in &others {
        step.draft.remove(&entry.object.key);
        if entry.object.value.as_backend().is_some() {
            step.then(Effect::Count(step.world.metrics.deregistrations.clone()));
        }
    }
    let mut keys: Vec<_> = others.iter().map(|entry| entry.object.key.clone()).collect();
    for entry in &services {
        release(step, &entry.object.key, warnings);
        keys.push(entry.object.key.clone());
    }
    for backend in others.iter().filter_map(|entry| entry.object.value.as_backend()) {
        keys.extend(backends::remove_if_idle(step, &backend.key.service));
    }
    keys
}

/// Removes a service, or leaves it to the backends that others registered.
pub(in crate::registry) fn release(step: &mut Step<'_>, key: &ObjectKey, warnings: &mut Vec<String>) {
    let entry = step.draft.view().get(key).cloned();
    let Some(Value::Service(service)) = entry.as_ref().map(|entry| &entry.object.value) else { return };
    let service = &service.name;
    let mut backends = step.draft.view().backends_of(service, None);
    let Some(owner) = backends.next().map(|backend| backend.meta.owner.clone()) else {
        drop(backends);
        step.draft.remove(key);
        return;
    };
    let count = backends.count() + 1;
    warnings.push(format!(
        "{key} is not declared any more but still has {count} backends of others; \
         it stays, with defaults, until the last of them goes"
    ));
    let meta = v1::ObjectMeta { owner, implicit: true, ..v1::ObjectMeta::default() };
    step.draft.put(Object::default_service(service), meta);
}
