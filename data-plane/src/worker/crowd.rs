//! The connections of one listener at all workers: how many there are, and who makes way when there are too many.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use tokio::{
    sync::Notify,
    time::{Duration, Instant, timeout_at},
};

use crate::admission::Stalls;

/// How long a new connection waits for another one to make way. Accepting waits as long.
const PATIENCE: Duration = Duration::from_millis(100);

/// Of the connections that there may be, the part that is left free, and so many at least, while connections that wait for
/// a request need not listen whether somebody wants their place.
const FREE: u32 = 8;
const LEAST_FREE: u32 = 64;

#[derive(Debug, Default)]
pub(crate) struct Crowd {
    open: AtomicU32,
    /// Connections that want a place, and those that have one for a client that does nothing.
    stalls: Arc<Stalls>,
    freed: Notify,
}

/// A place among the listener's connections.
#[derive(Debug)]
pub(super) struct Place(Arc<Crowd>);

impl Crowd {
    /// One of `most`.
    pub(super) fn place(self: &Arc<Self>, most: u32) -> Option<Place> {
        let open = |open| (open < most).then_some(open + 1);
        self.open.fetch_update(SeqCst, SeqCst, open).is_ok().then(|| Place(Arc::clone(self)))
    }

    /// The place of a connection whose client has done nothing for longest, if there is one.
    pub(super) async fn make_room(self: &Arc<Self>, most: u32) -> Option<Place> {
        if !self.stalls.has_stalled() {
            return None;
        }
        let _told = self.stalls.line_up();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // From here on nobody who leaves is missed.
            freed.as_mut().enable();
            if let Some(place) = self.place(most) {
                return Some(place);
            }
            timeout_at(deadline, freed).await.ok()?;
        }
    }

    /// Whether of `most` connections nearly all are open.
    pub(crate) fn is_dense(&self, most: u32) -> bool {
        self.open.load(SeqCst) >= most.saturating_sub((most / FREE).max(LEAST_FREE))
    }

    pub(crate) fn stalls(&self) -> &Arc<Stalls> {
        &self.stalls
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
        if self.0.stalls.has_line() {
            self.0.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::admission::Stalled;

    #[tokio::test(start_paused = true)]
    async fn one_that_does_nothing_makes_way_and_nobody_else_is_waited_for() {
        let crowd = Arc::<Crowd>::default();
        let place = crowd.place(1).unwrap();
        let begin = Instant::now();
        assert!(crowd.place(1).is_none() && crowd.make_room(1).await.is_none());
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let idles = async {
            let mut stalled = Stalled::new(crowd.stalls());
            poll_fn(|cx| stalled.poll(cx)).await;
            drop(place);
        };
        let ((), room) = tokio::join!(biased; idles, async {
            tokio::task::yield_now().await;
            crowd.make_room(1).await
        });
        assert!(room.is_some());
        let _busy = Stalled::new(crowd.stalls());
        assert!(crowd.make_room(1).await.is_none(), "it does not go");
        assert_eq!(begin.elapsed(), PATIENCE);
    }

    #[test]
    fn connections_listen_before_there_are_too_many() {
        let crowd = Arc::<Crowd>::default();
        let _places: Vec<_> = (0..700).map(|_| crowd.place(800).unwrap()).collect();
        assert!(crowd.is_dense(800) && !crowd.is_dense(801));
        assert!(Arc::<Crowd>::default().is_dense(64));
    }
}
