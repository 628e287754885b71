//! How long a client may take for a request's body: neither fall silent nor drip.

use std::task::{Context, Poll};

use tokio::time::{Duration, Instant};
use weir_proto::Limits;

use crate::{
    alarm::Alarm,
    grpc::Call,
    message::{Fields, Name},
    reason::Reason,
};

/// How long a body may be slower than the least rate before it must keep it.
const GRACE: Duration = Duration::from_secs(5);

/// What a request leads us to expect of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Usual,
    /// It waits to be asked for the body: until the first byte only silence counts.
    Asked,
    /// A stream of messages, between which hours may pass.
    Endless,
}

impl Patience {
    pub(crate) fn with(fields: &Fields) -> Self {
        if Call::of(fields).is_some() { Self::Endless } else { Self::without_calls(fields) }
    }

    /// As `with`, for HTTP/1: there are no calls in it, and its clients cannot excuse their silence by a content type.
    pub(crate) fn without_calls(fields: &Fields) -> Self {
        if fields.has(Name::Expect) { Self::Asked } else { Self::Usual }
    }
}

/// Only the time that the client is waited for counts: while the backend takes nothing, the client cannot send.
#[derive(Debug)]
pub(crate) struct Pace {
    patience: Patience,
    idle_timeout: Duration,
    /// Bytes a second; 0 is none.
    least_rate: u32,
    /// Since when the client is waited for.
    since: Option<Instant>,
    /// How long it was waited for before.
    waited: Duration,
    bytes: u64,
    alarm: Alarm,
}

impl Pace {
    pub(crate) fn new(limits: &Limits, patience: Patience) -> Self {
        Self {
            patience,
            idle_timeout: limits.body_idle_timeout,
            least_rate: limits.min_request_body_rate,
            since: None,
            waited: Duration::ZERO,
            bytes: 0,
            alarm: Alarm::default(),
        }
    }

    /// Bytes have come.
    pub(crate) fn received(&mut self, n: usize) {
        self.bytes += n as u64;
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Nothing has come: ready when the client has taken too long.
    pub(crate) fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        if self.patience == Patience::Endless {
            return Poll::Pending;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let deadline = (since + self.idle_timeout).min(self.rate_deadline(since));
        self.alarm.poll(cx, deadline).map(|()| Reason::RequestBodyTimeout)
    }

    /// When what has come is too little.
    fn rate_deadline(&self, since: Instant) -> Instant {
        let unasked = self.patience == Patience::Asked && self.bytes == 0;
        if self.least_rate == 0 || unasked {
            return since + self.idle_timeout;
        }
        let covered = Duration::from_millis(self.bytes.saturating_mul(1_000) / u64::from(self.least_rate));
        since + (covered.max(GRACE)).saturating_sub(self.waited)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn pace() -> Pace {
        with(Patience::Usual)
    }

    fn with(patience: Patience) -> Pace {
        Pace::new(&Limits { body_idle_timeout: Duration::from_secs(30), ..Limits::default() }, patience)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_to_be_asked_is_not_too_slow_and_a_call_may_be_silent() {
        assert_eq!(refused(&mut with(Patience::Asked)).await, Duration::from_secs(30));
        let mut call = with(Patience::Endless);
        assert!(tokio::time::timeout(Duration::from_hours(9), refused(&mut call)).await.is_err());
    }

    async fn refused(pace: &mut Pace) -> Duration {
        let start = Instant::now();
        assert_eq!(poll_fn(|cx| pace.poll_waiting(cx)).await, Reason::RequestBodyTimeout);
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_refused_by_its_rate_first() {
        assert_eq!(refused(&mut pace()).await, GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn much_of_a_body_buys_time_up_to_the_idle_limit() {
        let mut fast = pace();
        fast.received(240 * 10);
        assert_eq!(refused(&mut fast).await, Duration::from_secs(10));
        let mut faster = pace();
        faster.received(1 << 30);
        assert_eq!(refused(&mut faster).await, Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripping_body_is_refused_although_it_never_falls_silent() {
        let mut pace = pace();
        let start = Instant::now();
        let dripping = async {
            loop {
                let second = tokio::time::timeout(Duration::from_secs(1), refused(&mut pace)).await;
                if second.is_ok() {
                    return start.elapsed();
                }
                pace.received(100);
            }
        };
        assert_eq!(dripping.await, GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_backend_does_not_count() {
        let mut pace = pace();
        pace.received(1);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(refused(&mut pace).await, GRACE);
    }
}
