//! A second attempt while the first has not answered: whoever answers first counts, the other one is ended.
//! (Dean and Barroso, "The Tail at Scale", 2013.)

use std::{future::poll_fn, pin::pin, rc::Rc, sync::Arc, task::Poll};

use bytes::Bytes;
use tokio::time::{self, Instant};

use super::{
    admit::{self, Wanted},
    attempt::{learn_from_failure, verdict_of_failure},
    budget,
};
use crate::{
    alarm::Alarm,
    body::{Replay, RequestBody},
    deadline,
    downstream::Interim,
    endpoint::InFlight,
    exchange::Exchange,
    grpc::Call,
    health::Verdict,
    message::RequestHead,
    reason::Reason,
    retry::Progress,
    table::ServiceEntry,
    upstream::{self, Answer, Attempt, Clock, Failure, Unsent},
    worker::Local,
};

/// What the second attempt needs of the first one's request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hedge<'h> {
    pub(super) wanted: Wanted<'h>,
    /// All of it.
    pub(super) body: &'h Bytes,
    pub(super) delay: time::Duration,
    pub(super) call: Option<Call>,
    /// For all attempts.
    pub(super) timeout: time::Duration,
}

impl Hedge<'_> {
    fn verdict(&self, service: &ServiceEntry, reason: Reason) -> Option<Verdict> {
        verdict_of_failure(service, reason, self.timeout)
    }
}

type Sent<'a> = Result<Answer<'a>, Failure<'a>>;

/// Waits for the `first` attempt, which `in_flight` stands for, and for no longer than the delay alone. What came of it,
/// and of whose. The second one has the time that is `left`.
#[expect(clippy::too_many_arguments, reason = "it stands for the whole of an attempt")]
pub(super) async fn send<'a>(
    local: &Rc<Local>,
    service: &ServiceEntry,
    head: &RequestHead,
    hedge: Hedge<'_>,
    mut in_flight: InFlight,
    first: impl Future<Output = Sent<'a>>,
    left: time::Duration,
    exchange: &mut Exchange,
) -> (Sent<'a>, InFlight) {
    let (mut first, began) = (pin!(first), Instant::now());
    if let Ok(result) = time::timeout(hedge.delay, first.as_mut()).await {
        return (result, in_flight);
    }
    let Some(mut other) = another(service, hedge.wanted, &in_flight).filter(|_| budget::withdraw(service))
    else {
        return (first.await, in_flight);
    };
    exchange.hedge(other.endpoint());
    let mut alarm = Alarm::default();
    let timeouts = &service.service.timeouts;
    let left = left.saturating_sub(began.elapsed());
    let mut clock = Clock::new(left, timeouts.per_try, &mut alarm);
    let mut head = head.clone();
    deadline::set(&mut head, hedge.call, timeouts, &clock, true);
    let endpoint = Arc::clone(other.endpoint());
    let attempt = Attempt { keeps: true, ..Attempt::plain(local, service, &endpoint, &head) };
    let body = RequestBody::Replay(Box::new(Replay::whole(hedge.body.clone())));
    let mut interim = Interim::None;
    let mut second = pin!(upstream::send(attempt, Unsent::Body(body), &mut clock, &mut interim));

    let (mut first_failed, mut second_failed) = (None, false);
    let which = poll_fn(|cx| {
        if first_failed.is_none()
            && let Poll::Ready(result) = first.as_mut().poll(cx)
        {
            if second_failed || is_final(&result) {
                return Poll::Ready((result, Winner::First));
            }
            first_failed = result.err();
        }
        // The second one does not know the client.
        if let Some(Failure::Failed { request: Some(unsent), .. }) = &mut first_failed
            && unsent.body().poll_gone(cx).is_ready()
        {
            let (reason, progress) = (Reason::ClientGone, Progress::Over);
            return Poll::Ready((Err(Failure::Failed { reason, progress, request: None }), Winner::First));
        }
        if !second_failed && let Poll::Ready(result) = second.as_mut().poll(cx) {
            match (result, first_failed.take()) {
                (Ok(answer), _) => return Poll::Ready((Ok(answer), Winner::Second)),
                (Err(failure), first) => {
                    if let Failure::Failed { reason, .. } = &failure {
                        learn_from_failure(service, &mut other, hedge.verdict(service, *reason));
                    }
                    second_failed = true;
                    if let Some(first) = first {
                        return Poll::Ready((Err(first), Winner::First));
                    }
                }
            }
        }
        Poll::Pending
    })
    .await;
    match which {
        (result, Winner::First) => {
            exchange.answered_by(in_flight.endpoint());
            (result, in_flight)
        }
        (result, Winner::Second) => {
            if let Some(Failure::Failed { reason, .. }) = first_failed {
                learn_from_failure(service, &mut in_flight, hedge.verdict(service, reason));
            }
            (result, other)
        }
    }
}

/// What is left of the request, whoever has it now.
pub(super) fn body<'s, 'a>(sent: &'s mut Sent<'a>) -> Option<&'s mut RequestBody<'a>> {
    match sent {
        Ok(answer) => Some(answer.upload.body()),
        Err(Failure::Retired(request)) => Some(request.body()),
        Err(Failure::Failed { request, .. }) => Some(request.as_mut()?.body()),
    }
}

enum Winner {
    First,
    Second,
}

/// Whether nothing that the other attempt brings can be better.
fn is_final(result: &Sent<'_>) -> bool {
    matches!(result, Ok(_) | Err(Failure::Failed { progress: Progress::Over, .. }))
}

/// Another endpoint that has room now.
fn another(service: &ServiceEntry, wanted: Wanted<'_>, first: &InFlight) -> Option<InFlight> {
    let mut tried = wanted.tried.to_vec();
    tried.push(first.endpoint().id());
    let other = admit::at_once(service, &Wanted { tried: &tried, pinned: None, ..wanted })?;
    (other.endpoint().id() != first.endpoint().id()).then_some(other)
}
