//! What operators do to single objects.

use std::sync::Arc;

use weir_proto::{Backend, BackendKey, Invalid, ObjectKey, ObjectKind, Revision, ServiceName, v1};

use super::{
    Delete, SetState, SetWeight, SettleEpoch, Settled, backends, default_route,
    work::{Effect, Step},
};
use crate::{
    error::Error,
    snapshot::{Entry, Object, Value},
};

/// See `Admin.DeleteObject` in `admin.proto`.
pub(super) fn delete(step: &mut Step<'_>, wanted: &Delete) -> Result<Revision, Error> {
    step.expect(wanted.if_revision)?;
    if wanted.cascade && wanted.key.kind != ObjectKind::Service {
        return Err(Invalid::new("cascade", "is for services only").into());
    }
    let entry = step.draft.view().get(&wanted.key).cloned();
    let entry = entry.ok_or_else(|| Error::NotFound { key: wanted.key.clone() })?;
    match &entry.object.value {
        Value::Route(route) if route.implicit => default_route::delete(step, &wanted.key)?,
        Value::Backend(_) => {
            backends::remove(step, &entry, "was deleted");
            step.then(Effect::Count(step.world.metrics.deregistrations.clone()));
        }
        Value::Service(service) => delete_service(step, &wanted.key, &service.name, wanted.cascade)?,
        Value::Listener(_) | Value::Route(_) => remove(step, &wanted.key),
    }
    Ok(step.revision())
}

/// See `Admin.SetOperatorState` in `admin.proto`.
pub(super) fn set_state(step: &mut Step<'_>, wanted: &SetState) -> Result<(Revision, Backend), Error> {
    step.expect(wanted.if_revision)?;
    let key = ObjectKey::from(&wanted.key);
    let (entry, backend) = backend(step, &wanted.key)?;
    if let Some(from) = wanted.from
        && backend.operator_state != from
    {
        return Err(backends::taken_back(key));
    }
    if backend.operator_state == wanted.state {
        return Ok((step.revision(), backend));
    }
    let changed = Backend { operator_state: wanted.state, ..backend };
    step.draft.put(Object::backend(changed.clone()), entry.meta.clone());
    let state = v1::OperatorState::from(wanted.state).as_str_name().trim_start_matches("OPERATOR_STATE_");
    step.tell(
        v1::EventType::OperatorStateChanged,
        Some(&key),
        format!("{key} is {} now", state.to_ascii_lowercase()),
    );
    Ok((step.revision(), changed))
}

/// See `Admin.SetBackendWeight` in `admin.proto`.
pub(super) fn set_weight(step: &mut Step<'_>, wanted: &SetWeight) -> Result<(Revision, Backend), Error> {
    step.expect(wanted.if_revision)?;
    let (entry, backend) = backend(step, &wanted.key)?;
    if backend.operator_weight == wanted.weight {
        return Ok((step.revision(), backend));
    }
    let changed = Backend { operator_weight: wanted.weight, ..backend };
    step.draft.put(Object::backend(changed.clone()), entry.meta.clone());
    let key = ObjectKey::from(&wanted.key);
    let text = match wanted.weight {
        Some(weight) => format!("{key} has the weight {weight} now, in place of its own {}", changed.weight),
        None => format!("{key} has its own weight {} again", changed.weight),
    };
    step.tell(v1::EventType::OperatorStateChanged, Some(&key), text);
    Ok((step.revision(), changed))
}

/// See `Admin.AcceptEpoch` in `admin.proto`.
pub(super) fn settle_epoch(step: &mut Step<'_>, wanted: SettleEpoch) -> Result<Settled, Error> {
    let (before, accepted) = (step.draft.view().position().epoch, step.draft.view().accepted());
    if wanted.epoch != before {
        return Err(Error::EpochMismatch { expected: wanted.epoch, current: before });
    }
    if wanted.anew {
        step.draft.begin_epoch();
        let epoch = step.draft.view().position().epoch;
        let text =
            format!("the epoch {epoch} began in place of {before}: proxies had other histories of that");
        step.tell(v1::EventType::EpochBegun, None, text);
    } else {
        step.draft.accept_epoch();
        if step.draft.view().accepted() != accepted {
            step.tell(v1::EventType::EpochAccepted, None, format!("the epoch {before} was accepted"));
        }
    }
    let epoch = step.draft.view().position().epoch;
    Ok(Settled { revision: step.revision(), epoch, is_new: epoch != before })
}

/// The backend of that name, with its entry.
fn backend(step: &Step<'_>, key: &BackendKey) -> Result<(Arc<Entry>, Backend), Error> {
    let entry = step.draft.view().backend(key).cloned();
    let backend = entry.as_ref().and_then(|entry| entry.object.value.as_backend().cloned());
    entry.zip(backend).ok_or_else(|| Error::NotFound { key: ObjectKey::from(key) })
}

fn delete_service(
    step: &mut Step<'_>,
    key: &ObjectKey,
    service: &ServiceName,
    cascade: bool,
) -> Result<(), Error> {
    let backends: Vec<Arc<Entry>> = step.draft.view().backends_of(service, None).cloned().collect();
    if !backends.is_empty() && !cascade {
        let (count, s) = (backends.len(), if backends.len() == 1 { "" } else { "s" });
        let reason = format!("still has {count} backend{s}: remove them first, or delete it with --cascade");
        return Err(Error::Precondition { key: key.clone(), reason });
    }
    // The service first: so it goes because it was asked for, not because its last backend did.
    remove(step, key);
    for backend in &backends {
        backends::remove(step, backend, "was deleted with its service");
        step.then(Effect::Count(step.world.metrics.deregistrations.clone()));
    }
    Ok(())
}

fn remove(step: &mut Step<'_>, key: &ObjectKey) {
    step.draft.remove(key);
    step.tell(v1::EventType::ObjectDeleted, Some(key), format!("{key} was deleted"));
}
