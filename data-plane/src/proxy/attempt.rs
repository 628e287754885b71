//! One attempt: what is sent, how long it took, and what it says about the backend.

use std::sync::Arc;

use tokio::time::{Duration, Instant};
use weir_proto::{LbPolicy, PeakEwma};

use super::{
    hedge::{self, Hedge},
    relay::Request,
};
use crate::{
    balance::LoadReport,
    deadline,
    downstream::Interim,
    endpoint::{Endpoint, InFlight},
    exchange::Exchange,
    headers::Upgrade,
    health::{self, Verdict},
    message::{Name, ResponseHead},
    moment::Moment,
    reason::Reason,
    table::ServiceEntry,
    upstream::{self, Answer, Attempt, Clock, Failure, Unsent},
};

/// What came of an attempt, and of whose.
pub(super) struct Attempted<'a> {
    pub(super) result: Result<Answer<'a>, Failure<'a>>,
    pub(super) in_flight: InFlight,
}

/// Sends the request to the endpoint in flight: `pinned` if its client has been with that.
pub(super) async fn send<'a>(
    of: &mut Request<'_>,
    service: &ServiceEntry,
    in_flight: InFlight,
    pinned: bool,
    request: Unsent<'a>,
    hedge: Option<Hedge<'_>>,
    exchange: &mut Exchange,
    clock: &mut Clock<'_>,
    interim: &mut Interim<'_>,
) -> Attempted<'a> {
    let again = exchange.retries() > 0;
    let new_head = deadline::set(of.head, of.call, &service.service.timeouts, clock, again);
    let endpoint = Arc::clone(in_flight.endpoint());
    let attempt = Attempt {
        local: &of.client.local,
        service,
        endpoint: &endpoint,
        head: of.head,
        upgrade: of.upgrade == Upgrade::Keep,
        pinned,
        keeps: of.idempotent,
        new_head,
    };
    let began = service.wants_latency.then(Instant::now);
    let left = clock.left();
    let first = upstream::send(attempt, request, clock, interim);
    let attempted = match hedge {
        None => Attempted { result: first.await, in_flight },
        Some(hedge) => Box::pin(hedge::send(of, service, hedge, in_flight, first, left, exchange)).await,
    };
    if let Some(began) = began.filter(|_| attempted.in_flight.endpoint().id() == endpoint.id()) {
        time(service, &endpoint, &attempted.result, began);
    }
    attempted
}

/// Notes how long an attempt took, for those who want to know.
fn time(
    service: &ServiceEntry,
    endpoint: &Endpoint,
    result: &Result<Answer<'_>, Failure<'_>>,
    began: Instant,
) {
    let now = Instant::now();
    let (took, now) = (now - began, Moment::of(now));
    let LbPolicy::PeakEwma(PeakEwma { decay }) = service.service.lb_policy else { return };
    match result {
        Ok(answer) if answer.head.status.is_server_error() => endpoint.latency().fail(now, decay),
        Ok(_) => endpoint.latency().observe(took, now, decay),
        Err(Failure::Failed { reason, .. }) if Verdict::of_failure(*reason).is_some() => {
            endpoint.latency().fail(now, decay);
        }
        Err(_) => {}
    }
}

/// What a backend's answer says about it.
pub(super) fn learn_from_answer(
    service: &ServiceEntry,
    in_flight: &mut InFlight,
    head: &ResponseHead,
    call: bool,
) -> Verdict {
    let verdict = verdict(head, call);
    health::learn(service, in_flight, verdict);
    if service.wants_reports
        && let Some(report) = LoadReport::of(&head.fields)
    {
        in_flight.endpoint().reported().report(report, Moment::now());
    }
    verdict
}

/// What an attempt without an answer says about the backend, in a request that had so much time. A client that gives
/// less than the service's settings do says nothing by that: it could have healthy backends ejected.
pub(super) fn learn_from_failure(
    service: &ServiceEntry,
    in_flight: &mut InFlight,
    reason: Reason,
    timeout: Duration,
) {
    if reason == Reason::ResponseTimeout && timeout < service.service.timeouts.request {
        return;
    }
    if let Some(verdict) = Verdict::of_failure(reason) {
        health::learn(service, in_flight, verdict);
    }
}

/// A call by gRPC that failed at once says so in a status of its own.
fn verdict(head: &ResponseHead, call: bool) -> Verdict {
    let status = head.fields.get(Name::GrpcStatus).filter(|_| call);
    match status {
        // UNAVAILABLE, as 503.
        Some(b"14") => Verdict::GatewayFailure,
        // UNKNOWN, INTERNAL and DATA_LOSS, as 500.
        Some(b"2" | b"13" | b"15") => Verdict::ServerError,
        _ => Verdict::of_status(head.status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_failed_at_once_says_so() {
        let mut head = ResponseHead::default();
        head.fields.push(Name::GrpcStatus, b"14");
        assert_eq!(verdict(&head, true), Verdict::GatewayFailure);
        assert_eq!(verdict(&head, false), Verdict::Success, "that is no call");
        head.fields.set(Name::GrpcStatus, b"13");
        assert_eq!(verdict(&head, true), Verdict::ServerError);
        head.fields.set(Name::GrpcStatus, b"5");
        assert_eq!(verdict(&head, true), Verdict::Success, "that is about the request");
    }
}
