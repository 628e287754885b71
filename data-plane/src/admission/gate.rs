//! How many requests a service has in flight at this proxy, and those that wait until there are fewer.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::Stalls;
use crate::{padded::Padded, reason::Reason};

/// Exact over all workers. Nothing is locked while nobody waits.
///
/// The order of all accesses is total, because two must never miss each other: one who waits says so and then looks for
/// room; one who makes room does so and then looks for those who wait.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    count: Padded<Count>,
    /// First come, first served, in each line. One who was called and does not come passes the call on.
    calls: [Notify; 2],
    stalls: Arc<Stalls>,
}

#[derive(Debug, Default)]
struct Count {
    held: AtomicU32,
    lines: [Line; 2],
}

/// Requests that wait.
#[derive(Debug, Default)]
struct Line {
    waiting: AtomicU32,
    /// Those of them that wait for a place.
    in_line: AtomicU32,
}

/// The line that a request waits in. Those in the second one are called when nobody waits in the first, so that one client
/// that asks for much at once does not stand before all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Turn {
    #[default]
    First,
    /// Its connection has asked for more than it has taken.
    Second,
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
        if self.has_line(Turn::First) {
            self.calls(Turn::First).notify_one();
        } else if self.has_line(Turn::Second) {
            self.calls(Turn::Second).notify_one();
        }
    }

    /// Everything may be different: all who wait look again.
    pub(crate) fn look_again(&self) {
        if self.has_line(Turn::Second) {
            self.calls.iter().for_each(Notify::notify_waiters);
        }
    }

    /// Places taken.
    pub(crate) fn held(&self) -> u32 {
        self.count.held.load(SeqCst)
    }

    /// Requests that wait: for a place, or for a connection.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting_in(Turn::First) + self.waiting_in(Turn::Second)
    }

    /// The same of one line.
    pub(crate) fn waiting_in(&self, turn: Turn) -> u32 {
        self.line(turn).waiting.load(SeqCst)
    }

    /// Whether any waits for a place before whose turn is this. Whoever comes then waits behind them.
    pub(crate) fn has_line(&self, turn: Turn) -> bool {
        let waits = |turn| self.line(turn).in_line.load(SeqCst) > 0;
        waits(Turn::First) || turn == Turn::Second && waits(Turn::Second)
    }

    /// Requests that hold places while their clients take nothing.
    pub(crate) fn stalls(&self) -> &Arc<Stalls> {
        &self.stalls
    }

    /// Waits until `enter` succeeds, which is tried whenever there may be room, and at first only if nobody waits already,
    /// or for one who `waited` before; at most `most` wait in one line, and none longer than until `deadline`.
    pub(crate) async fn wait<T>(
        &self,
        turn: Turn,
        most: u32,
        deadline: Instant,
        waited: bool,
        enter: impl FnMut() -> Result<T, Full>,
    ) -> Result<T, Reason> {
        let _waiting = Waiting::begin(self.line(turn), most)?;
        let line = InLine::begin(self, turn);
        let is_next = waited || line.is_first && (turn == Turn::First || !self.has_line(Turn::First));
        self.follow(self.calls(turn), deadline, is_next, enter).await
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
        let _waiting = Waiting::begin(self.line(Turn::First), most)?;
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

    fn line(&self, turn: Turn) -> &Line {
        &self.count.lines[turn as usize]
    }

    fn calls(&self, turn: Turn) -> &Notify {
        &self.calls[turn as usize]
    }
}

async fn wait_for(called: impl Future<Output = ()>, deadline: Instant) -> Result<(), Reason> {
    timeout_at(deadline, called).await.map_err(|_| Reason::QueueTimeout)
}

/// One who waits for a place, while it does.
struct InLine<'a> {
    gate: &'a Gate,
    turn: Turn,
    /// Nobody was there before.
    is_first: bool,
    /// Those that hold places for nothing are told.
    _told: super::InLine<'a>,
}

impl<'a> InLine<'a> {
    fn begin(gate: &'a Gate, turn: Turn) -> Self {
        let is_first = gate.line(turn).in_line.fetch_add(1, SeqCst) == 0;
        Self { gate, turn, is_first, _told: gate.stalls.line_up() }
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.gate.line(self.turn).in_line.fetch_sub(1, SeqCst);
        // Whether it has found a place or not: there may be room that the next one was too polite to look for, and a call
        // that came while this one had been called already and not yet gone.
        self.gate.call();
    }
}

/// One who waits, while it does.
struct Waiting<'a>(&'a Line);

