//! What was: read from the store by the registry's task, which is the only one that has it.

use tokio::sync::oneshot;
use weir_proto::{ObjectKey, Revision, v1};

use super::{
    Applied, Change, Registry, Rollback,
    command::{Asked, Command, Read},
};
use crate::{
    caller::Caller,
    error::Error,
    journal::{Before, Compacted, Query, RevisionRecord, declared, is_same},
    snapshot::Snapshot,
    store::Store,
};

/// Revisions, and how far back they can be returned to.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The newest first.
    pub(crate) records: Vec<RevisionRecord>,
    /// [`Registry::diff`] and [`Registry::rollback`] reach back to this one.
    pub(crate) floor: Revision,
}

/// How two revisions differ.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    /// From this one.
    pub(crate) from: Revision,
    /// To this one.
    pub(crate) to: Revision,
    /// In the order of the objects.
    pub(crate) changes: Vec<Change>,
}

impl Registry {
    /// The revisions that are remembered; see `Admin.History` in `admin.proto`.
    pub(crate) async fn history(&self, query: Query) -> Result<Page, Error> {
        self.read(move |store, _| {
            Ok(Page { records: store.revisions(&query)?, floor: store.history_floor()? })
        })
        .await
    }

    /// What is remembered of one revision. None if that is forgotten, or there is none.
    pub(crate) async fn revision(&self, revision: Revision) -> Result<Option<v1::RevisionInfo>, Error> {
        let query =
            Query { before: Some(revision.next()), most: 1, automatic: true, object: None, befores: false };
        let newest = self.read(move |store, _| store.revisions(&query)).await?.pop();
        Ok(newest.filter(|record| record.revision() == revision).map(|record| record.info))
    }

    /// What is declared differently in two revisions; see `Admin.Diff` in `admin.proto`. Without `to` it is the current
    /// one.
    pub(crate) async fn diff(&self, from: Revision, to: Option<Revision>) -> Result<Difference, Error> {
        self.read(move |store, current| {
            let to = to.unwrap_or(current.revision());
            Ok(Difference { from, to, changes: changes(store, current, from, to)? })
        })
        .await
    }

    /// What was done and refused, the newest first; see `Admin.ListAudit` in `admin.proto`. What was refused within the
    /// last second may be missing.
    pub(crate) async fn audit(
        &self,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<v1::AuditRecord>, Error> {
        self.read(move |store, _| store.audit(before, most)).await
    }

    /// Declares again what was declared at a revision; see `Admin.Rollback` in `admin.proto`.
    pub(crate) async fn rollback(&self, caller: &Caller, rollback: Rollback) -> Result<Applied, Error> {
        self.ask(caller, |reply| Command::Rollback(rollback, reply)).await
    }

    /// Forgets old history and gives the room back to the disk; see `Admin.Compact` in `admin.proto`.
    pub(crate) async fn compact(&self, caller: &Caller, revisions: Option<u32>) -> Result<Compacted, Error> {
        self.ask(caller, |reply| Command::Compact(revisions, reply)).await
    }

    /// Reads from the store, after all that was asked before. Changes wait meanwhile, so it must not take long.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Store, &Snapshot) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let read = Read(Box::new(move |store, current| {
            // Whoever does not wait any more does not need the answer.
            if !reply.is_closed() {
                let _ = reply.send(read(store, current));
            }
        }));
        self.lanes.operator(Asked { caller: Caller::own(), command: Command::Read(read) }).await?;
        answer.await.map_err(|_| Error::Stopping)?
    }
}

/// How everything that is declared otherwise since `revision` was declared then.
pub(super) fn befores(
    store: &mut dyn Store,
    current: &Snapshot,
    revision: Revision,
) -> Result<Vec<Before>, Error> {
    let (floor, current) = (store.history_floor()?, current.revision());
    if revision < floor || revision > current {
        return Err(Error::OutOfRange { revision, floor, current });
    }
    store.befores(revision)
}

fn changes(
    store: &mut dyn Store,
    current: &Snapshot,
    from: Revision,
    to: Revision,
) -> Result<Vec<Change>, Error> {
    // All that changed between the two has changed since the earlier one.
    let since = befores(store, current, from.min(to))?;
    let later: std::collections::HashMap<ObjectKey, _> =
        befores(store, current, from.max(to))?.into_iter().map(|before| (before.key, before.entry)).collect();
    let mut changes: Vec<Change> = since
        .into_iter()
        .filter_map(|Before { key, entry }| {
            let then = later.get(&key).cloned();
            let then = then.unwrap_or_else(|| Some(declared(current.get(&key)?)?.into_owned()));
            let (before, after) = if from <= to { (entry, then) } else { (then, entry) };
            let kind = match (&before, &after) {
                _ if is_same(before.as_ref(), after.as_ref()) => return None,
                (None, _) => v1::ChangeKind::Created,
                (Some(_), None) => v1::ChangeKind::Deleted,
                (Some(_), Some(_)) => v1::ChangeKind::Updated,
            };
            Some(Change { kind, key, before, after })
        })
        .collect();
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(changes)
}
