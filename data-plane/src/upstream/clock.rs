//! How long a backend may take for the head of its response, over all attempts.

use std::task::{Context, Poll, ready};

use tokio::time::{Duration, Instant};

use crate::{alarm::Alarm, reason::Reason, retry::Progress};

/// Runs from the moment the request is fully sent. While its body is on the way, a backend that takes nothing of it may
/// do so for as long; a client that sends nothing has a limit of its own.
#[derive(Debug)]
pub(crate) struct Clock<'a> {
    timeout: Duration,
    /// For one attempt.
    per_try: Option<Duration>,
    /// When the request was fully sent for the first time.
    started: Option<Instant>,
    /// The same of the present attempt.
    try_started: Option<Instant>,
    alarm: &'a mut Alarm,
}

/// Who is to move next while a request is sent, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The client is to send.
    Client,
    /// The backend is to take what the client sent.
    Backend(Instant),
    /// All of it is on its way.
    Done(Instant),
}

impl<'a> Clock<'a> {
    pub(crate) fn new(timeout: Duration, per_try: Option<Duration>, alarm: &'a mut Alarm) -> Self {
        Self { timeout, per_try, started: None, try_started: None, alarm }
    }

    /// Of what is waited for beside it.
    pub(super) fn alarm(&mut self) -> &mut Alarm {
        self.alarm
    }

    /// Another attempt begins.
    pub(crate) fn try_again(&mut self) {
        self.try_started = None;
    }

    /// What is left for all that is to come.
    pub(crate) fn left(&self) -> Duration {
        self.cap(self.timeout)
    }

    /// What is left for an attempt that begins now.
    pub(crate) fn left_for_try(&self) -> Duration {
        self.cap(self.per_try.unwrap_or(self.timeout))
    }

    /// The time that a part of an attempt may take: `most`, but no more than is left.
    pub(super) fn cap(&self, most: Duration) -> Duration {
        self.started.map_or(most, |started| most.min(self.timeout.saturating_sub(started.elapsed())))
    }

    /// Ready when time has run out: for the attempt, or for all of them.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, flow: Flow) -> Poll<(Reason, Progress)> {
        if let Flow::Done(at) = flow {
            self.started.get_or_insert(at);
            self.try_started.get_or_insert(at);
        }
        let since = match (self.started, flow) {
            (Some(started), _) => started,
            (None, Flow::Backend(since)) => since,
            // It is polled again when the client has sent something.
            (None, _) => return Poll::Pending,
        };
        let mut end = (since + self.timeout, Reason::ResponseTimeout, Progress::Over);
        if let (Some(per_try), Some(began)) = (self.per_try, self.try_started)
            && began + per_try < end.0
        {
            end = (began + per_try, Reason::TryTimeout, Progress::TimedOut);
        }
        ready!(self.alarm.poll(cx, end.0));
        Poll::Ready((end.1, end.2))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn one_timeout_covers_all_attempts() {
        let start = Instant::now();
        let mut alarm = Alarm::default();
        let mut clock = Clock::new(3 * SECOND, None, &mut alarm);
        assert_eq!(clock.cap(5 * SECOND), 5 * SECOND);
        let sent = Flow::Done(start);
        assert!(tokio::time::timeout(SECOND, poll_fn(|cx| clock.poll(cx, sent))).await.is_err());
        assert_eq!(clock.cap(5 * SECOND), 2 * SECOND);
        let end = poll_fn(|cx| clock.poll(cx, Flow::Done(Instant::now()))).await;
        assert_eq!((end, start.elapsed()), ((Reason::ResponseTimeout, Progress::Over), 3 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn each_attempt_has_a_time_of_its_own_within_that_of_all() {
        let start = Instant::now();
        let mut alarm = Alarm::default();
        let mut clock = Clock::new(5 * SECOND, Some(2 * SECOND), &mut alarm);
        for (elapsed, expected) in [
            (2, (Reason::TryTimeout, Progress::TimedOut)),
            (4, (Reason::TryTimeout, Progress::TimedOut)),
            (5, (Reason::ResponseTimeout, Progress::Over)),
        ] {
            assert_eq!(clock.left_for_try(), (6 - u32::try_from(elapsed).unwrap()).min(2) * SECOND);
            let sent = Flow::Done(Instant::now());
            assert_eq!(poll_fn(|cx| clock.poll(cx, sent)).await, expected);
            assert_eq!(start.elapsed().as_secs(), elapsed);
            clock.try_again();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_slowly_takes_nothing_of_the_backends_time() {
        let mut alarm = Alarm::default();
        let mut clock = Clock::new(SECOND, None, &mut alarm);
        let waited = tokio::time::timeout(9 * SECOND, poll_fn(|cx| clock.poll(cx, Flow::Client))).await;
        assert!(waited.is_err());
        assert_eq!(clock.cap(5 * SECOND), 5 * SECOND);
    }
}
