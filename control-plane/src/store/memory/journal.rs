//! What a store in memory remembers of changes.

use std::collections::{BTreeMap, BTreeSet};

use weir_proto::{Digest, ObjectKey, Revision, v1};

use crate::journal::{Before, Journal, ProxyWrite, Query, Retention, RevisionRecord};

/// The journal, as far as it is kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Without their befores.
    revisions: BTreeMap<Revision, RevisionRecord>,
    /// Above the floor, also of revisions that are forgotten.
    befores: BTreeMap<Revision, Vec<Before>>,
    audit: BTreeMap<u64, v1::AuditRecord>,
    proxies: BTreeMap<String, v1::ProxyInfo>,
    /// The newest sequence of `audit`, also if that is forgotten.
    sequence: u64,
    floor: Revision,
}

impl Kept {
    /// Adds what is new and forgets what is too much.
    pub(super) fn add(&mut self, journal: &Journal) {
        for record in &journal.revisions {
            self.befores.insert(record.revision(), record.befores.clone());
            self.revisions
                .insert(record.revision(), RevisionRecord { befores: Vec::new(), ..record.clone() });
        }
        for record in &journal.audit {
            let sequence = if record.sequence == 0 { self.sequence + 1 } else { record.sequence };
            self.sequence = self.sequence.max(sequence);
            self.audit.insert(sequence, v1::AuditRecord { sequence, ..record.clone() });
        }
        for write in &journal.proxies {
            match write {
                ProxyWrite::Put(info) => _ = self.proxies.insert(info.id.clone(), info.clone()),
                ProxyWrite::Remove(_) => _ = self.proxies.remove(write.id()),
            }
        }
        self.raise(journal.floor);
        self.trim(journal.keep);
    }

    /// Forgets what is too much.
    pub(super) fn trim(&mut self, keep: Retention) {
        let most = keep.revisions as usize;
        for automatic in [false, true] {
            if self.revisions.len() <= most {
                break;
            }
            let of_kind = self.revisions.values().filter(|record| record.automatic == automatic);
            let last = of_kind.map(RevisionRecord::revision).rev().nth(most);
            let Some(last) = last else { continue };
            self.revisions.retain(|at, record| record.automatic != automatic || *at > last);
            if !automatic {
                self.raise(last);
            }
        }
        let forgotten = self.sequence.saturating_sub(u64::from(keep.audit));
        self.audit.retain(|sequence, _| *sequence > forgotten);
    }

    /// See [`crate::store::Store::revisions`].
    pub(super) fn revisions(&self, query: &Query) -> Vec<RevisionRecord> {
        let before = query.before.unwrap_or(Revision(u64::MAX));
        let is_meant = |record: &&RevisionRecord| {
            (query.automatic || !record.automatic)
                && query.object.as_ref().is_none_or(|key| self.changed(record.revision(), key))
        };
        let found = self.revisions.range(..before).rev().map(|(_, record)| record).filter(is_meant);
        let plain = |record: &RevisionRecord| {
            let befores = self.befores.get(&record.revision()).filter(|_| query.befores);
            let befores = befores.cloned().unwrap_or_default();
            RevisionRecord { befores, ..record.clone() }
        };
        found.take(query.most).map(plain).collect()
    }

    /// See [`crate::store::Store::befores`].
    pub(super) fn befores(&self, since: Revision) -> Vec<Before> {
        let mut seen = BTreeSet::new();
        let later = self.befores.range(since.next()..).flat_map(|(_, befores)| befores);
        later.filter(|before| seen.insert(before.key.clone())).cloned().collect()
    }

    /// See [`crate::store::Store::history_floor`].
    pub(super) fn floor(&self) -> Revision {
        self.floor
    }

    /// See [`crate::store::Store::audit`].
    pub(super) fn audit(&self, before: Option<u64>, most: usize) -> Vec<v1::AuditRecord> {
        let range = self.audit.range(..before.unwrap_or(u64::MAX));
        range.rev().take(most).map(|(_, record)| record.clone()).collect()
    }

    /// The proxies that were there.
    pub(super) fn proxies(&self) -> Vec<v1::ProxyInfo> {
        self.proxies.values().cloned().collect()
    }

    /// Of the revisions that are kept, the oldest first.
    pub(super) fn digests(&self) -> Vec<(Revision, Digest)> {
        self.revisions.values().filter_map(RevisionRecord::digest).collect()
    }

    fn changed(&self, revision: Revision, key: &ObjectKey) -> bool {
        self.befores.get(&revision).is_some_and(|befores| befores.iter().any(|before| before.key == *key))
    }

    fn raise(&mut self, floor: Revision) {
        if floor > self.floor {
            self.floor = floor;
            self.befores = self.befores.split_off(&floor.next());
        }
    }
}
