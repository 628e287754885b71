//! A store that forgets everything with the process: for tests and for trying things out.

use std::{collections::BTreeMap, sync::Arc};

use weir_proto::{ObjectKey, Revision};

use super::{Batch, Loaded, Store, Write, fresh};
use crate::{error::Error, snapshot::Entry};

/// Keeps what was committed for as long as it lives.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Without the objects and tombstones, which stand below.
    head: Loaded,
    entries: BTreeMap<ObjectKey, Arc<Entry>>,
    tombstones: BTreeMap<ObjectKey, Revision>,
}

impl Memory {
    /// A new store, of a new epoch.
    pub(crate) fn new() -> Self {
        Self { head: fresh(), entries: BTreeMap::new(), tombstones: BTreeMap::new() }
    }
}

impl Store for Memory {
    fn load(&mut self) -> Result<Loaded, Error> {
        Ok(Loaded {
            entries: self.entries.values().cloned().collect(),
            tombstones: self.tombstones.iter().map(|(key, at)| (key.clone(), *at)).collect(),
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
        self.head.epoch_accepted = batch.epoch_accepted;
        self.head.floor = batch.floor;
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
