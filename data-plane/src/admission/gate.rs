//! How many requests a service has in flight at this proxy, and those that wait until there are fewer.

use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{padded::Padded, reason::Reason};

/// Exact over all workers. Nothing is locked while nobody waits.
///
/// The order of all accesses is total, because two must never miss each other: one who waits says so and then looks for
/// room; one who makes room does so and then looks for those who wait.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    count: Padded<Count>,
    /// First come, first served. One who was called and does not come passes the call on.
    calls: Notify,
}

#[derive(Debug, Default)]
struct Count {
    held: AtomicU32,
    waiting: AtomicU32,
    /// Those of them that wait for a place.
    in_line: AtomicU32,
}

/// There is no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Gate {
    /// Takes a place, if there are less than `limit` taken.
    pub(crate) fn enter(&self, limit: u32) -> bool {
        // Never one too many, not even for a moment: somebody might look in that moment, and then wait for nothing.
        let enter = |held| (held < limit).then_some(held + 1);
        self.count.held.fetch_update(SeqCst, SeqCst, enter).is_ok()
    }

    /// Gives a place back.
    pub(crate) fn leave(&self) {
        self.count.held.fetch_sub(1, SeqCst);
        self.call();
    }

    /// Gives a place back that was of no use, because there was no room further on. Calls nobody: they would find the
    /// same, and call the next.
    pub(crate) fn turn_back(&self) {
        self.count.held.fetch_sub(1, SeqCst);
    }

    /// There may be room that nobody gave back: at a backend, for example.
    pub(crate) fn call(&self) {
        if self.has_line() {
            self.calls.notify_one();
        }
    }

    /// Everything may be different: all who wait look again.
    pub(crate) fn look_again(&self) {
        if self.has_line() {
            self.calls.notify_waiters();
        }
    }

    /// Places taken.
    pub(crate) fn held(&self) -> u32 {
        self.count.held.load(SeqCst)
    }

    /// Requests that wait: for a place, or for a connection.
    pub(crate) fn waiting(&self) -> u32 {
        self.count.waiting.load(SeqCst)
    }

    /// Whether any waits for a place. Whoever comes then waits behind them.
    pub(crate) fn has_line(&self) -> bool {
        self.count.in_line.load(SeqCst) > 0
    }

    /// Waits until `enter` succeeds, which is tried whenever there may be room, and at first only if nobody waits already,
    /// or for one who `waited` before; at most `most` wait at one time, and none longer than until `deadline`.
    pub(crate) async fn wait<T>(
        &self,
        most: u32,
        deadline: Instant,
        waited: bool,
        enter: impl FnMut() -> Result<T, Full>,
    ) -> Result<T, Reason> {
        let _waiting = Waiting::begin(self, most)?;
        let line = InLine::begin(self);
        let entered = self.follow(&self.calls, deadline, waited || line.is_first, enter).await;
        if entered.is_err() {
            // There may be room that the next one was too polite to look for.
            self.call();
        }
        entered
    }

    /// The same for those who want something else than a place, and are called otherwise: a call must not be lost on
    /// somebody who has no use for it.
    pub(crate) async fn wait_at<T>(
        &self,
        calls: &Notify,
        most: u32,
        deadline: Instant,
        enter: impl FnMut() -> Result<T, Full>,
    ) -> Result<T, Reason> {
        let _waiting = Waiting::begin(self, most)?;
        self.follow(calls, deadline, true, enter).await
    }

    async fn follow<T>(
        &self,
        calls: &Notify,
        deadline: Instant,
        mut looks: bool,
        mut enter: impl FnMut() -> Result<T, Full>,
    ) -> Result<T, Reason> {
        loop {
            let mut called = pin!(calls.notified());
            // From here on a call is not missed.
            called.as_mut().enable();
            if std::mem::replace(&mut looks, true)
                && let Ok(entered) = enter()
            {
                return Ok(entered);
            }
            wait_for(called, deadline).await?;
        }
    }
}

async fn wait_for(called: impl Future<Output = ()>, deadline: Instant) -> Result<(), Reason> {
    timeout_at(deadline, called).await.map_err(|_| Reason::QueueTimeout)
}

/// One who waits for a place, while it does.
struct InLine<'a> {
    gate: &'a Gate,
    /// Nobody was there before.
    is_first: bool,
}

impl<'a> InLine<'a> {
    fn begin(gate: &'a Gate) -> Self {
        Self { gate, is_first: gate.count.in_line.fetch_add(1, SeqCst) == 0 }
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.gate.count.in_line.fetch_sub(1, SeqCst);
    }
}

/// One who waits, while it does.
struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn begin(gate: &'a Gate, most: u32) -> Result<Self, Reason> {
        let room = gate.count.waiting.fetch_add(1, SeqCst) < most;
        let waiting = Self(gate);
        if room { Ok(waiting) } else { Err(Reason::Overflow) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.count.waiting.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::{task::JoinSet, time::Duration};

    use super::*;

    fn enter(gate: &Gate, limit: u32) -> Result<(), Full> {
        if gate.enter(limit) { Ok(()) } else { Err(Full) }
    }

    fn in_a_second() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[test]
    fn never_more_than_the_limit_are_in_whoever_counts() {
        let gate = Gate::default();
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if gate.enter(3) {
                            most.fetch_max(gate.held(), SeqCst);
                            gate.leave();
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
        assert_eq!(gate.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_longest_is_first() {
        let gate = Arc::new(Gate::default());
        assert!(gate.enter(1));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for i in 0..5 {
            let (at_gate, order) = (Arc::clone(&gate), Arc::clone(&order));
            tasks.spawn(async move {
                at_gate.wait(5, in_a_second(), false, || enter(&at_gate, 1)).await.unwrap();
                order.lock().unwrap().push(i);
                at_gate.leave();
            });
            while gate.waiting() <= i {
                tokio::task::yield_now().await;
            }
        }
        gate.leave();
        tasks.join_all().await;
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!((gate.held(), gate.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_later_does_not_pass_those_who_wait() {
        let gate = Gate::default();
        assert!(gate.enter(1));
        let first = gate.wait(2, in_a_second(), false, || enter(&gate, 1));
        let late = async {
            tokio::task::yield_now().await;
            // The first one is called, and has not come yet.
            gate.leave();
            gate.wait(2, in_a_second(), false, || enter(&gate, 1)).await
        };
        let (first, late) = tokio::join!(biased; first, late);
        assert_eq!((first, late), (Ok(()), Err(Reason::QueueTimeout)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_at_once_and_a_deadline_ends_the_wait() {
        let gate = Gate::default();
        assert!(gate.enter(1));
        let start = Instant::now();
        let (first, second) = tokio::join!(
            gate.wait(1, in_a_second(), false, || enter(&gate, 1)),
            gate.wait(1, in_a_second(), false, || enter(&gate, 1)),
        );
        assert_eq!((first, second), (Err(Reason::QueueTimeout), Err(Reason::Overflow)));
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test]
    async fn nobody_is_forgotten_on_many_threads() {
        const EACH: usize = 2_000;
        let gate = Arc::new(Gate::default());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let gate = Arc::clone(&gate);
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let mut tasks = JoinSet::new();
                        for _ in 0..EACH {
                            let gate = Arc::clone(&gate);
                            tasks.spawn(async move {
                                let far = Instant::now() + Duration::from_mins(1);
                                gate.wait(u32::MAX, far, false, || enter(&gate, 2)).await.unwrap();
                                tokio::task::yield_now().await;
                                gate.leave();
                            });
                        }
                        tasks.join_all().await;
                    });
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!((gate.held(), gate.waiting()), (0, 0));
    }
}
