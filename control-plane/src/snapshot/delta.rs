//! What changed between two revisions of one epoch.

use std::{ops::Bound, sync::Arc};

use bytes::Bytes;
use prost::Message;
use weir_proto::{ObjectKey, ObjectKind, Revision, v1};

use super::{Entry, Snapshot};

/// What leads from one revision to a later one. No object stands in both lists.
#[derive(Debug, Clone)]
pub(crate) struct Delta {
    /// The whole of each new or changed object.
    pub(crate) upserted: Vec<Arc<Entry>>,
    /// The objects that are gone.
    pub(crate) removed: Vec<ObjectKey>,
}

impl Snapshot {
    /// What changed since `from`: in O(change · log n). None if that is below the floor or above this revision.
    ///
    /// An object that came and went in between is named as removed; removing what is not there is fine.
    pub(crate) fn delta_since(&self, from: Revision) -> Option<Delta> {
        if from < self.floor || from > self.revision {
            return None;
        }
        // Every key sorts behind this one, so that the range takes in all of the next revision.
        let first = (from.next(), ObjectKey::new(ObjectKind::ALL[0], ""));
        let range = (Bound::Included(first), Bound::Unbounded);
        let upserted = self.changed.range(range.clone());
        let removed = self.removed.range(range);
        Some(Delta {
            upserted: upserted.filter_map(|((_, key), ())| self.entries.get(key).cloned()).collect(),
            removed: removed.map(|((_, key), ())| key.clone()).collect(),
        })
    }
}

impl Delta {
    /// The encoded `DeltaBody`.
    pub(crate) fn body(&self) -> Bytes {
        v1::DeltaBody {
            upserted: self.upserted.iter().map(|entry| entry.object.wire()).collect(),
            removed: self.removed.iter().map(ObjectKey::wire).collect(),
        }
        .encode_to_vec()
        .into()
    }
}
