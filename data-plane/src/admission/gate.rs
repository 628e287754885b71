//! How many requests a service has in flight at this proxy, and those that wait until there are fewer.

#[cfg(test)]
mod tests;

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
