//! The whole configuration at one revision: immutable, shared by everybody who reads it.
//!
//! Persistent maps share their structure between revisions, so that a change costs O(change · log n) and holding on
//! to an old snapshot costs what has changed since.

mod catch_all;
mod delta;
mod draft;
mod lineage;
mod object;
mod pages;

#[cfg(test)]
mod tests;

use std::{ops::Bound, sync::Arc};

use rpds::RedBlackTreeMapSync as Map;
use weir_proto::{BackendKey, Digest, Epoch, ObjectKey, ObjectKind, Revision, Service, ServiceName, v1};

use catch_all::CatchAll;
pub(crate) use draft::{Draft, Touched};
use lineage::Digests;
pub(crate) use lineage::Relation;
pub(crate) use object::{Entry, Object, Value};
pub(crate) use pages::PAGE_BYTES;

/// The whole configuration at one (epoch, revision).
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    epoch: Epoch,
    /// The last one at which an operator said that this epoch is meant; 0: none.
    accepted: Revision,
    revision: Revision,
    digest: Digest,
    /// Of this revision and those before it.
    digests: Digests,
    /// Deltas can start from here on; below, tombstones are missing.
    floor: Revision,
    /// The last one that took something out of service, as far as it is known.
    withdrew: Revision,
    entries: Map<ObjectKey, Arc<Entry>>,
    /// The keys of `entries` in the order of their last changes.
    changed: Map<(Revision, ObjectKey), ()>,
    /// When objects that no longer exist went: above `floor`.
    tombstones: Map<ObjectKey, Revision>,
    /// The keys of `tombstones` in the order of their revisions.
    removed: Map<(Revision, ObjectKey), ()>,
    counts: [usize; ObjectKind::ALL.len()],
    catch_all: CatchAll,
}

/// What a store says of a state besides its objects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    /// The lineage of the store.
    pub(crate) epoch: Epoch,
    /// The newest revision at which an operator said that it is meant; 0: none.
    pub(crate) accepted: Revision,
    /// The newest revision.
    pub(crate) revision: Revision,
    /// Where deltas can start.
    pub(crate) floor: Revision,
}

/// A state, and the proof of having it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// The lineage of the store.
    pub(crate) epoch: Epoch,
    /// The revision within the epoch.
    pub(crate) revision: Revision,
    /// Of all objects.
    pub(crate) digest: Digest,
}

impl Position {
    /// As it is written in messages.
    pub(crate) fn wire(&self) -> v1::Position {
        v1::Position { epoch: self.epoch.0, revision: self.revision.0, digest: self.digest.0 }
    }
}

impl From<v1::Position> for Position {
    fn from(wire: v1::Position) -> Self {
        Self { epoch: Epoch(wire.epoch), revision: Revision(wire.revision), digest: Digest(wire.digest) }
    }
}

impl Snapshot {
    /// The state of a new store.
    pub(crate) fn empty(epoch: Epoch) -> Self {
        Self {
            epoch,
            accepted: Revision(0),
            revision: Revision(0),
            digest: Digest::default(),
            digests: Digests::new(),
            floor: Revision(0),
            withdrew: Revision(0),
            entries: Map::new_sync(),
            changed: Map::new_sync(),
            tombstones: Map::new_sync(),
            removed: Map::new_sync(),
            counts: [0; ObjectKind::ALL.len()],
            catch_all: CatchAll::new(),
        }
    }

    /// The state that a store holds.
    pub(crate) fn restore(
        marks: Marks,
        entries: impl IntoIterator<Item = Arc<Entry>>,
        tombstones: impl IntoIterator<Item = (ObjectKey, Revision)>,
        digests: impl IntoIterator<Item = (Revision, Digest)>,
    ) -> Self {
        let Marks { epoch, accepted, revision, floor } = marks;
        let mut snapshot = Self { accepted, revision, floor, withdrew: revision, ..Self::empty(epoch) };
        let mut service: Option<ServiceName> = None;
        for mut entry in entries {
            let own = entry.object.value.as_backend().map(|backend| backend.key.service.clone());
            match (&service, own) {
                // They come in the order of their names.
                (Some(last), Some(own)) if *last == own => {
                    if let Some(entry) = Arc::get_mut(&mut entry) {
                        entry.object.share(last);
                    }
                }
                (_, own) => service = own,
            }
            snapshot.insert(entry);
        }
        for (key, at) in tombstones {
            snapshot.bury(key, at);
        }
        for (revision, digest) in digests {
            snapshot.digests.add(revision, digest);
        }
        // The newest is what it is, whatever was recorded.
        snapshot.digests.add(revision, snapshot.digest);
        snapshot
    }

    /// Where this is.
    pub(crate) fn position(&self) -> Position {
        Position { epoch: self.epoch, revision: self.revision, digest: self.digest }
    }

    /// The revision of [`Snapshot::position`].
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether an operator said that this epoch is meant.
    pub(crate) fn epoch_accepted(&self) -> bool {
        self.accepted > Revision(0)
    }

