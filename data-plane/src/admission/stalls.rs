//! Requests that hold what others wait for, while their own clients take nothing of what they asked for.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use tokio::sync::{Notify, futures::OwnedNotified};

/// Places of one kind: those of a service, or the connections to a backend. While somebody waits for one, the request
/// whose client has taken nothing for longest is reset: exactly as many as there are requests that wait.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    /// Calls stalled requests in the order in which they came.
    calls: Arc<Notify>,
    listening: AtomicU32,
    /// Requests that wait for a place.
    line: AtomicU32,
    /// Places that resets have made free, and that nobody has taken.
    owed: AtomicU32,
}

/// A request that waits for a place, while it does.
#[derive(Debug)]
pub(crate) struct InLine<'a> {
    stalls: &'a Stalls,
}

/// A stalled request's ear for those that wait for its place. Dropped, it is no longer stalled, and a call that it has not
/// heard goes to the next one.
#[derive(Debug)]
pub(crate) struct Stalled {
    stalls: Arc<Stalls>,
    called: Pin<Box<OwnedNotified>>,
    /// Whether it has looked for itself: from then on it is called.
    looked: bool,
}

impl Stalls {
    /// Enters a request that waits.
    pub(crate) fn line_up(&self) -> InLine<'_> {
        self.line.fetch_add(1, SeqCst);
        // One that stalls from now on sees that somebody waits.
        if self.listening.load(SeqCst) > 0 {
            self.calls.notify_one();
        }
        InLine { stalls: self }
    }

    /// Whether any waits for a place.
    pub(crate) fn has_line(&self) -> bool {
        self.line.load(SeqCst) > 0
    }

    /// Whether anybody may make way.
    pub(crate) fn has_stalled(&self) -> bool {
        self.listening.load(SeqCst) > 0
    }

    /// Requests whose clients take nothing.
    #[cfg(test)]
    pub(crate) fn listening(&self) -> u32 {
        self.listening.load(SeqCst)
    }

    /// Whether one more is to be reset.
    fn claim(&self) -> bool {
        let line = self.line.load(SeqCst);
        self.owed.fetch_update(SeqCst, SeqCst, |owed| (owed < line).then_some(owed + 1)).is_ok()
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.stalls.line.fetch_sub(1, SeqCst);
        // Whether it has found a place or given up, one less is owed.
        let _ = self.stalls.owed.fetch_update(SeqCst, SeqCst, |owed| owed.checked_sub(1));
    }
}

impl Stalled {
    pub(crate) fn new(stalls: &Arc<Stalls>) -> Self {
        stalls.listening.fetch_add(1, SeqCst);
        Self {
            called: Box::pin(Arc::clone(&stalls.calls).notified_owned()),
            stalls: Arc::clone(stalls),
            looked: false,
        }
    }

    /// Ready when the request is to be reset.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // In the queue of those that are called before it looks, so that it misses nobody.
            let called = self.called.as_mut().poll(cx).is_ready();
            let looks = called || !std::mem::replace(&mut self.looked, true);
            if looks && self.stalls.claim() {
                return Poll::Ready(());
            }
            if !called {
                return Poll::Pending;
            }
            self.called.set(Arc::clone(&self.stalls.calls).notified_owned());
        }
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.stalls.listening.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;

    use super::*;

    fn is_reset(stalled: &mut Stalled) -> bool {
        poll_fn(|cx| stalled.poll(cx)).now_or_never().is_some()
    }

    #[test]
    fn nobody_is_reset_while_nobody_waits() {
        let stalls = Arc::new(Stalls::default());
        let mut stalled = Stalled::new(&stalls);
        assert!(!is_reset(&mut stalled));
        drop(stalls.line_up());
        assert!(!is_reset(&mut stalled), "the one that waited has gone");
    }

    #[test]
    fn as_many_are_reset_as_wait_and_the_longest_stalled_first() {
        let stalls = Arc::new(Stalls::default());
        let mut stalled: Vec<_> = (0..4).map(|_| Stalled::new(&stalls)).collect();
        assert!(stalled.iter_mut().all(|stalled| !is_reset(stalled)));
        let line = [stalls.line_up(), stalls.line_up()];
        let reset: Vec<_> = stalled.iter_mut().rev().map(is_reset).collect();
        assert_eq!(reset, [false, false, true, true], "the last one was asked first");
        drop(line);
        assert!(!is_reset(&mut stalled[2]));
    }

    #[test]
    fn one_that_stalls_while_somebody_waits_makes_way() {
        let stalls = Arc::new(Stalls::default());
        let waits = stalls.line_up();
        assert!(is_reset(&mut Stalled::new(&stalls)));
        assert!(!is_reset(&mut Stalled::new(&stalls)), "the place of the first one is enough");
        drop(waits);
        let _waits = stalls.line_up();
        assert!(is_reset(&mut Stalled::new(&stalls)));
    }

    #[test]
    fn a_call_that_is_not_heard_goes_to_the_next() {
        let stalls = Arc::new(Stalls::default());
        let mut stalled: Vec<_> = (0..2).map(|_| Stalled::new(&stalls)).collect();
        assert!(stalled.iter_mut().all(|stalled| !is_reset(stalled)));
        let _waits = stalls.line_up();
        // Its client takes something again.
        drop(stalled.remove(0));
        assert!(is_reset(&mut stalled[0]));
    }
}
