//! A timer for deadlines that mostly move away: it is set when it must be, and looked at again when it rings.
//!
//! Setting a timer costs more than most of what a request needs. So a deadline that moves into the future leaves the
//! timer as it is; when it rings too early, it is set again.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{self, Instant, Sleep};

#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `deadline` has passed. May be asked with another deadline each time.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                self.0 = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_may_move_both_ways() {
        let start = Instant::now();
        let mut alarm = Alarm::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        for first in [10, 1, 5] {
            assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, at(first)))).await.is_pending());
        }
        poll_fn(|cx| alarm.poll(cx, at(5))).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }
}
