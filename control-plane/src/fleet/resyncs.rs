//! How many proxies get everything anew at one time. One snapshot of a large configuration is as much work as thousands
//! of changes: when all proxies need one, they must not keep the control plane from everything else.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};
use weir_proto::Revision;

use crate::{
    config::RESYNCS_AT_ONCE,
    metrics::Metrics,
    publish::{Pages, Shelf},
    snapshot::Snapshot,
};

/// Between two that begin, on average,
const EVERY: Duration = Duration::from_millis(10);
/// if there were more than this within the last second.
const BURST: u32 = 100;
/// Proxies that wait in line: those that have nothing and cannot serve.
const MOST_WAITING: usize = 1_000;
/// How much later the next one comes back that is sent away: half as many a second as may begin.
const APART: Duration = Duration::from_millis(20);
/// Within what time the first comes back that is sent away, and the last.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// At most so often it is told how many were sent away.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Who may be sent everything now, who waits, and who comes back later.
#[derive(Debug)]
pub(crate) struct Resyncs {
    places: Arc<Semaphore>,
    pace: Mutex<Pace>,
    waiting: AtomicUsize,
    shelf: Shelf,
    metrics: Metrics,
}

#[derive(Debug)]
struct Pace {
    /// When the next one would begin if they came evenly.
    next: Instant,
    /// When the last one comes back that was sent away.
    back: Instant,
    /// How many were sent away since that was told last.
    untold: u64,
    told_at: Option<Instant>,
}

/// A place among those that are sent everything. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// Is counted for as long as it lives.
#[derive(Debug)]
struct Counted(Gauge);

impl Resyncs {
    pub(super) fn new(metrics: Metrics) -> Self {
        let now = Instant::now();
        // None has begun lately.
        let next = now.checked_sub(EVERY * BURST).unwrap_or(now);
        Self {
            places: Arc::new(Semaphore::new(usize::from(RESYNCS_AT_ONCE))),
            pace: Mutex::new(Pace { next, back: now, untold: 0, told_at: None }),
            waiting: AtomicUsize::new(0),
            shelf: Shelf::default(),
            metrics,
        }
    }

    /// Sets how many snapshots are sent at one time; before any is.
    pub(crate) fn set_at_once(&self, most: usize) {
        self.places.add_permits(most.saturating_sub(usize::from(RESYNCS_AT_ONCE)));
        self.places.forget_permits(usize::from(RESYNCS_AT_ONCE).saturating_sub(most));
    }

    /// A place, if there is one now that nobody waits for.
    pub(crate) fn begin(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut pace = self.lock();
        let now = Instant::now();
        if pace.next > now {
            return None;
        }
        pace.begin(now);
        Some(self.place(permit))
    }

    /// A place as soon as it is this one's turn. None if too many wait already.
    pub(crate) fn wait(self: &Arc<Self>) -> Option<impl Future<Output = Place> + Send + use<>> {
        let waiting = Waiting::new(self)?;
        Some(async move {
            let resyncs = Arc::clone(&waiting.resyncs);
            let Ok(permit) = Arc::clone(&resyncs.places).acquire_owned().await else {
                // Nobody closes the semaphore.
                return std::future::pending().await;
            };
            let begin = resyncs.lock().begin(Instant::now());
            sleep_until(begin).await;
            resyncs.place(permit)
        })
    }

    /// When to come back, for one that is sent away: each at another time, the later the more of them there are.
    pub(crate) fn put_off(&self) -> Duration {
        self.metrics.put_off.inc();
        let mut pace = self.lock();
        let now = Instant::now();
        pace.untold += 1;
        pace.back = pace.back.max(now) + APART;
        let within = (pace.back - now).clamp(RETRY_AFTER.0, RETRY_AFTER.1);
        within.mul_f64(fastrand::f64())
    }

    /// How many were sent away since that was told last, if it is time to tell.
    pub(super) fn untold(&self) -> Option<u64> {
        let (mut pace, now) = (self.lock(), Instant::now());
        let due = pace.told_at.is_none_or(|at| now.saturating_duration_since(at) >= TOLD_EVERY);
        if !due || pace.untold == 0 {
            return None;
        }
        pace.told_at = Some(now);
        Some(std::mem::take(&mut pace.untold))
    }

