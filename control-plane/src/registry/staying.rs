//! Which services keep a routable backend, whatever else goes with this tick.

use std::collections::{HashMap, HashSet};

use weir_proto::{Backend, BackendKey, ServiceName};

use crate::snapshot::{Entry, Snapshot};

/// What is routable, but for those that are about to expire.
pub(super) struct Staying<'a> {
    snapshot: &'a Snapshot,
    going: HashSet<BackendKey>,
    /// One of each service that was asked about, so that not each question looks through the whole service.
    found: HashMap<ServiceName, BackendKey>,
}

impl<'a> Staying<'a> {
    /// Nobody goes yet.
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, going: HashSet::new(), found: HashMap::new() }
    }

    /// It is about to expire.
    pub(super) fn goes(&mut self, key: BackendKey) {
        self.going.insert(key);
    }

    /// Whether the service would have no routable backend without this one, which is routable itself.
    pub(super) fn is_last(&mut self, key: &BackendKey) -> bool {
        if self.snapshot.backend(key).is_none_or(|entry| routable(entry).is_none()) {
            return false;
        }
        let stays = |other: &&BackendKey| *other != key && !self.going.contains(*other);
        if self.found.get(&key.service).is_some_and(|found| stays(&found)) {
            return false;
        }
        let backends = self.snapshot.backends_of(&key.service, None);
        let found = backends.filter_map(|entry| routable(entry)).find(stays).cloned();
        let is_last = found.is_none();
        if let Some(found) = found {
            self.found.insert(key.service.clone(), found);
        }
        is_last
    }
}

/// The key of a backend that is routable.
fn routable(entry: &Entry) -> Option<&BackendKey> {
    entry
        .object
        .value
        .as_backend()
        .filter(|backend| Backend::is_routable(backend))
        .map(|backend| &backend.key)
}
