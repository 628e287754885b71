//! The records of a backup.

use std::sync::Arc;

use prost::Message;
use weir_proto::{Invalid, ObjectKey, ObjectKind, v1};

use crate::snapshot::{Entry, Object};

/// One record.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Record {
    /// None if a newer version wrote it.
    #[prost(oneof = "Content", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) content: Option<Content>,
}

/// What a record says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Content {
    /// Which state it is. The first record.
    #[prost(message, tag = "1")]
    Header(Header),
    /// An object.
    #[prost(message, tag = "2")]
    Object(Stored),
    /// When an object went.
    #[prost(message, tag = "3")]
    Tombstone(Tombstone),
    /// A revision, the newest first.
    #[prost(message, tag = "4")]
    Revision(Revision),
    /// How something was declared before the revision that was named last.
    #[prost(message, tag = "5")]
    Before(Before),
    /// What was done or refused.
    #[prost(message, tag = "6")]
    Audit(v1::AuditRecord),
    /// The last record.
    #[prost(message, tag = "7")]
    End(End),
}

/// Which state it is.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Header {
    /// The lineage of the store that it comes from.
    #[prost(uint64, tag = "1")]
    pub(super) epoch: u64,
    /// The revision.
    #[prost(uint64, tag = "2")]
    pub(super) revision: u64,
    /// Of all objects.
    #[prost(fixed64, tag = "3")]
    pub(super) digest: u64,
    /// When it was made.
    #[prost(message, optional, tag = "4")]
    pub(super) time: Option<prost_types::Timestamp>,
    /// Tombstones reach back to here.
    #[prost(uint64, tag = "5")]
    pub(super) floor: u64,
    /// The version of the program.
    #[prost(string, tag = "6")]
    pub(super) version: String,
}

/// An object, with what is kept beside it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Stored {
    /// The object.
    #[prost(message, optional, tag = "1")]
    pub(super) object: Option<v1::Object>,
    /// What is kept beside it.
    #[prost(message, optional, tag = "2")]
    pub(super) meta: Option<v1::ObjectMeta>,
}

/// When an object went.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Tombstone {
    /// Which.
    #[prost(message, optional, tag = "1")]
    pub(super) object: Option<v1::ObjectRef>,
    /// With this revision.
    #[prost(uint64, tag = "2")]
    pub(super) revision: u64,
}

/// A revision.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Revision {
    /// What is told of it.
    #[prost(message, optional, tag = "1")]
    pub(super) info: Option<v1::RevisionInfo>,
    /// Whether agents or leases brought it about.
    #[prost(bool, tag = "2")]
    pub(super) automatic: bool,
}

/// How something was declared.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Before {
    /// What.
    #[prost(message, optional, tag = "1")]
    pub(super) object: Option<v1::ObjectRef>,
    /// Absent if it was not.
    #[prost(message, optional, tag = "2")]
    pub(super) stored: Option<Stored>,
}

/// How many records there were.
#[derive(Clone, PartialEq, Message)]
pub(super) struct End {
    /// Objects.
    #[prost(uint64, tag = "1")]
    pub(super) objects: u64,
    /// Tombstones.
    #[prost(uint64, tag = "2")]
    pub(super) tombstones: u64,
    /// Revisions.
    #[prost(uint64, tag = "3")]
    pub(super) revisions: u64,
    /// What revisions changed.
    #[prost(uint64, tag = "4")]
    pub(super) befores: u64,
    /// What was done or refused.
    #[prost(uint64, tag = "5")]
    pub(super) audit: u64,
    /// How far back the history reaches.
    #[prost(uint64, tag = "6")]
    pub(super) history_floor: u64,
}

impl End {
    /// Counts a record.
    pub(super) fn count(&mut self, content: &Content) {
        match content {
            Content::Object(_) => self.objects += 1,
            Content::Tombstone(_) => self.tombstones += 1,
            Content::Revision(_) => self.revisions += 1,
            Content::Before(_) => self.befores += 1,
            Content::Audit(_) => self.audit += 1,
            Content::Header(_) | Content::End(_) => {}
        }
    }
}

impl From<&Entry> for Stored {
    fn from(entry: &Entry) -> Self {
        Self { object: Some(entry.object.wire()), meta: Some(entry.meta.clone()) }
    }
}

impl TryFrom<Stored> for Arc<Entry> {
    type Error = Invalid;

    fn try_from(stored: Stored) -> Result<Self, Invalid> {
        let missing = |field| move || Invalid::new(field, "is missing");
        let object = stored.object.ok_or_else(missing("object"))?;
        let meta = stored.meta.ok_or_else(missing("meta"))?;
        let key = ObjectKey::new(ObjectKind::try_from(object.kind)?, &object.name);
        let object = Object::stored(key.clone(), object.body, object.level)
            .map_err(|e| Invalid::new(key.to_string(), e))?;
        Ok(Self::new(Entry { object, meta }))
    }
}