    /// Everything, in pages that all share who get it at about the same time. The state has `least`, if there is such a
    /// revision.
    pub(crate) fn pages(&self, newest: &Arc<Snapshot>, least: Revision) -> Pages {
        self.shelf.pages(newest, least.min(newest.revision()), &self.metrics.encoded_snapshots)
    }

    /// Does what time brings about.
    pub(super) fn tidy(&self) {
        self.shelf.tidy();
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        Place { _permit: permit, _counted: Counted::new(&self.metrics, "sending") }
    }

    fn lock(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    /// When one may begin that comes now. It counts as begun.
    fn begin(&mut self, now: Instant) -> Instant {
        let saved = now.checked_sub(EVERY * (BURST - 1)).unwrap_or(now);
        let begin = self.next.max(saved);
        self.next = begin + EVERY;
        begin
    }
}

impl Counted {
    fn new(metrics: &Metrics, state: &'static str) -> Self {
        let gauge = metrics.resync_places.get_or_create_owned(&[("state", state)]);
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// One that waits in line.
struct Waiting {
    resyncs: Arc<Resyncs>,
    _counted: Counted,
}

impl Waiting {
    fn new(resyncs: &Arc<Resyncs>) -> Option<Self> {
        if resyncs.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            resyncs.waiting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let counted = Counted::new(&resyncs.metrics, "waiting");
        Some(Self { resyncs: Arc::clone(resyncs), _counted: counted })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.resyncs.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{future::join_all, poll};

    use super::*;

    fn resyncs() -> Arc<Resyncs> {
        Arc::new(Resyncs::new(Metrics::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_sent_everything_at_one_time_and_those_who_wait_come_first() {
        let resyncs = resyncs();
        resyncs.set_at_once(2);
        let places = [resyncs.begin().expect("a place"), resyncs.begin().expect("a place")];
        assert!(resyncs.begin().is_none());
        let mut waiting = Box::pin(resyncs.wait().expect("room"));
        assert!(poll!(&mut waiting).is_pending());
        drop(places);
        // One place is kept for the one that waits, though it has not looked yet.
        let other = resyncs.begin().expect("the other place");
        assert!(resyncs.begin().is_none());
        drop((waiting.await, other));
        assert!(resyncs.begin().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_begin_at_once_and_then_a_hundred_a_second() {
        let resyncs = resyncs();
        let begun = |resyncs: &Resyncs| std::iter::from_fn(|| resyncs.begin()).take(1_000).map(drop).count();
        assert_eq!(begun(&resyncs), BURST as usize);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(begun(&resyncs), 50);
        let start = Instant::now();
        let line = (0..200).map(|_| resyncs.wait().expect("room"));
        join_all(line.map(|turn| async { drop(turn.await) })).await;
        assert_eq!(start.elapsed(), EVERY * 200);
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_is_bounded_and_who_gives_up_leaves_it() {
        let resyncs = resyncs();
        resyncs.set_at_once(0);
        let mut line: Vec<_> = (0..MOST_WAITING).map(|_| resyncs.wait().expect("room")).collect();
        assert!(resyncs.wait().is_none());
        line.pop();
        assert!(resyncs.wait().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_are_sent_away_spread_out_and_nobody_for_more_than_a_minute() {
        let resyncs = resyncs();
        let within = |n: usize| (0..n).map(|_| resyncs.put_off()).max().expect("some");
        assert!(within(50) <= Duration::from_secs(1));
        let many = within(1_000);
        assert!(many > Duration::from_secs(10) && many <= Duration::from_secs(21), "{many:?}");
        assert!(within(10_000) <= Duration::from_mins(1));
        assert_eq!((resyncs.untold(), resyncs.untold()), (Some(11_050), None));
        assert!(resyncs.put_off() <= Duration::from_mins(1));
        assert_eq!(resyncs.untold(), None, "not so soon");
        tokio::time::advance(TOLD_EVERY).await;
        assert_eq!(resyncs.untold(), Some(1));
    }
}
