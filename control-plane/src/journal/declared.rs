//! What somebody declared, as against what comes and goes by itself.

use std::{borrow::Cow, sync::Arc};

use weir_proto::ObjectKey;

use super::Before;
use crate::snapshot::{Entry, Object, Snapshot};

/// The entry as it was declared. None if nobody declared it: a leased backend, a service that came with its first
/// backend. What an operator wants of a backend for the moment is no part of it.
pub(crate) fn declared(entry: &Arc<Entry>) -> Option<Cow<'_, Arc<Entry>>> {
    if entry.meta.implicit || entry.meta.lease.is_some() {
        return None;
    }
    match entry.object.value.as_backend() {
        Some(backend) if !backend.is_as_declared() => {
            let object = Object::backend(backend.clone().as_declared());
            Some(Cow::Owned(Arc::new(Entry { object, meta: entry.meta.clone() })))
        }
        _ => Some(Cow::Borrowed(entry)),
    }
}

/// How those of `keys` that are declared otherwise in `next` were declared in `base`.
pub(crate) fn befores<'a>(
    base: &Snapshot,
    next: &Snapshot,
    keys: impl IntoIterator<Item = &'a ObjectKey>,
) -> Vec<Before> {
    let changed = |key: &ObjectKey| {
        let (old, new) = (base.get(key), next.get(key));
        let (old, new) = (old.and_then(declared), new.and_then(declared));
        let same = is_same(old.as_deref(), new.as_deref());
        (!same).then(|| Before { key: key.clone(), entry: old.map(Cow::into_owned) })
    };
    keys.into_iter().filter_map(changed).collect()
}

/// Whether two forms of an object declare the same, for the same owner.
pub(crate) fn is_same(a: Option<&Arc<Entry>>, b: Option<&Arc<Entry>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            Arc::ptr_eq(a, b)
                || (a.object.body == b.object.body
                    && a.object.level == b.object.level
                    && a.meta.owner == b.meta.owner)
        }
        _ => false,
    }
}
