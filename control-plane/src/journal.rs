//! What is remembered of changes: who made which revision, how what it changed was declared before, what was refused,
//! and which proxies there were.
//!
//! A revision's record says how things were *before* it. So how an object was declared at a revision is what the first
//! change after that revision says of it, or how it is now if there is none: to forget old revisions needs no other
//! record to be touched.

mod declared;

use std::{borrow::Borrow, sync::Arc};

use weir_proto::{Digest, ObjectKey, ProxyId, Revision, v1};

pub(crate) use declared::{befores, declared, is_same};

use crate::snapshot::Entry;

/// Objects that a record names, of all that it concerns.
pub(crate) const MOST_NAMED: usize = 10;

/// What is remembered together with a change, in the same transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal {
    /// The revisions that the change consists of, in their order.
    pub(crate) revisions: Vec<RevisionRecord>,
    /// What was done and refused. Those without a sequence get the next ones.
    pub(crate) audit: Vec<v1::AuditRecord>,
    /// What is new of proxies.
    pub(crate) proxies: Vec<ProxyWrite>,
    /// Nothing is known of how things were before this.
    pub(crate) floor: Revision,
    /// How much is kept.
    pub(crate) keep: Retention,
}

/// One revision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RevisionRecord {
    /// Who made it, why, and what of.
    pub(crate) info: v1::RevisionInfo,
    /// Whether agents or leases brought it about, not operators.
    pub(crate) automatic: bool,
    /// How what it changed was declared until then.
    pub(crate) befores: Vec<Before>,
}

/// How an object was declared until a revision declared it otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    /// Which object.
    pub(crate) key: ObjectKey,
    /// None if it was not declared.
    pub(crate) entry: Option<Arc<Entry>>,
}

/// What is to be remembered of a proxy.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
pub(crate) enum ProxyWrite {
    /// It is there, or was until `disconnected_at`.
    Put(v1::ProxyInfo),
    /// It is forgotten.
    Remove(ProxyId),
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Revisions of operators; of automatic ones as many again.
    pub(crate) revisions: u32,
    /// Records of what was done and refused.
    pub(crate) audit: u32,
}

/// Which revisions to read, the newest first.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// Only those before this one.
    pub(crate) before: Option<Revision>,
    /// At most so many.
    pub(crate) most: usize,
    /// Those of agents and leases too.
    pub(crate) automatic: bool,
    /// Only those that changed how this object is declared.
    pub(crate) object: Option<ObjectKey>,
    /// With their befores, which are empty otherwise.
    pub(crate) befores: bool,
}

/// What forgetting gave back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Compacted {
    /// The store's size until then.
    pub(crate) bytes_before: u64,
    /// And afterwards.
    pub(crate) bytes_after: u64,
    /// How far back the history reaches now.
    pub(crate) floor: Revision,
}

impl RevisionRecord {
    /// Its number.
    pub(crate) fn revision(&self) -> Revision {
        Revision(self.info.revision)
    }

    /// What its state had for a digest, with its number, if that was recorded.
    pub(crate) fn digest(&self) -> Option<(Revision, Digest)> {
        self.info.digest.map(|digest| (self.revision(), Digest(digest)))
    }
}

impl ProxyWrite {
    /// Of which proxy it is.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Put(info) => &info.id,
            Self::Remove(id) => id.borrow(),
        }
    }
}

impl Retention {
    /// Everything.
    pub(crate) const ALL: Self = Self { revisions: u32::MAX, audit: u32::MAX };
}

impl Default for Retention {
    fn default() -> Self {
        Self { revisions: 10_000, audit: 100_000 }
    }
}

impl PartialEq for Before {
    fn eq(&self, other: &Self) -> bool {
        let plain = |entry: &Arc<Entry>| (entry.object.wire(), entry.meta.clone());
        self.key == other.key && self.entry.as_ref().map(plain) == other.entry.as_ref().map(plain)
    }
}
