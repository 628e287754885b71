//! A timer for deadlines that mostly move away: it is set when it must be, and looked at again when it rings.
//!
//! Setting a timer costs more than most of what a request needs. So a deadline that moves leaves the timer as it is, if
//! it rings early enough; when it rings too early, it is set again. It never rings later than after a `TICK`, so that
//! of the deadlines that follow each other on a connection (an hour between two requests, seconds for an answer) few
//! ever have to set it.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
};

use tokio::{
    task::unconstrained,
    time::{self, Duration, Instant, Sleep},
};

use crate::worker::Spare;

/// At least this often an alarm that is waited for looks at its deadline.
const TICK: Duration = Duration::from_secs(8);

/// Belongs to one task until it is given to the next: it wakes the task that asked it first.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether the timer knows whom to wake.
    waits: bool,
}

impl Spare for Alarm {
    /// The timer stays set: if it rings for nobody, that costs less than to set it for everybody.
    fn clear(&mut self) -> bool {
        self.waits = false;
        true
    }
}

impl Alarm {
    /// Ready once `deadline` has passed. May be asked with another deadline each time.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(time::sleep_until(ring(deadline))));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
            self.waits = false;
        }
        loop {
            if self.waits && !sleep.is_elapsed() {
                return Poll::Pending;
            }
            // At the end of its task's turn, too: a timer that then pretends to wait would never be set.
            self.waits = pin!(unconstrained(sleep.as_mut())).poll(cx).is_pending();
            if self.waits {
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(ring(deadline));
        }
    }
}

fn ring(deadline: Instant) -> Instant {
    deadline.min(Instant::now() + TICK)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::task::coop;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_is_set_at_the_end_of_a_turn_rings_too() {
        let deadline = Instant::now() + Duration::from_secs(1);
        let (mut alarm, mut polls) = (Alarm::default(), 0);
        poll_fn(|cx| {
            polls += 1;
            if polls == 1 {
                while pin!(coop::consume_budget()).poll(cx).is_ready() {}
            }
            alarm.poll(cx, deadline)
        })
        .await;
        assert_eq!(Instant::now(), deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_may_move_both_ways() {
        let start = Instant::now();
        let mut alarm = Alarm::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        for first in [100, 10, 1, 5] {
            assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, at(first)))).await.is_pending());
        }
        poll_fn(|cx| alarm.poll(cx, at(5))).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        poll_fn(|cx| alarm.poll(cx, at(100))).await;
        assert_eq!(start.elapsed(), Duration::from_secs(100));
        poll_fn(|cx| alarm.poll(cx, at(101))).await;
        assert_eq!(start.elapsed(), Duration::from_secs(101));
    }
}