impl<'a> Waiting<'a> {
    fn begin(line: &'a Line, most: u32) -> Result<Self, Reason> {
        let room = line.waiting.fetch_add(1, SeqCst) < most;
        let waiting = Self(line);
        if room { Ok(waiting) } else { Err(Reason::Overflow) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
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
                at_gate.wait(Turn::First, 5, in_a_second(), false, || enter(&at_gate, 1)).await.unwrap();
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
        let first = gate.wait(Turn::First, 2, in_a_second(), false, || enter(&gate, 1));
        let late = async {
            tokio::task::yield_now().await;
            // The first one is called, and has not come yet.
            gate.leave();
            gate.wait(Turn::First, 2, in_a_second(), false, || enter(&gate, 1)).await
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
            gate.wait(Turn::First, 1, in_a_second(), false, || enter(&gate, 1)),
            gate.wait(Turn::First, 1, in_a_second(), false, || enter(&gate, 1)),
        );
        assert_eq!((first, second), (Err(Reason::QueueTimeout), Err(Reason::Overflow)));
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_the_first_line_goes_before_those_in_the_second() {
        let gate = Arc::new(Gate::default());
        assert!(gate.enter(1));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for (i, turn) in [Turn::Second, Turn::Second, Turn::First, Turn::First].into_iter().enumerate() {
            let (at_gate, order) = (Arc::clone(&gate), Arc::clone(&order));
            tasks.spawn(async move {
                at_gate.wait(turn, 2, in_a_second(), false, || enter(&at_gate, 1)).await.unwrap();
                order.lock().unwrap().push(i);
                at_gate.leave();
            });
            while usize::try_from(gate.waiting()).unwrap() <= i {
                tokio::task::yield_now().await;
            }
        }
        assert!(gate.has_line(Turn::First));
        gate.leave();
        tasks.join_all().await;
        assert_eq!(*order.lock().unwrap(), [2, 3, 0, 1]);
        assert!(!gate.has_line(Turn::Second));
    }

    /// Two places become free while the only one of the first line has been called and has not come.
    #[tokio::test(start_paused = true)]
    async fn no_call_is_lost_on_a_line_that_is_empty_by_then() {
        let gate = Gate::default();
        assert!(gate.enter(2) && gate.enter(2));
        let wait = |turn| gate.wait(turn, 2, in_a_second(), false, || enter(&gate, 2));
        let leave = async {
            tokio::task::yield_now().await;
            gate.leave();
            gate.leave();
        };
        let waits =
            async { tokio::join!(biased; wait(Turn::First), wait(Turn::Second), wait(Turn::Second), leave) };
        assert_eq!(waits.await, (Ok(()), Ok(()), Err(Reason::QueueTimeout), ()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_called_and_gives_up_passes_the_call_to_the_other_line() {
        let gate = Gate::default();
        assert!(gate.enter(1));
        let mut first = Box::pin(gate.wait(Turn::First, 2, in_a_second(), false, || enter(&gate, 1)));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let second = gate.wait(Turn::Second, 2, in_a_second(), false, || enter(&gate, 1));
        let leave = async {
            tokio::task::yield_now().await;
            gate.leave();
            drop(first);
        };
        assert_eq!(tokio::join!(biased; second, leave), (Ok(()), ()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_second_line_keeps_nobody_out_of_the_first() {
        let gate = Gate::default();
        assert!(gate.enter(1));
        let wait = |turn| gate.wait(turn, 1, in_a_second(), false, || enter(&gate, 1));
        let leave = async {
            tokio::task::yield_now().await;
            gate.leave();
        };
        let (late, latest, first, ()) =
            tokio::join!(biased; wait(Turn::Second), wait(Turn::Second), wait(Turn::First), leave);
        assert_eq!((late, latest, first), (Err(Reason::QueueTimeout), Err(Reason::Overflow), Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_line_is_called_when_the_last_of_the_first_gives_up() {
        let gate = Gate::default();
        assert!(gate.enter(1));
        let soon = Instant::now() + Duration::from_millis(10);
        let first = gate.wait(Turn::First, 1, soon, false, || enter(&gate, 0));
        let second = gate.wait(Turn::Second, 1, in_a_second(), false, || enter(&gate, 2));
        let (first, second) = tokio::join!(biased; first, second);
        assert_eq!((first, second), (Err(Reason::QueueTimeout), Ok(())));
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
                                gate.wait(Turn::First, u32::MAX, far, false, || enter(&gate, 2))
                                    .await
                                    .unwrap();
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