    /// The newest revision of this epoch at which an operator said so; 0: none.
    pub(crate) fn accepted(&self) -> Revision {
        self.accepted
    }

    /// The first revision that [`Snapshot::delta_since`] still knows.
    pub(crate) fn floor(&self) -> Revision {
        self.floor
    }

    /// The last revision that took something out of service: whoever has an older one may send requests to what must get
    /// none any more.
    pub(crate) fn withdrew(&self) -> Revision {
        self.withdrew
    }

    /// The object of that name.
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&Arc<Entry>> {
        self.entries.get(key)
    }

    /// The backend of that name.
    pub(crate) fn backend(&self, key: &BackendKey) -> Option<&Arc<Entry>> {
        self.entries.get(&ObjectKey::from(key))
    }

    /// The service of that name.
    fn service(&self, name: &ServiceName) -> Option<&Service> {
        let entry = self.entries.get(&ObjectKey::new(ObjectKind::Service, name.as_str()))?;
        match &entry.object.value {
            Value::Service(service) => Some(service),
            _ => None,
        }
    }

    /// The objects of one kind in the order of their names, those after `after` if that is given.
    pub(crate) fn list(&self, kind: ObjectKind, after: Option<&str>) -> impl Iterator<Item = &Arc<Entry>> {
        let from = match after {
            Some(name) => Bound::Excluded(ObjectKey::new(kind, name)),
            None => Bound::Included(ObjectKey::new(kind, "")),
        };
        self.from(from).take_while(move |entry| entry.object.key.kind == kind)
    }

    /// The backends of one service in the order of their ids, those after `after` (`service/id`) if that is given.
    pub(crate) fn backends_of<'a>(
        &'a self,
        service: &ServiceName,
        after: Option<&str>,
    ) -> impl Iterator<Item = &'a Arc<Entry>> + use<'a> {
        let prefix = format!("{service}/");
        let from = match after {
            Some(name) if name > prefix.as_str() => {
                Bound::Excluded(ObjectKey::new(ObjectKind::Backend, name))
            }
            _ => Bound::Included(ObjectKey::new(ObjectKind::Backend, &prefix)),
        };
        self.from(from).take_while(move |entry| {
            entry.object.key.kind == ObjectKind::Backend && entry.object.key.name.starts_with(&prefix)
        })
    }

    /// Every object, by kind and name.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// When each removed object went, above the floor.
    pub(crate) fn tombstones(&self) -> impl Iterator<Item = (&ObjectKey, Revision)> {
        self.tombstones.iter().map(|(key, at)| (key, *at))
    }

    /// The route that takes what no other one does and that nobody declared.
    pub(crate) fn implicit_route(&self) -> Option<&Arc<Entry>> {
        self.catch_all.implicit.first().and_then(|(key, ())| self.entries.get(key))
    }

    /// The declared route that takes every host and path.
    pub(crate) fn declared_catch_all(&self) -> Option<&ObjectKey> {
        self.catch_all.declared.first().map(|(key, ())| key)
    }

    /// The service that has been there longest.
    pub(crate) fn oldest_service(&self) -> Option<ServiceName> {
        let ((_, name), ()) = self.catch_all.services.first()?;
        ServiceName::try_from(&**name).ok()
    }

    /// How many objects of that kind there are.
    pub(crate) fn count(&self, kind: ObjectKind) -> usize {
        self.counts[slot(kind)]
    }

    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.size()
    }

    /// When an object that is not there went; if that is forgotten, the floor.
    pub(crate) fn removed_at(&self, key: &ObjectKey) -> Revision {
        self.tombstones.get(key).copied().unwrap_or(self.floor)
    }

    fn from(&self, from: Bound<ObjectKey>) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.range((from, Bound::Unbounded)).map(|(_, entry)| entry)
    }

    fn insert(&mut self, entry: Arc<Entry>) {
        let key = entry.object.key.clone();
        self.forget(&key);
        self.digest = self.digest.with(&key, &entry.object.body);
        self.counts[slot(key.kind)] += 1;
        self.changed.insert_mut((entry.modified(), key.clone()), ());
        self.catch_all.insert(&entry);
        self.entries.insert_mut(key, entry);
    }

    fn bury(&mut self, key: ObjectKey, at: Revision) {
        self.forget(&key);
        self.removed.insert_mut((at, key.clone()), ());
        self.tombstones.insert_mut(key, at);
    }

    /// Takes out whatever is known of the key, alive or dead.
    fn forget(&mut self, key: &ObjectKey) {
        if let Some(old) = self.entries.get(key).cloned() {
            self.digest = self.digest.without(key, &old.object.body);
            self.counts[slot(key.kind)] -= 1;
            self.changed.remove_mut(&(old.modified(), key.clone()));
            self.catch_all.remove(&old);
            self.entries.remove_mut(key);
        }
        if let Some(at) = self.tombstones.get(key).copied() {
            self.removed.remove_mut(&(at, key.clone()));
            self.tombstones.remove_mut(key);
        }
    }
}

fn slot(kind: ObjectKind) -> usize {
    kind as usize - ObjectKind::ALL[0] as usize
}
