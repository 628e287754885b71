//! A store that forgets everything with the process: for tests and for trying things out.

mod journal;

use std::{collections::BTreeMap, sync::Arc};

use weir_proto::{ObjectKey, Revision, v1};

use super::{Batch, Loaded, Store, Write, fresh};
use crate::{
    error::Error,
    journal::{Before, Compacted, Query, Retention, RevisionRecord},
    snapshot::Entry,
};
use journal::Kept;

/// Keeps what was committed for as long as it lives.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Without the objects and tombstones, which stand below.
    head: Loaded,
    entries: BTreeMap<ObjectKey, Arc<Entry>>,
    tombstones: BTreeMap<ObjectKey, Revision>,
    journal: Kept,
}

impl Memory {
    /// A new store, of a new epoch.
    pub(crate) fn new() -> Self {
        Self {
            head: fresh(),
            entries: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            journal: Kept::default(),
        }
    }

    /// As if that object had never been there.
    #[cfg(test)]
    pub(crate) fn forget(&mut self, key: &ObjectKey) {
        if let Some(entry) = self.entries.remove(key) {
            let position = &mut self.head.position;
            position.digest = position.digest.without(key, &entry.object.body);
        }
    }
}

impl Store for Memory {
    fn load(&mut self) -> Result<Loaded, Error> {
        Ok(Loaded {
            entries: self.entries.values().cloned().collect(),
            tombstones: self.tombstones.iter().map(|(key, at)| (key.clone(), *at)).collect(),
            proxies: self.journal.proxies(),
            digests: self.journal.digests(),
            ..self.head.clone()
        })
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Error> {
        for write in &batch.writes {
            match write {
                Write::Put(entry) => {
                    self.tombstones.remove(&entry.object.key);
                    self.entries.insert(entry.object.key.clone(), Arc::clone(entry));
                }
                Write::Remove(key, at) => {
                    self.entries.remove(key);
                    self.tombstones.insert(key.clone(), *at);
                }
            }
        }
        self.tombstones.retain(|_, at| *at > batch.floor);
        self.head.position = batch.position;
        self.head.accepted = batch.accepted;
        self.head.floor = batch.floor;
        self.journal.add(&batch.journal);
        Ok(())
    }

    fn revisions(&mut self, query: &Query) -> Result<Vec<RevisionRecord>, Error> {
        Ok(self.journal.revisions(query))
    }

    fn befores(&mut self, since: Revision) -> Result<Vec<Before>, Error> {
        Ok(self.journal.befores(since))
    }

    fn history_floor(&mut self) -> Result<Revision, Error> {
        Ok(self.journal.floor())
    }

    fn audit(&mut self, before: Option<u64>, most: usize) -> Result<Vec<v1::AuditRecord>, Error> {
        Ok(self.journal.audit(before, most))
    }

    fn compact(&mut self, keep: Retention) -> Result<Compacted, Error> {
        self.journal.trim(keep);
        Ok(Compacted { floor: self.journal.floor(), ..Compacted::default() })
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
