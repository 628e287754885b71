//! Notices when a client takes too long: with its head, its body, its reading, or between two requests.

use std::task::{Context, Poll};

use tokio::time::{Duration, Instant};
use weir_proto::Limits;

use super::state::{Phase, State};
use crate::{
    alarm::Alarm,
    body::{ClientBody, Flow},
    reason::Reason,
};

/// How long a client may leave unread what waits for it.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a connection that should close waits for one more request: closing at once would meet requests that are
/// already under way.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a connection must be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// No request came for too long.
    Idle,
    /// A request's head took too long.
    Head,
    /// The client does not read.
    Stalled,
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    alarm: Alarm,
    closing: bool,
}

enum Next {
    End(Due),
    Body,
}

impl Watch {
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    pub(super) fn set_closing(&mut self) {
        self.closing = true;
    }

    /// Ready when the connection must be ended. A body that takes too long is aborted here: its request is answered.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, state: &State, limits: &Limits) -> Poll<Due> {
        loop {
            let Some((deadline, next)) = self.next(state, limits) else { return Poll::Pending };
            std::task::ready!(self.alarm.poll(cx, deadline));
            match next {
                Next::End(due) => {
                    if due == Due::Stalled {
                        state.set_end(Reason::ClientStalled);
                    }
                    return Poll::Ready(due);
                }
                Next::Body => {
                    if let Some(body) = state.body().filter(|body| matches!(body.flow(), Flow::Client(_))) {
                        body.abort(Reason::RequestBodyTimeout);
                    }
                }
            }
        }
    }

    /// What runs out next, as things stand.
    fn next(&self, state: &State, limits: &Limits) -> Option<(Instant, Next)> {
        let stall = state.blocked().map(|since| (since + STALL_TIMEOUT, Next::End(Due::Stalled)));
        match state.phase() {
            // The end of the last answer is still on its way: whatever comes next has its time after that.
            Phase::Idle(_) | Phase::Head(_) if stall.is_some() => stall,
            Phase::Idle(since) if self.closing => Some((since + CLOSING_TIMEOUT, Next::End(Due::Idle))),
            Phase::Idle(since) => Some((since + limits.idle_timeout, Next::End(Due::Idle))),
            Phase::Head(since) => Some((since + limits.header_timeout, Next::End(Due::Head))),
            Phase::Request => {
                let body =
                    state.body().and_then(|body| body_deadline(&body, limits)).map(|at| (at, Next::Body));
                [stall, body].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
            }
        }
    }
}

/// When the body is to be looked at again. While it is the backend's turn, this is before the client's time can run
/// out, whenever its turn comes.
fn body_deadline(body: &ClientBody, limits: &Limits) -> Option<Instant> {
    if body.failure().is_some() {
        return None;
    }
    match body.flow() {
        Flow::Client(since) => Some(since + limits.body_idle_timeout),
        Flow::Untouched | Flow::Backend(_) => Some(Instant::now() + limits.body_idle_timeout),
        Flow::Done(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http::Version;

    use super::*;

    /// When the connection is ended, and why.
    async fn ended(watch: &mut Watch, state: &State) -> (Due, Duration) {
        let start = Instant::now();
        let due = poll_fn(|cx| watch.poll(cx, state, &Limits::default())).await;
        (due, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_time() {
        let state = State::new();
        assert_eq!(ended(&mut Watch::default(), &state).await, (Due::Idle, Duration::from_hours(1)));
        let state = State::new();
        state.received();
        assert_eq!(ended(&mut Watch::default(), &state).await, (Due::Head, Duration::from_secs(10)));
        state.request_began(Version::HTTP_11);
        state.set_blocked(true);
        assert_eq!(ended(&mut Watch::default(), &state).await, (Due::Stalled, STALL_TIMEOUT));
        assert_eq!(state.end(), Some(Reason::ClientStalled));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_slowly_to_its_end_is_not_cut() {
        let state = State::new();
        state.request_began(Version::HTTP_11);
        // The request has ended, and the last bytes of its answer wait for the client to read.
        state.set_blocked(true);
        state.idle(Instant::now());
        let mut watch = Watch::default();
        watch.set_closing();
        let soon = tokio::time::timeout(STALL_TIMEOUT / 2, ended(&mut watch, &state)).await;
        assert!(soon.is_err(), "{soon:?}");
        // It reads, and has a moment from then on.
        state.set_blocked(false);
        state.flushed();
        assert_eq!(ended(&mut watch, &state).await, (Due::Idle, CLOSING_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn no_answer_to_a_slow_head_goes_into_the_middle_of_another() {
        let state = State::new();
        state.request_began(Version::HTTP_11);
        state.set_blocked(true);
        state.idle(Instant::now());
        state.received();
        assert_eq!(ended(&mut Watch::default(), &state).await, (Due::Stalled, STALL_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_has_no_deadline_of_the_client() {
        let state = State::new();
        state.request_began(Version::HTTP_11);
        let mut watch = Watch::default();
        watch.set_closing();
        let waited = tokio::time::timeout(Duration::from_hours(48), ended(&mut watch, &state)).await;
        assert!(waited.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_should_close_has_a_moment_for_one_more_request() {
        let state = State::new();
        let mut watch = Watch::default();
        assert!(poll_fn(|cx| Poll::Ready(watch.poll(cx, &state, &Limits::default()))).await.is_pending());
        watch.set_closing();
        assert_eq!(ended(&mut watch, &state).await, (Due::Idle, CLOSING_TIMEOUT));
    }
}
