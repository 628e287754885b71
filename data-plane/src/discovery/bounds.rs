//! Bounds on what the proxy takes of a control plane, which may be wrong or somebody else's: pure. What is gathered is
//! counted before anything is decoded, because a body of a few bytes an object becomes many times as large by that.

use std::time::Duration;

use tokio::time::Instant;
use weir_proto::v1;

use crate::objects::{OBJECT_BYTES, Objects};

/// The most that a configuration may have, and the time that it may take to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) objects: u64,
    /// In memory, as received: names, bodies, and what each object takes beside them.
    pub(crate) bytes: u64,
    /// From the first page of a snapshot to its last one; where there is no configuration, also before the first one.
    pub(crate) within: Duration,
}

/// Something is beyond the bounds; the text names the setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Beyond(String);

/// The account of a snapshot of which pages come.
#[derive(Debug)]
pub(super) struct Gathering {
    bounds: Bounds,
    /// Of the pages so far, also of those that repeat each other.
    objects: u64,
    bytes: u64,
    /// Whether a page has come. Page 0 again begins the count anew, and not the time.
    begun: bool,
    /// When all has to be here; None while nothing is awaited.
    due: Option<Instant>,
}

impl Gathering {
    /// Nothing is awaited.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, objects: 0, bytes: 0, begun: false, due: None }
    }

    /// The control plane is to begin with a snapshot now.
    pub(super) fn expect(&mut self, now: Instant) {
        self.due = now.checked_add(self.bounds.within);
    }

    /// What was gathered is used or let go: nothing is awaited.
    pub(super) fn end(&mut self) {
        *self = Self::new(self.bounds);
    }

    /// Whether a page has come.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// When all has to be here; None while nothing is awaited.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What there is to say when that time is over.
    pub(super) fn late(&self) -> Beyond {
        let what = if self.begun { "is not complete" } else { "has not begun" };
        let within = self.bounds.within;
        Beyond(format!(
            "the configuration {what} after {within:?}; raise --snapshot-timeout if the link is only slow"
        ))
    }

    /// Whether this page may be taken beside those before it.
    pub(super) fn admit(&mut self, page: &v1::SnapshotPage, now: Instant) -> Result<(), Beyond> {
        if page.index == 0 {
            (self.objects, self.bytes) = (0, 0);
        }
        if !self.begun {
            self.begun = true;
            self.due = now.checked_add(self.bounds.within);
        }
        if self.due.is_some_and(|due| now >= due) {
            return Err(self.late());
        }
        let (objects, bytes) = cost(&page.body);
        if objects == 0 && !page.last {
            return Err(Beyond(format!("page {} brings nothing, and is not the last", page.index)));
        }
        self.objects = self.objects.saturating_add(objects);
        self.bytes = self.bytes.saturating_add(bytes);
        self.bounds.hold(self.objects.max(page.total_objects), self.bytes)
    }

    /// Whether one more page may be dropped before page 0: no snapshot that may be taken has more of them under way.
    pub(super) fn drop_page(&mut self, page: &v1::SnapshotPage) -> Result<(), Beyond> {
        let (objects, bytes) = cost(&page.body);
        // Also a page that brings nothing counts, so that this ends.
        self.objects = self.objects.saturating_add(objects.max(1));
        self.bytes = self.bytes.saturating_add(bytes);
        self.bounds.hold(self.objects, self.bytes)
    }
}

impl Bounds {
    /// Whether this delta may be taken at all.
    pub(super) fn admit(&self, delta: &v1::Delta) -> Result<(), Beyond> {
        let (objects, bytes) = cost(&delta.body);
        self.hold(objects, bytes)
    }

    /// Whether a configuration of these objects may be in force.
    pub(super) fn admit_all(&self, objects: &Objects) -> Result<(), Beyond> {
        self.hold(objects.len() as u64, objects.bytes())
    }

    fn hold(&self, objects: u64, bytes: u64) -> Result<(), Beyond> {
        if objects > self.objects {
            let most = self.objects;
            return Err(Beyond(format!(
                "the configuration has {objects} objects, this proxy takes {most}: --max-snapshot-objects"
            )));
        }
        if bytes > self.bytes {
            let most = self.bytes >> 10;
            return Err(Beyond(format!(
                "the configuration needs more memory than the {most} KiB that this proxy takes: --max-snapshot-bytes"
            )));
        }
        Ok(())
    }
}

/// The number of objects in an encoded body, and what they take when they are decoded.
fn cost(body: &[u8]) -> (u64, u64) {
    let mut rest = body;
    let mut objects = 0_u64;
    while let Some(after) = after_field(rest) {
        objects += 1;
        rest = after;
    }
    (objects, (body.len() as u64).saturating_add(objects.saturating_mul(OBJECT_BYTES)))
}

