//! A whole configuration in pages that are encoded once, whoever needs them and however many.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;
use weir_proto::{Revision, v1};

use crate::snapshot::{PAGE_BYTES, Snapshot};

/// For so long the pages of one revision are handed out, although there may be a newer one: the rest comes as a delta.
const FRESH: Duration = Duration::from_secs(1);
/// A state of fewer objects is so quickly encoded that everybody gets the newest one.
const LARGE: usize = 1_000;

/// The pages of one snapshot, each encoded when it is asked for first.
pub(crate) struct Everything {
    snapshot: Arc<Snapshot>,
    made_at: Instant,
    pages: Mutex<Encoded>,
}

struct Encoded {
    done: Vec<v1::SnapshotPage>,
    rest: Box<dyn Iterator<Item = v1::SnapshotPage> + Send>,
}

/// One reader's place in the pages.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    everything: Arc<Everything>,
    next: usize,
}

/// The pages that were needed last.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    last: Mutex<Option<Arc<Everything>>>,
}

impl Shelf {
    /// The pages of `newest`, or those of a slightly older state that others get too, if that has `least`. `encoded`
    /// counts the former.
    pub(crate) fn pages(&self, newest: &Arc<Snapshot>, least: Revision, encoded: &Counter) -> Pages {
        let now = Instant::now();
        let mut kept = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = kept.as_ref().filter(|kept| kept.does_for(newest, least, now)).cloned();
        let everything = shared.unwrap_or_else(|| {
            encoded.inc();
            let made = Arc::new(Everything::of(newest, now));
            *kept = Some(Arc::clone(&made));
            made
        });
        Pages { everything, next: 0 }
    }

    /// Lets go of pages that nobody begins to send any more.
    pub(crate) fn tidy(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.take_if(|last| !last.is_fresh(Instant::now()));
    }
}

impl Everything {
    fn of(snapshot: &Arc<Snapshot>, now: Instant) -> Self {
        let rest = Box::new(snapshot.pages(PAGE_BYTES));
        let pages = Mutex::new(Encoded { done: Vec::new(), rest });
        Self { snapshot: Arc::clone(snapshot), made_at: now, pages }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.made_at) < FRESH
    }

    /// Whether it can take the place of `newest`: a delta leads from here to there, and nothing here would be sent
    /// requests that must not be any more.
    fn does_for(&self, newest: &Snapshot, least: Revision, now: Instant) -> bool {
        let (here, there) = (self.snapshot.position(), newest.position());
        here == there
            || here.epoch == there.epoch
                && self.snapshot.len() >= LARGE
                && here.revision >= newest.floor().max(newest.withdrew()).max(least)
                && self.snapshot.accepted() == newest.accepted()
                && self.is_fresh(now)
    }

    /// The page of that number; they are asked for in turn.
    fn page(&self, index: usize) -> Option<v1::SnapshotPage> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if index == pages.done.len() {
            let next = pages.rest.next()?;
            pages.done.push(next);
        }
        pages.done.get(index).cloned()
    }
}

impl std::fmt::Debug for Everything {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Everything").field("position", &self.snapshot.position()).finish_non_exhaustive()
    }
}

impl Pages {
    /// The state that all of them make.
    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.everything.snapshot
    }
}

impl Iterator for Pages {
    type Item = v1::SnapshotPage;

    fn next(&mut self) -> Option<v1::SnapshotPage> {
        let page = self.everything.page(self.next)?;
        self.next += 1;
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use weir_proto::{Backend, Epoch, ObjectKey, ObjectKind};

    use super::*;
    use crate::snapshot::{Draft, Object};

    /// The snapshot with these backends, of 3 kB each.
    fn with(base: &Snapshot, numbers: std::ops::Range<usize>) -> Arc<Snapshot> {
        let mut draft = Draft::new(base, 10);
        for n in numbers {
            let metadata = (0..3).map(|i| (format!("k{i}"), "v".repeat(1_000))).collect();
            let (service, address) = ("web".to_owned(), format!("10.0.{}.{}:80", n / 250, n % 250));
            let wire = v1::Backend { service, address, metadata, ..Default::default() };
            let backend = Backend::try_from(wire).expect("valid");
            draft.put(Object::backend(backend), v1::ObjectMeta::default());
        }
        Arc::new(draft.finish().0)
    }

    fn large() -> Arc<Snapshot> {
        with(&Snapshot::empty(Epoch(7)), 0..LARGE)
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_who_need_everything_cost_one_encoding_whatever_changes_meanwhile() {
        let (shelf, encoded) = (Shelf::default(), Counter::default());
        let mut newest = large();
        let mut first: Option<Vec<v1::SnapshotPage>> = None;
        for n in 0..1_000 {
            if n % 50 == 0 {
                newest = with(&newest, LARGE + n / 50..LARGE + n / 50 + 1);
            }
            let pages = shelf.pages(&newest, Revision(0), &encoded);
            assert!(newest.delta_since(pages.snapshot().revision()).is_some(), "a delta leads on");
            let pages: Vec<_> = pages.collect();
            let first = first.get_or_insert_with(|| pages.clone());
            assert!(pages.len() > 2 && pages.last().is_some_and(|page| page.last));
            let shared = pages.iter().zip(&*first).all(|(a, b)| a.body.as_ptr() == b.body.as_ptr());
            assert!(shared, "the very same bytes");
            advance(FRESH / 1_001).await;
        }
        assert_eq!(encoded.get(), 1);
        advance(FRESH).await;
        shelf.pages(&newest, Revision(0), &encoded);
        assert_eq!(encoded.get(), 2, "the next ones get what is new");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gets_less_than_he_has_and_what_nobody_needs_is_let_go() {
        let (shelf, encoded) = (Shelf::default(), Counter::default());
        let old = large();
        let new = with(&old, LARGE..LARGE + 1);
        shelf.pages(&old, Revision(0), &encoded);
        let revision = |pages: Pages| pages.snapshot().revision();
        assert_eq!(revision(shelf.pages(&new, old.revision(), &encoded)), old.revision());
        assert_eq!(revision(shelf.pages(&new, new.revision(), &encoded)), new.revision());
        shelf.tidy();
        let pages = Arc::downgrade(&shelf.pages(&new, Revision(0), &encoded).everything);
        assert!(pages.upgrade().is_some());
        advance(FRESH).await;
        shelf.tidy();
        assert!(pages.upgrade().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gets_an_older_state_that_is_small_or_still_has_what_went_meanwhile() {
        let (shelf, encoded) = (Shelf::default(), Counter::default());
        let revision = |of: &Arc<Snapshot>| shelf.pages(of, Revision(0), &encoded).snapshot().revision();
        let small = with(&Snapshot::empty(Epoch(7)), 0..2);
        revision(&small);
        let more = with(&small, 2..3);
        assert_eq!(revision(&more), more.revision());

        let old = large();
        revision(&old);
        let mut draft = Draft::new(&old, 10);
        draft.remove(&ObjectKey::new(ObjectKind::Backend, "web/10.0.0.1:80")).expect("it was there");
        let less = with(&draft.finish().0, LARGE..LARGE + 1);
        assert_eq!(revision(&less), less.revision());
    }
}
