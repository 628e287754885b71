//! A snapshot cut into messages of bearable size.

use std::sync::Arc;

use prost::Message;
use weir_proto::v1;

use super::{Entry, Snapshot};

/// How big a page's body is, about: well below the 4 MiB that receivers take by default.
pub(crate) const PAGE_BYTES: usize = 1 << 20;

/// What an object needs in a page beyond name and body: tags, lengths, kind and level, at most.
const OBJECT_OVERHEAD: usize = 32;

impl Snapshot {
    /// The whole configuration in pages whose bodies have about `page_bytes`; each is encoded when it is asked for.
    /// An empty configuration has one empty page.
    pub(crate) fn pages(
        self: &Arc<Self>,
        page_bytes: usize,
    ) -> impl Iterator<Item = v1::SnapshotPage> + use<> {
        let snapshot = Arc::clone(self);
        let mut next = Some((0, None));
        std::iter::from_fn(move || {
            let (index, after) = next.take()?;
            let (objects, last) = snapshot.page(after.as_ref(), page_bytes);
            let is_last = last.is_none();
            next = last.map(|entry| (index + 1, Some(entry)));
            Some(v1::SnapshotPage {
                position: Some(snapshot.position().wire()),
                index,
                last: is_last,
                total_objects: snapshot.len() as u64,
                epoch_accepted: snapshot.epoch_accepted(),
                accepted_revision: snapshot.accepted().0,
                // It depends on who gets them.
                removals_from: 0,
                body: v1::SnapshotBody { objects }.encode_to_vec().into(),
            })
        })
    }

    /// The objects after `after` that fit into a page, at least one; and the last of them, if more follow.
    fn page(&self, after: Option<&Arc<Entry>>, page_bytes: usize) -> (Vec<v1::Object>, Option<Arc<Entry>>) {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |entry| Excluded(entry.object.key.clone()));
        let mut room = page_bytes;
        let mut objects = Vec::new();
        let mut last = None;
        for entry in self.from(from) {
            let size = entry.object.key.name.len() + entry.object.body.len() + OBJECT_OVERHEAD;
            if last.is_some() && size > room {
                return (objects, last);
            }
            room = room.saturating_sub(size);
            objects.push(entry.object.wire());
            last = Some(Arc::clone(entry));
        }
        (objects, None)
    }
}