/// The rest of an encoded message after its first field. None at its end, and where it is malformed: whoever decodes it
/// says so.
fn after_field(mut bytes: &[u8]) -> Option<&[u8]> {
    const VARINT: usize = 0;
    const FIXED_64: usize = 1;
    const LENGTH_AND_BYTES: usize = 2;
    const GROUP: [usize; 2] = [3, 4];
    const FIXED_32: usize = 5;
    let number = |bytes: &mut &[u8]| prost::decode_length_delimiter(bytes).ok();
    if bytes.is_empty() {
        return None;
    }
    match number(&mut bytes)? & 7 {
        VARINT => number(&mut bytes).map(|_| bytes),
        FIXED_64 => bytes.get(8..),
        LENGTH_AND_BYTES => {
            let length = number(&mut bytes)?;
            bytes.get(length..)
        }
        kind if GROUP.contains(&kind) => Some(bytes),
        FIXED_32 => bytes.get(4..),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    const BOUNDS: Bounds = Bounds { objects: 1_000, bytes: 1 << 20, within: Duration::from_mins(5) };

    fn object(name: &str, bytes: usize) -> v1::Object {
        v1::Object { kind: 2, name: name.to_owned(), body: vec![b'x'; bytes].into(), level: 0 }
    }

    fn page(index: u32, objects: Vec<v1::Object>) -> v1::SnapshotPage {
        let body = v1::SnapshotBody { objects }.encode_to_vec().into();
        v1::SnapshotPage { index, body, total_objects: 10, ..Default::default() }
    }

    fn gathering() -> Gathering {
        let mut gathering = Gathering::new(BOUNDS);
        gathering.expect(Instant::now());
        gathering
    }

    fn said(outcome: Result<(), Beyond>) -> String {
        outcome.expect_err("beyond the bounds").to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn pages_that_never_end_end_at_the_bound_of_bytes() {
        let mut gathering = gathering();
        let taken = (0..1_000).take_while(|i| {
            gathering.admit(&page(*i, vec![object(&format!("s{i}"), 9_000)]), Instant::now()).is_ok()
        });
        assert_eq!(taken.count(), 113, "a mebibyte of them, with what an object takes by itself");
        assert!(said(gathering.admit(&page(113, vec![object("s", 1)]), Instant::now())).contains("1024 KiB"));
    }

    #[tokio::test(start_paused = true)]
    async fn objects_that_repeat_each_other_and_empty_ones_count_like_others() {
        let mut gathering = gathering();
        let same = |n| vec![object("s", 0); n];
        assert_eq!(gathering.admit(&page(0, same(600)), Instant::now()), Ok(()));
        assert!(said(gathering.admit(&page(1, same(600)), Instant::now())).contains("1200 objects"));
        // Two bytes each on their way.
        let nothing = vec![v1::Object::default(); 100_000];
        assert!(said(gathering.admit(&page(0, nothing), Instant::now())).contains("--max-snapshot-objects"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_brings_nothing_is_only_taken_as_the_last() {
        let empty = page(0, Vec::new());
        assert!(said(gathering().admit(&empty, Instant::now())).contains("page 0 brings nothing"));
        let last = v1::SnapshotPage { last: true, ..empty };
        assert_eq!(gathering().admit(&last, Instant::now()), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_announced_counts_before_it_is_here() {
        let huge = v1::SnapshotPage { total_objects: u64::MAX, ..page(0, vec![object("s", 1)]) };
        assert!(said(gathering().admit(&huge, Instant::now())).contains("--max-snapshot-objects"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_runs_from_the_first_page_and_page_0_again_does_not_begin_it_anew() {
        let mut gathering = gathering();
        let first = gathering.due();
        tokio::time::advance(Duration::from_secs(299)).await;
        let begun = Instant::now();
        for _ in 0..299 {
            assert_eq!(gathering.admit(&page(0, vec![object("s", 1)]), Instant::now()), Ok(()));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!((first.is_some(), gathering.due()), (true, Some(begun + BOUNDS.within)));
        tokio::time::advance(Duration::from_secs(1)).await;
        let late = said(gathering.admit(&page(0, vec![object("s", 1)]), Instant::now()));
        assert!(late.contains("is not complete after 300s"), "{late}");
        gathering.end();
        assert_eq!(gathering.due(), None);
    }

    #[test]
    fn pages_that_are_dropped_before_page_0_are_bounded_too_and_forgotten_with_it() {
        let mut gathering = Gathering::new(BOUNDS);
        let empty = v1::SnapshotPage { total_objects: u64::MAX, ..page(7, Vec::new()) };
        let dropped = (0..2_000).take_while(|_| gathering.drop_page(&empty).is_ok()).count();
        assert_eq!((dropped, gathering.has_begun(), gathering.due()), (1_000, false, None));
        assert!(said(gathering.drop_page(&page(8, vec![object("s", 2 << 20)]))).contains("1002 objects"));
        assert_eq!(gathering.admit(&page(0, vec![object("s", 1)]), Instant::now()), Ok(()));
    }

    #[test]
    fn a_delta_is_counted_before_it_is_decoded() {
        let delta = |upserted, removed| {
            let body = v1::DeltaBody { upserted, removed }.encode_to_vec().into();
            BOUNDS.admit(&v1::Delta { body, ..Default::default() })
        };
        assert_eq!(delta(vec![object("s", 9)], vec![v1::ObjectRef::default(); 900]), Ok(()));
        assert!(said(delta(Vec::new(), vec![v1::ObjectRef::default(); 1_001])).contains("1001 objects"));
        assert!(said(delta(vec![object("s", 2 << 20)], Vec::new())).contains("--max-snapshot-bytes"));
    }

    proptest! {
        #[test]
        fn as_many_are_counted_as_are_decoded(sizes in prop::collection::vec(0_usize..300, 0..40)) {
            let objects: Vec<_> = sizes.iter().map(|size| object(&"n".repeat(size % 7), *size)).collect();
            let body = v1::SnapshotBody { objects }.encode_to_vec();
            prop_assert_eq!(cost(&body).0, sizes.len() as u64);
        }

        #[test]
        fn no_body_is_decoded_to_more_objects_than_were_counted(body: Vec<u8>) {
            if let Ok(decoded) = v1::SnapshotBody::decode(&*body) {
                prop_assert!(decoded.objects.len() as u64 <= cost(&body).0);
            }
            if let Ok(decoded) = v1::DeltaBody::decode(&*body) {
                let objects = decoded.upserted.len() + decoded.removed.len();
                prop_assert!(objects as u64 <= cost(&body).0);
            }
        }
    }
}
