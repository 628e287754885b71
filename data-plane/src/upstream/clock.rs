//! How long a backend may take for the head of its response, over all attempts.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use tokio::time::{Duration, Instant};

use crate::{
    alarm::Alarm,
    body::{ClientBody, Flow},
};

/// Runs from the moment the request is fully sent. While its body is on the way, a backend that takes nothing of it may
/// do so for as long; a client that sends nothing has a limit of its own.
#[derive(Debug)]
pub(crate) struct Clock {
    timeout: Duration,
    /// When the request was fully sent for the first time.
    started: Option<Instant>,
    alarm: Alarm,
}

impl Clock {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, started: None, alarm: Alarm::default() }
    }

    /// The time that a part of an attempt may take: `most`, but no more than is left.
    pub(super) fn cap(&self, most: Duration) -> Duration {
        self.started.map_or(most, |started| most.min(self.timeout.saturating_sub(started.elapsed())))
    }

    /// What `response` yields, or None if time runs out first. The request's head was sent at `sent`.
    pub(super) async fn until<F: Future>(
        &mut self,
        response: F,
        body: Option<&ClientBody>,
        sent: Instant,
    ) -> Option<F::Output> {
        let mut response = pin!(response);
        poll_fn(|cx| {
            if let Poll::Ready(output) = response.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            loop {
                let (deadline, last) = self.deadline(body, sent);
                std::task::ready!(self.alarm.poll(cx, deadline));
                if last {
                    return Poll::Ready(None);
                }
            }
        })
        .await
    }

    /// When to look again, and whether the time is up then.
    fn deadline(&mut self, body: Option<&ClientBody>, sent: Instant) -> (Instant, bool) {
        let since = match (self.started, body.map(ClientBody::flow)) {
            (Some(started), _) => started,
            (None, None) => *self.started.insert(sent),
            (None, Some(Flow::Done(at))) => *self.started.insert(at),
            (None, Some(Flow::Backend(since))) => since,
            (None, Some(Flow::Untouched | Flow::Client(_))) => return (Instant::now() + self.timeout, false),
        };
        (since + self.timeout, true)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn one_timeout_covers_all_attempts() {
        let start = Instant::now();
        let mut clock = Clock::new(3 * SECOND);
        assert_eq!(clock.cap(5 * SECOND), 5 * SECOND);
        let first = tokio::time::timeout(SECOND, clock.until(pending::<()>(), None, start)).await;
        assert!(first.is_err());
        assert_eq!(clock.cap(5 * SECOND), 2 * SECOND);
        assert_eq!(clock.until(pending::<()>(), None, Instant::now()).await, None);
        assert_eq!(start.elapsed(), 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_is_passed_on() {
        let mut clock = Clock::new(3 * SECOND);
        let answer = async {
            tokio::time::sleep(SECOND).await;
            7
        };
        assert_eq!(clock.until(answer, None, Instant::now()).await, Some(7));
    }
}
