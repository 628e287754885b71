//! What to send to a proxy so that it has the newest state: pure.

use bytes::Bytes;
use weir_proto::v1;

use crate::{
    publish::{Pages, Published},
    snapshot::{Position, Relation},
};

/// The largest delta, well below the 4 MiB that receivers take by default. Beyond it pages are the better form.
const MOST_DELTA_BYTES: usize = 2 << 20;

/// One state on its way to a proxy.
pub(super) enum Update {
    /// What changed since the state that the proxy has.
    Delta(v1::Delta),
    /// Everything, and the digest from which all removals are known, or 0.
    Snapshot(Pages, u64),
}

/// The way from `has` to the published state. None if there is none, or a snapshot is the better form.
pub(super) fn delta(published: &Published, has: Position) -> Option<v1::Delta> {
    let snapshot = published.snapshot();
    let to = snapshot.position();
    if snapshot.relation(has) != Relation::Earlier {
        return None;
    }
    let body = if has.revision == to.revision {
        Bytes::new()
    } else {
        // All the streams that follow closely share these bytes.
        let shared = published.delta_from(has.revision);
        shared.or_else(|| snapshot.delta_since(has.revision).map(|delta| delta.body()))?
    };
    let small = body.len() <= MOST_DELTA_BYTES;
    small.then(|| v1::Delta {
        from_revision: has.revision.0,
        to: Some(to.wire()),
        body,
        from_digest: has.digest.0,
    })
}
