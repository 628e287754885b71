//! The facts that the implicit route depends on: which route takes what no other one does, and which service is the
//! oldest. Kept up to date with each change, so that nobody looks through all routes and services.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync as Map;
use weir_proto::{ObjectKey, Revision};

use super::{Entry, Value};

#[derive(Debug, Clone)]
pub(super) struct CatchAll {
    /// Declared routes that take every host and path. Two can only be there while a change is being made.
    pub(super) declared: Map<ObjectKey, ()>,
    /// The implicit route. Two can only be there while a change is being made.
    pub(super) implicit: Map<ObjectKey, ()>,
    /// The services by their age, then by name.
    pub(super) services: Map<(Revision, Arc<str>), ()>,
}

impl CatchAll {
    pub(super) fn new() -> Self {
        Self { declared: Map::new_sync(), implicit: Map::new_sync(), services: Map::new_sync() }
    }

    pub(super) fn insert(&mut self, entry: &Entry) {
        let key = &entry.object.key;
        match &entry.object.value {
            Value::Route(route) if route.implicit => self.implicit.insert_mut(key.clone(), ()),
            Value::Route(route) if route.is_declared_catch_all() => {
                self.declared.insert_mut(key.clone(), ());
            }
            Value::Service(_) => self.services.insert_mut((born(entry), Arc::clone(&key.name)), ()),
            Value::Route(_) | Value::Listener(_) | Value::Backend(_) => {}
        }
    }

    pub(super) fn remove(&mut self, entry: &Entry) {
        let key = &entry.object.key;
        match &entry.object.value {
            Value::Route(_) => {
                self.implicit.remove_mut(key);
                self.declared.remove_mut(key);
            }
            Value::Service(_) => {
                self.services.remove_mut(&(born(entry), Arc::clone(&key.name)));
            }
            Value::Listener(_) | Value::Backend(_) => {}
        }
    }
}

/// The revision at which it came, as far as that is known, if the store is of a version that did not note that.
fn born(entry: &Entry) -> Revision {
    match entry.meta.created_revision {
        0 => entry.modified(),
        revision => Revision(revision),
    }
}
