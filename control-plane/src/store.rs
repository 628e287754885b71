//! Where the configuration outlives the process. Every engine passes the same conformance suite.

mod memory;
mod sqlite;
mod writer;

#[cfg(test)]
mod conformance;

use std::{path::Path, sync::Arc};

use weir_proto::{Digest, Epoch, ObjectKey, Revision, v1};

use crate::{
    error::Error,
    journal::{Before, Compacted, Journal, Query, Retention, RevisionRecord},
    snapshot::{Entry, Marks, Position, Snapshot},
};

pub(crate) use memory::Memory;
pub(crate) use sqlite::{Place, Sqlite};
pub(crate) use writer::Writer;

/// A storage engine. It blocks, so it is used through a [`Writer`].
pub(crate) trait Store: Send + std::fmt::Debug {
    /// Everything that was committed. Called once, before the first commit.
    fn load(&mut self) -> Result<Loaded, Error>;

    /// Makes a batch durable, all or nothing: synced when this returns.
    ///
    /// [`Error::StoreFull`] and [`Error::StoreReadOnly`] say that nothing changed and a later commit may succeed;
    /// after [`Error::StoreFailed`] nobody knows what is on the disk, and nothing may be committed any more.
    fn commit(&mut self, batch: &Batch) -> Result<(), Error>;

    /// Revisions, the newest first.
    fn revisions(&mut self, query: &Query) -> Result<Vec<RevisionRecord>, Error>;

    /// How everything that was declared otherwise after `since` was declared at `since`, which must not be below the
    /// floor. Each object at most once.
    fn befores(&mut self, since: Revision) -> Result<Vec<Before>, Error>;

    /// How far back [`Store::befores`] reaches.
    fn history_floor(&mut self) -> Result<Revision, Error>;

    /// What was done and refused, the newest first: `most` records with a sequence below `before`.
    fn audit(&mut self, before: Option<u64>, most: usize) -> Result<Vec<v1::AuditRecord>, Error>;

    /// Forgets all but so much, and gives the room back to the disk. Errors as with [`Store::commit`].
    fn compact(&mut self, keep: Retention) -> Result<Compacted, Error>;

    /// The URL to open it with.
    fn describe(&self) -> String;
}

/// What a store holds.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The newest committed state.
    pub(crate) position: Position,
    /// As committed.
    pub(crate) accepted: Revision,
    /// As committed.
    pub(crate) floor: Revision,
    /// Every object.
    pub(crate) entries: Vec<Arc<Entry>>,
    /// When each removed object went, above the floor.
    pub(crate) tombstones: Vec<(ObjectKey, Revision)>,
    /// The proxies that were there.
    pub(crate) proxies: Vec<v1::ProxyInfo>,
    /// Of the revisions that are remembered, as far as they were recorded.
    pub(crate) digests: Vec<(Revision, Digest)>,
}

/// The step from one state to a later one.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// Where it leads.
    pub(crate) position: Position,
    /// As it is then.
    pub(crate) accepted: Revision,
    /// As it is then. Tombstones at or below it are dropped.
    pub(crate) floor: Revision,
    /// Each object at most once.
    pub(crate) writes: Vec<Write>,
    /// What is remembered with it.
    pub(crate) journal: Journal,
}

/// What happens to one object.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// It is so from now on.
    Put(Arc<Entry>),
    /// It went at that revision.
    Remove(ObjectKey, Revision),
}

/// An engine, and where it keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Url<'a> {
    Memory,
    Sqlite(&'a Path),
}

/// Opens the store that `url` names, without what was acknowledged from the revision `accepted` on, if exactly that is
/// lost; without `accepted` it refuses to. Blocks.
pub(crate) fn open(url: &str, accepted: Option<Revision>) -> Result<Box<dyn Store>, Error> {
    Ok(match Url::parse(url)? {
        Url::Memory => Box::new(Memory::new()),
        Url::Sqlite(path) => Box::new(Sqlite::open_without(path, accepted)?),
    })
}

impl<'a> Url<'a> {
    /// `sqlite:PATH` or `memory`.
    pub(crate) fn parse(url: &'a str) -> Result<Self, Error> {
        match url.split_once(':') {
            None if url == "memory" => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(Path::new(path))),
            _ => {
                // Of a database elsewhere, there may be credentials in it.
                let shown = weir_proto::without_userinfo(url);
                Err(Error::Config(format!("unknown store {shown:?}: --store must be sqlite:PATH or memory")))
            }
        }
    }
}

impl Loaded {
    /// The state as readers see it. An error if the objects are not those that were committed.
    pub(crate) fn into_snapshot(self, store: &str) -> Result<Snapshot, Error> {
        let Self { position, accepted, floor, entries, tombstones, digests, .. } = self;
        let Position { epoch, revision, digest } = position;
        let marks = Marks { epoch, accepted, revision, floor };
        let snapshot = Snapshot::restore(marks, entries, tombstones, digests);
        let found = snapshot.position().digest;
        if found != digest {
            let reason = format!("its objects have the digest {found}, not {digest}");
            return Err(Error::StoreCorrupt { store: store.to_owned(), reason });
        }
        Ok(snapshot)
    }
}

impl Batch {
    /// The step to `next` that consists of what happened to `keys`.
    pub(crate) fn between<'a>(next: &Snapshot, keys: impl IntoIterator<Item = &'a ObjectKey>) -> Self {
        let write = |key: &ObjectKey| match next.get(key) {
            Some(entry) => Write::Put(Arc::clone(entry)),
            None => Write::Remove(key.clone(), next.removed_at(key)),
        };
        Self {
            position: next.position(),
            accepted: next.accepted(),
            floor: next.floor(),
            writes: keys.into_iter().map(write).collect(),
            journal: Journal::default(),
        }
    }
}

/// The state of a store that was just made.
fn fresh() -> Loaded {
    let epoch = Epoch(fastrand::u64(1..));
    Loaded {
        position: Position { epoch, revision: Revision(0), digest: Digest::default() },
        accepted: Revision(0),
        floor: Revision(0),
        entries: Vec::new(),
        tombstones: Vec::new(),
        proxies: Vec::new(),
        digests: Vec::new(),
    }
}
