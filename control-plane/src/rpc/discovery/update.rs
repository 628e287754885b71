//! What to send to a proxy so that it has the newest state: pure.

use bytes::Bytes;
use weir_proto::v1;

use crate::{
    publish::Published,
    snapshot::{PAGE_BYTES, Position},
};

/// The largest delta, well below the 4 MiB that receivers take by default. Beyond it pages are the better form.
const MOST_DELTA_BYTES: usize = 2 << 20;

/// One state on its way to a proxy.
pub(super) enum Update {
    /// What changed since the state that the proxy has.
    Delta(v1::Delta),
    /// Everything.
    Snapshot(Pages),
}

/// The pages of a snapshot, each encoded when it is its turn.
pub(super) type Pages = Box<dyn Iterator<Item = v1::SnapshotPage> + Send>;

impl Update {
    /// The way from `has` to the published state.
    pub(super) fn new(published: &Published, has: Option<Position>) -> Self {
        match has.and_then(|has| delta(published, has)) {
            Some(delta) => Self::Delta(delta),
            None => Self::Snapshot(Box::new(published.snapshot().pages(PAGE_BYTES))),
        }
    }
}

/// Whether a proxy is wrong about what it has: the published revision, with another digest.
pub(super) fn contradicts(published: &Published, has: Position) -> bool {
    let current = published.snapshot().position();
    (has.epoch, has.revision) == (current.epoch, current.revision) && has.digest != current.digest
}

fn delta(published: &Published, has: Position) -> Option<v1::Delta> {
    let snapshot = published.snapshot();
    let to = snapshot.position();
    if has.epoch != to.epoch || contradicts(published, has) {
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
    small.then(|| v1::Delta { from_revision: has.revision.0, to: Some(to.wire()), body })
}
