//! A client that takes nothing of what is to be sent to it: how long it may, and what ends that sooner.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::{Duration, Instant};

use crate::{
    admission::{Stalled, Stalls},
    alarm::Alarm,
    reason::Reason,
};

/// Bytes a second that a client must take so that its grace does not run out.
const LEAST_RATE: u64 = 4 * 1024;

/// Belongs to one answer while it is sent. Costs nothing while the client takes what it is sent.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    since: Option<Instant>,
    /// When the grace began: a client that takes a little begins it a little later.
    grace_began: Option<Instant>,
    /// What others may wait for, once they are heard.
    stalled: Option<Box<[Option<Stalled>; 3]>>,
}

/// What a request holds that others may wait for: places of several kinds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holds<'a> {
    /// How long its client may take nothing before they are heard.
    pub(crate) grace: Duration,
    pub(crate) stalls: [Option<&'a Arc<Stalls>>; 3],
}

impl Blocked {
    /// The client has taken `n` bytes.
    pub(crate) fn moved(&mut self, n: usize) {
        if self.grace_began.is_some() {
            self.take(n);
        }
    }

    #[cold]
    fn take(&mut self, n: usize) {
        let worth = Duration::from_millis((n as u64).saturating_mul(1_000) / LEAST_RATE);
        self.grace_began = self.grace_began.and_then(|began| began.checked_add(worth));
        self.since = None;
        if self.grace_began.is_none_or(|began| began >= Instant::now()) {
            *self = Self::default();
        }
    }

    /// The client takes nothing. Whether that has been so for as long as its `grace`.
    pub(crate) fn has_stalled(&mut self, cx: &mut Context<'_>, alarm: &mut Alarm, grace: Duration) -> bool {
        let began = *self.grace_began.get_or_insert_with(Instant::now);
        self.stalled.is_some() || alarm.poll(cx, began + grace).is_ready()
    }

    /// Ready when the client must go, because it has taken nothing for as long as `most`, or because others wait for what
    /// its request `holds`.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        alarm: &mut Alarm,
        most: Duration,
        holds: Holds<'_>,
    ) -> Poll<Reason> {
        if self.has_stalled(cx, alarm, holds.grace.min(most)) {
            let stalled = self.stalled.get_or_insert_with(Box::default);
            for (stalled, stalls) in stalled.iter_mut().zip(holds.stalls) {
                // What was given back meanwhile is nobody's concern.
                let Some(stalls) = stalls else {
                    *stalled = None;
                    continue;
                };
                if stalled.get_or_insert_with(|| Stalled::new(stalls)).poll(cx).is_ready() {
                    return Poll::Ready(Reason::ClientDisplaced);
                }
            }
        }
        alarm.poll(cx, self.since() + most).map(|()| Reason::ClientStalled)
    }

    fn since(&mut self) -> Instant {
        *self.since.get_or_insert_with(Instant::now)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    /// How and when a client goes that takes nothing.
    async fn end(stalls: &Arc<Stalls>, holds: bool) -> (Reason, Duration) {
        let (start, mut blocked, mut alarm) = (Instant::now(), Blocked::default(), Alarm::default());
        let reason = poll_fn(|cx| {
            let holds = Holds { grace: SECOND, stalls: [None, holds.then_some(stalls), None] };
            blocked.poll(cx, &mut alarm, MINUTE, holds)
        })
        .await;
        (reason, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_take_nothing_for_long_while_nobody_waits() {
        let stalls = Arc::default();
        assert_eq!(end(&stalls, true).await, (Reason::ClientStalled, MINUTE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_goes_for_one_that_waits_after_its_grace() {
        let stalls = Arc::new(Stalls::default());
        let waits = stalls.line_up();
        assert_eq!(end(&stalls, true).await, (Reason::ClientDisplaced, SECOND));
        drop(waits);
        let later = async {
            tokio::time::sleep(9 * SECOND).await;
            stalls.line_up()
        };
        let (end, _) = tokio::join!(end(&stalls, true), later);
        assert_eq!(end, (Reason::ClientDisplaced, 9 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_holds_nothing_is_left_alone() {
        let stalls = Arc::new(Stalls::default());
        let _waits = stalls.line_up();
        assert_eq!(end(&stalls, false).await, (Reason::ClientStalled, MINUTE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_byte_now_and_then_gains_little_by_it() {
        let stalls = Arc::new(Stalls::default());
        let _waits = stalls.line_up();
        let (start, mut blocked, mut alarm) = (Instant::now(), Blocked::default(), Alarm::default());
        loop {
            let end = poll_fn(|cx| {
                let holds = Holds { grace: SECOND, stalls: [None, None, Some(&stalls)] };
                blocked.poll(cx, &mut alarm, MINUTE, holds)
            });
            if let Ok(reason) = tokio::time::timeout(SECOND / 10, end).await {
                assert_eq!(reason, Reason::ClientDisplaced);
                break;
            }
            blocked.moved(41);
        }
        // A tenth of the least rate, so a tenth more.
        assert!((SECOND..SECOND * 5 / 4).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_something_begins_anew() {
        let stalls = Arc::new(Stalls::default());
        let _waits = stalls.line_up();
        let (start, mut blocked, mut alarm) = (Instant::now(), Blocked::default(), Alarm::default());
        let mut end = async |blocked: &mut Blocked| {
            poll_fn(|cx| {
                let holds = Holds { grace: SECOND, stalls: [None, None, Some(&stalls)] };
                blocked.poll(cx, &mut alarm, MINUTE, holds)
            })
            .await
        };
        assert!(tokio::time::timeout(SECOND * 9 / 10, end(&mut blocked)).await.is_err());
        blocked.moved(usize::MAX);
        assert_eq!(end(&mut blocked).await, Reason::ClientDisplaced);
        assert_eq!(start.elapsed(), SECOND * 19 / 10);
    }
}
