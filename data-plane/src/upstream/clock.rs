//! How long a backend may take for the head of its response, over all attempts.

use std::task::{Context, Poll, ready};

use tokio::time::{Duration, Instant};

use crate::alarm::Alarm;

/// Runs from the moment the request is fully sent. While its body is on the way, a backend that takes nothing of it may
/// do so for as long; a client that sends nothing has a limit of its own.
#[derive(Debug)]
pub(crate) struct Clock<'a> {
    timeout: Duration,
    /// When the request was fully sent for the first time.
    started: Option<Instant>,
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
    pub(crate) fn new(timeout: Duration, alarm: &'a mut Alarm) -> Self {
        Self { timeout, started: None, alarm }
    }

    /// The time that a part of an attempt may take: `most`, but no more than is left.
    pub(super) fn cap(&self, most: Duration) -> Duration {
        self.started.map_or(most, |started| most.min(self.timeout.saturating_sub(started.elapsed())))
    }

    /// Ready when time has run out.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, flow: Flow) -> Poll<()> {
        let since = match (self.started, flow) {
            (Some(started), _) => started,
            (None, Flow::Done(at)) => *self.started.insert(at),
            (None, Flow::Backend(since)) => since,
            // It is polled again when the client has sent something.
            (None, Flow::Client) => return Poll::Pending,
        };
        ready!(self.alarm.poll(cx, since + self.timeout));
        Poll::Ready(())
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
        let mut clock = Clock::new(3 * SECOND, &mut alarm);
        assert_eq!(clock.cap(5 * SECOND), 5 * SECOND);
        let sent = Flow::Done(start);
        assert!(tokio::time::timeout(SECOND, poll_fn(|cx| clock.poll(cx, sent))).await.is_err());
        assert_eq!(clock.cap(5 * SECOND), 2 * SECOND);
        poll_fn(|cx| clock.poll(cx, Flow::Done(Instant::now()))).await;
        assert_eq!(start.elapsed(), 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_slowly_takes_nothing_of_the_backends_time() {
        let mut alarm = Alarm::default();
        let mut clock = Clock::new(SECOND, &mut alarm);
        let waited = tokio::time::timeout(9 * SECOND, poll_fn(|cx| clock.poll(cx, Flow::Client))).await;
        assert!(waited.is_err());
        assert_eq!(clock.cap(5 * SECOND), 5 * SECOND);
    }
}
