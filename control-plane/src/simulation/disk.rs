//! A disk that outlives the control planes that use it, knows what each of them committed, and fails when told to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_proto::{Revision, v1};

use crate::{
    Error,
    journal::{Before, Compacted, Query, Retention, RevisionRecord},
    snapshot::Position,
    store::{self, Batch, Loaded, Memory, Store, Write},
};

/// The disk; clones are the same one.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Mutex<Inner>>);

/// What becomes of the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// There is no room for it.
    Full,
    /// The power fails before it is on the disk.
    Lost,
    /// The power fails when it is on the disk, and nobody has heard of it.
    Kept,
}

/// One commit that is on the disk.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The state that it led to.
    pub position: v1::Position,
    /// The states that led there one after the other, this one among them.
    pub through: Vec<v1::Position>,
    /// What is different in that.
    pub changes: Vec<Changed>,
}

/// What became of one object by a commit.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The object.
    pub key: v1::ObjectRef,
    /// The revision that changed it last.
    pub revision: u64,
    /// None: it is gone.
    pub now: Option<(v1::Object, v1::ObjectMeta)>,
}

#[derive(Debug)]
struct Inner {
    store: Box<dyn Store>,
    /// Grows whenever the disk is pulled out: what an older run still writes is not written.
    run: u64,
    fate: Option<Fate>,
    log: Vec<Committed>,
    /// All that is on it, in its order.
    past: Vec<Batch>,
}

/// The disk as one run of a control plane has it.
#[derive(Debug)]
struct Inserted {
    disk: Disk,
    run: u64,
}

impl Disk {
    /// An empty one in memory.
    #[must_use]
    pub fn memory() -> Self {
        Self::of(Box::new(Memory::new()))
    }

    /// The one that the URL names, as `--store` takes it.
    pub fn open(url: &str) -> Result<Self, Error> {
        store::open(url, None).map(Self::of)
    }

    fn of(store: Box<dyn Store>) -> Self {
        Self(Arc::new(Mutex::new(Inner { store, run: 0, fate: None, log: Vec::new(), past: Vec::new() })))
    }

    /// What the next commit meets.
    pub fn destine(&self, fate: Option<Fate>) {
        self.lock().fate = fate;
    }

    /// Whether the fate still waits for its commit.
    #[must_use]
    pub fn is_destined(&self) -> bool {
        self.lock().fate.is_some()
    }

    /// What was committed since the last call.
    #[must_use]
    pub fn take_log(&self) -> Vec<Committed> {
        std::mem::take(&mut self.lock().log)
    }

    /// Puts in another medium, as after a disaster.
    pub fn replace(&self, by: Self) {
        let Ok(other) = Arc::try_unwrap(by.0) else { return };
        let mut other = other.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut inner = self.lock();
        std::mem::swap(&mut inner.store, &mut other.store);
        inner.past = other.past;
        inner.run += 1;
    }

    /// A copy, in memory, of what it was that many commits ago.
    pub fn as_of(&self, commits_ago: usize) -> Result<Self, Error> {
        let mut store = Memory::new();
        let inner = self.lock();
        let kept = inner.past.len().saturating_sub(commits_ago);
        let past = inner.past.get(..kept).unwrap_or_default().to_vec();
        drop(inner);
        past.iter().try_for_each(|batch| store.commit(batch))?;
        let copy = Self::of(Box::new(store));
        copy.lock().past = past;
        Ok(copy)
    }

    pub(super) fn insert(&self) -> Box<dyn Store> {
        Box::new(Inserted { disk: self.clone(), run: self.lock().run })
    }

    /// From now on nobody has it who has it now.
    pub(super) fn pull_out(&self) {
        let mut inner = self.lock();
        inner.run += 1;
        inner.fate = None;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inserted {
    fn gone(&self) -> Error {
        Error::StoreFailed { store: self.describe(), reason: "the power failed".to_owned() }
    }
}

impl Store for Inserted {
    fn load(&mut self) -> Result<Loaded, Error> {
        self.disk.lock().store.load()
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Error> {
        let mut inner = self.disk.lock();
        if inner.run != self.run {
            return Err(self.gone());
        }
        match inner.fate.take() {
            Some(Fate::Full) => {
                let (store, reason) = ("a full disk".to_owned(), "full".to_owned());
                return Err(Error::StoreFull { store, reason });
            }
            Some(Fate::Lost) => {
                inner.run += 1;
                return Err(self.gone());
            }
            Some(Fate::Kept) => inner.run += 1,
            None => {}
        }
        inner.store.commit(batch)?;
        inner.past.push(batch.clone());
        inner.log.push(Committed {
            position: batch.position.wire(),
            through: through(batch),
            changes: batch.writes.iter().map(changed).collect(),
        });
        if inner.run == self.run { Ok(()) } else { Err(self.gone()) }
    }

    fn revisions(&mut self, query: &Query) -> Result<Vec<RevisionRecord>, Error> {
        self.disk.lock().store.revisions(query)
    }

    fn befores(&mut self, since: Revision) -> Result<Vec<Before>, Error> {
        self.disk.lock().store.befores(since)
    }

    fn history_floor(&mut self) -> Result<Revision, Error> {
        self.disk.lock().store.history_floor()
    }

    fn audit(&mut self, before: Option<u64>, most: usize) -> Result<Vec<v1::AuditRecord>, Error> {
        self.disk.lock().store.audit(before, most)
    }

    fn compact(&mut self, keep: Retention) -> Result<Compacted, Error> {
        self.disk.lock().store.compact(keep)
    }

    fn describe(&self) -> String {
        "a disk".to_owned()
    }
}

/// Several revisions may make up one commit.
fn through(batch: &Batch) -> Vec<v1::Position> {
    let digests = batch.journal.revisions.iter().filter_map(RevisionRecord::digest);
    digests.map(|(revision, digest)| Position { revision, digest, ..batch.position }.wire()).collect()
}

fn changed(write: &Write) -> Changed {
    match write {
        Write::Put(entry) => Changed {
            key: entry.object.key.wire(),
            revision: entry.meta.modified_revision,
            now: Some((entry.object.wire(), entry.meta.clone())),
        },
        Write::Remove(key, Revision(revision)) => Changed { key: key.wire(), revision: *revision, now: None },
    }
}
