//! The next revision while it is being made. Only the registry makes one.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use weir_proto::{Epoch, ObjectKey, OperatorState, Revision, v1};

use super::{Entry, Object, Snapshot, lineage::Digests};

/// A copy of a snapshot that one command changes. Dropped, it leaves no trace.
#[derive(Debug)]
pub(crate) struct Draft {
    next: Snapshot,
    at: Revision,
    now: prost_types::Timestamp,
    tombstones: usize,
    touched: Touched,
}

/// What became different on the way from one snapshot to another.
#[derive(Debug, Default, Clone)]
pub(crate) struct Touched {
    /// The objects that were written or removed.
    pub(crate) keys: BTreeSet<ObjectKey>,
    /// Whether something that took traffic takes none any more: no proxy may wait for that.
    pub(crate) urgent: bool,
    epoch: bool,
}

impl Touched {
    /// Whether nothing did.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.epoch
    }

    /// Both together.
    pub(crate) fn merge(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.urgent |= other.urgent;
        self.epoch |= other.epoch;
    }
}

impl Draft {
    /// Begins the revision after `base`, which will remember at most `tombstones` removed objects.
    pub(crate) fn new(base: &Snapshot, tombstones: usize) -> Self {
        Self {
            next: base.clone(),
            at: base.revision.next(),
            now: SystemTime::now().into(),
            tombstones,
            touched: Touched::default(),
        }
    }

    /// The state so far.
    pub(crate) fn view(&self) -> &Snapshot {
        &self.next
    }

    /// The revision that holds what was done so far: a new one only if anything was.
    pub(crate) fn revision(&self) -> Revision {
        if self.touched.is_empty() { self.next.revision } else { self.at }
    }

    /// Creates or replaces an object. Of `meta` only owner, lease and implicit count; the rest is filled in here.
    pub(crate) fn put(&mut self, mut object: Object, meta: v1::ObjectMeta) -> Arc<Entry> {
        if let Some(service) = object.value.as_backend().and_then(|b| self.next.service(&b.key.service)) {
            object.share(&service.name);
        }
        let old = self.next.get(&object.key);
        let created =
            old.map_or((self.at.0, Some(self.now)), |e| (e.meta.created_revision, e.meta.created_at));
        self.touched.urgent |= old.is_some_and(|old| withdraws(old, &object));
        self.touched.keys.insert(object.key.clone());
        let entry = Arc::new(Entry {
            object,
            meta: v1::ObjectMeta {
                created_revision: created.0,
                created_at: created.1,
                modified_revision: self.at.0,
                modified_at: Some(self.now),
                ..meta
            },
        });
        self.next.insert(Arc::clone(&entry));
        entry
    }

    /// Removes an object.
    pub(crate) fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Entry>> {
        let old = self.next.get(key).cloned()?;
        self.next.bury(key.clone(), self.at);
        self.touched.keys.insert(key.clone());
        self.touched.urgent = true;
        Some(old)
    }

    /// Says that what there is, is meant. If nothing has changed since that was said last, it is said already.
    pub(crate) fn accept_epoch(&mut self) {
        if !self.next.epoch_accepted() || self.next.accepted < self.next.revision {
            self.next.accepted = self.at;
            self.touched.epoch = true;
            self.touched.urgent = true;
        }
    }

    /// Begins another epoch with the same objects. Nobody has accepted it yet.
    pub(crate) fn begin_epoch(&mut self) {
        let before = self.next.epoch;
        while self.next.epoch == before {
            self.next.epoch = Epoch(fastrand::u64(1..));
        }
        self.next.accepted = Revision(0);
        self.next.digests = Digests::new();
        self.touched.epoch = true;
        self.touched.urgent = true;
    }

    /// The next revision, and what is different in it; if nothing is, the same revision.
    pub(crate) fn finish(mut self) -> (Snapshot, Touched) {
        if !self.touched.is_empty() {
            self.next.revision = self.at;
            if self.touched.urgent {
                self.next.withdrew = self.at;
            }
            self.next.trim(self.tombstones);
            self.next.digests.add(self.at, self.next.digest);
        }
        (self.next, self.touched)
    }
}

impl Snapshot {
    /// Forgets the oldest removed objects, whole revisions of them, and raises the floor accordingly.
    fn trim(&mut self, most: usize) {
        while self.removed.size() > most
            && let Some(((oldest, _), ())) = self.removed.first()
        {
            self.floor = *oldest;
            while let Some(((at, key), ())) = self.removed.first()
                && *at <= self.floor
            {
                let key = key.clone();
                self.forget(&key);
            }
        }
    }
}

/// Whether the address that `old` names must take no more requests.
fn withdraws(old: &Entry, new: &Object) -> bool {
    match (old.object.value.as_backend(), new.value.as_backend()) {
        (Some(old), Some(new)) => {
            // One that drains still has requests of clients that stay with it.
            let sends_away = (old.operator_state, new.operator_state)
                == (OperatorState::Draining, OperatorState::Disabled);
            sends_away || old.is_routable() && (!new.is_routable() || old.address != new.address)
        }
        _ => false,
    }
}
