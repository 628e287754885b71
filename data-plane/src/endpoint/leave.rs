//! When a request must leave its backend: each at another moment, all before the time that a drain leaves them.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use tokio::time::{Sleep, sleep};

use super::{Endpoint, Marks};
use crate::moment::Moment;

/// Belongs to one request while it is at one backend. Costs one look at the endpoint's marks as long as nothing is closed.
#[derive(Debug, Default)]
pub(crate) struct Leave(Option<(Moment, Pin<Box<Sleep>>)>);

impl Leave {
    /// Ready when the request's time is over. To be polled with everything that it waits for: its task is woken when the
    /// backend begins to close. If the backend takes requests again before, nothing happens.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, endpoint: &Endpoint) -> Poll<()> {
        if !endpoint.marks().has(Marks::CLOSING) {
            return Poll::Pending;
        }
        self.poll_closing(cx, endpoint)
    }

    #[cold]
    fn poll_closing(&mut self, cx: &mut Context<'_>, endpoint: &Endpoint) -> Poll<()> {
        let by = endpoint.close_by();
        let drawn = self.0.take().filter(|(drawn_for, _)| *drawn_for == by);
        let (_, timer) = self.0.insert(drawn.unwrap_or_else(|| {
            let left = by.since(Moment::now());
            (by, Box::pin(sleep(left.mul_f64(fastrand::f64()))))
        }));
        timer.as_mut().poll(cx)
    }
}

/// Does something that comes before the request is sent. None if its endpoint takes no such request any more.
pub(crate) async fn unless_retired<T>(
    endpoint: &Endpoint,
    pinned: bool,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if endpoint.is_retired(pinned) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use tokio::time::{Duration, Instant, timeout};

    use super::*;
    use crate::endpoint::tests::endpoint;

    const MINUTE: Duration = Duration::from_mins(1);

    async fn left(endpoint: &Arc<Endpoint>) -> Duration {
        let (start, mut leave) = (Instant::now(), Leave::default());
        poll_fn(|cx| leave.poll(cx, endpoint)).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_leave_one_by_one_and_all_in_time() {
        let endpoint = endpoint(([127, 0, 0, 1], 1).into());
        endpoint.set_retired(Marks::DRAINING);
        let mut moments = Vec::new();
        for _ in 0..100 {
            // Anew for each, because the clock moves on while one waits.
            endpoint.set_retired(Marks::default());
            endpoint.set_retired(Marks::DRAINING);
            assert!(endpoint.close(Moment::now().plus(MINUTE)));
            moments.push(left(&endpoint).await);
        }
        assert!(moments.iter().all(|after| *after <= MINUTE + Duration::from_millis(1)), "{moments:?}");
        for tenth in 0..10 {
            let window = MINUTE * tenth / 10..MINUTE * (tenth + 1) / 10;
            assert!(moments.iter().any(|after| window.contains(after)), "none in {window:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_leaves_what_takes_requests_or_takes_them_again() {
        let endpoint = endpoint(([127, 0, 0, 1], 1).into());
        assert!(!endpoint.close(Moment::now()), "it is in use");
        assert!(timeout(MINUTE, left(&endpoint)).await.is_err());
        endpoint.set_retired(Marks::DRAINING);
        assert!(!endpoint.is_retired(true));
        assert!(endpoint.close(Moment::now().plus(MINUTE)));
        assert!(endpoint.is_retired(true), "clients that it has must go elsewhere");
        endpoint.set_retired(Marks::default());
        assert!(timeout(2 * MINUTE, left(&endpoint)).await.is_err());
        endpoint.set_retired(Marks::DRAINING);
        assert!(timeout(2 * MINUTE, left(&endpoint)).await.is_err(), "the last time does not count");
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_word_may_shorten_the_time_and_never_lengthens_it() {
        let endpoint = endpoint(([127, 0, 0, 1], 1).into());
        endpoint.set_retired(Marks::GONE);
        for over in [MINUTE, Duration::ZERO, 10 * MINUTE] {
            assert!(endpoint.close(Moment::now().plus(over)));
        }
        assert!(left(&endpoint).await <= Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_nobody_may_use_any_more_is_not_waited_for() {
        let endpoint = endpoint(([127, 0, 0, 1], 1).into());
        endpoint.set_retired(Marks::DRAINING);
        assert_eq!(unless_retired(&endpoint, false, pending::<()>()).await, None);
        assert_eq!(unless_retired(&endpoint, false, async { 1 }).await, Some(1), "it is there already");
        assert!(timeout(MINUTE, unless_retired(&endpoint, true, pending::<()>())).await.is_err());
    }
}
