//! What an attempt says about its backend: whether it did its work, how long it took, how loaded it is.

use http::StatusCode;
use tokio::time::{Duration, Instant};
use weir_proto::{LbPolicy, PeakEwma};

use crate::{
    balance::LoadReport,
    endpoint::{Endpoint, InFlight},
    health::{self, Verdict},
    message::{Name, ResponseHead},
    moment::Moment,
    reason::Reason,
    table::ServiceEntry,
    upstream::{Answer, Failure},
};

/// Notes how long an attempt took, for those who want to know.
pub(super) fn time(
    service: &ServiceEntry,
    endpoint: &Endpoint,
    result: &Result<Answer<'_>, Failure<'_>>,
    began: Instant,
) {
    let now = Instant::now();
    let (took, now) = (now - began, Moment::of(now));
    if let (Some(adaptive), Ok(answer)) = (&service.adaptive, result)
        && has_worked(answer)
        && adaptive.sample(took, now)
    {
        service.live.gate().look_again();
    }
    let LbPolicy::PeakEwma(PeakEwma { decay }) = service.service.lb_policy else { return };
    match result {
        Ok(answer) if has_worked(answer) => endpoint.latency().observe(took, now, decay),
        Ok(_) => endpoint.latency().fail(now, decay),
        Err(Failure::Failed { reason, .. }) if Verdict::of_failure(*reason).is_some() => {
            endpoint.latency().fail(now, decay);
        }
        Err(_) => {}
    }
}

/// Whether the time that it took says how long the work takes: to refuse it takes none.
fn has_worked(answer: &Answer<'_>) -> bool {
    !answer.head.status.is_server_error() && answer.head.status != StatusCode::TOO_MANY_REQUESTS
}

/// What a backend's answer says about it.
pub(super) fn learn_from_answer(
    service: &ServiceEntry,
    in_flight: &mut InFlight,
    answer: &Answer<'_>,
    call: bool,
) -> Verdict {
    let verdict = match verdict(&answer.head, call) {
        Verdict::Success if !answer.body.is_ended() => Verdict::GoodSoFar,
        verdict => verdict,
    };
    health::learn(service, in_flight, verdict);
    if verdict == Verdict::Limited {
        health::spare(in_flight.endpoint(), &answer.head.fields);
    }
    if service.wants_reports()
        && let Some(report) = LoadReport::of(&answer.head.fields)
    {
        in_flight.endpoint().reported().report(report, Moment::now());
    }
    verdict
}

/// What an attempt without an answer says about the backend, if it says anything.
pub(super) fn learn_from_failure(service: &ServiceEntry, in_flight: &mut InFlight, verdict: Option<Verdict>) {
    if let Some(verdict) = verdict {
        health::learn(service, in_flight, verdict);
    }
}

/// What a failure says about the backend, in a request that had so much time. A client that gives less than the service's
/// settings do says nothing by that: it could have healthy backends ejected.
pub(super) fn verdict_of_failure(
    service: &ServiceEntry,
    reason: Reason,
    timeout: Duration,
) -> Option<Verdict> {
    let impatient = reason == Reason::ResponseTimeout && timeout < service.service.timeouts.request;
    Verdict::of_failure(reason).filter(|_| !impatient)
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
    use std::sync::Arc;

    use weir_proto::{Service, ServiceName};

    use super::*;

    #[test]
    fn a_client_that_gives_less_time_than_the_service_has_no_backend_ejected() {
        let service = Service::with_defaults(ServiceName::try_from("web").unwrap());
        let usual = service.timeouts.request;
        let entry = ServiceEntry::new(Arc::new(service), None, [], None, &Arc::default());
        let verdict = |reason, timeout| verdict_of_failure(&entry, reason, timeout);
        let failure = Some(Verdict::GatewayFailure);
        assert_eq!(verdict(Reason::ResponseTimeout, usual), failure);
        assert_eq!(verdict(Reason::ResponseTimeout, Duration::from_millis(1)), None);
        assert_eq!(
            verdict(Reason::ConnectRefused, Duration::from_millis(1)),
            failure,
            "that is no matter of time"
        );
    }

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
