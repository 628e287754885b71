//! What is found out about backends, and what follows from it: by what requests meet, and by asking them.

mod checks;
mod outlier;
mod probe;
mod record;
mod sweep;

pub(crate) use self::{
    checks::{ProbeCounters, begin, check},
    outlier::EjectionCounts,
    record::Record,
    sweep::sweep,
};
use crate::{endpoint::InFlight, moment::Moment, reason::Reason, table::ServiceEntry};

/// What an attempt says about the backend that had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    /// A good answer whose body is still to come: a failure in it counts as one more in a row.
    GoodSoFar,
    /// A 5xx that is not a gateway's.
    ServerError,
    /// 502, 503, 504, or no answer at all.
    GatewayFailure,
}

impl Verdict {
    /// Of an answer. What a backend says about the request, the 4xx, it says in good health.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            502..=504 => Self::GatewayFailure,
            500.. => Self::ServerError,
            _ => Self::Success,
        }
    }

    /// Of an attempt that brought no whole answer. None if that says nothing about the backend: what the client did, or
    /// this proxy by itself.
    pub(crate) fn of_failure(reason: Reason) -> Option<Self> {
        let is_of_backend = matches!(
            reason,
            Reason::ConnectRefused
                | Reason::ConnectFailed
                | Reason::ConnectTimeout
                | Reason::BackendTls
                | Reason::BackendReset
                | Reason::BackendMalformed
                | Reason::BackendHeaderTooLarge
                | Reason::UpgradeUnexpected
                | Reason::ResponseTimeout
                | Reason::TryTimeout
                | Reason::BodyTruncated
                | Reason::BodyTimeout
        );
        is_of_backend.then_some(Self::GatewayFailure)
    }
}

/// Learns from an attempt, whose request is still in flight. On request threads, after each attempt that says anything.
pub(crate) fn learn(service: &ServiceEntry, in_flight: &mut InFlight, verdict: Verdict) {
    let decides = in_flight.take_decision();
    let endpoint = in_flight.endpoint();
    if matches!(verdict, Verdict::Success | Verdict::GoodSoFar) {
        match verdict {
            Verdict::Success => endpoint.passive().succeed(),
            _ => endpoint.passive().begin_well(),
        }
        if decides {
            outlier::readmit(endpoint, "the request of its probation succeeded", Moment::now());
        }
        return;
    }
    let in_a_row = endpoint.passive().fail(verdict == Verdict::GatewayFailure);
    if decides {
        outlier::eject_again(service, endpoint, Moment::now());
    } else if let Some(cause) = outlier::tripped(&service.service.outlier_detection, in_a_row) {
        outlier::eject(service, endpoint, cause, Moment::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_failure_if_the_server_says_so() {
        let of = Verdict::of_status;
        assert!([200, 101, 304, 404, 429, 499].into_iter().all(|status| of(status) == Verdict::Success));
        assert!([500, 501, 505, 599].into_iter().all(|status| of(status) == Verdict::ServerError));
        assert!([502, 503, 504].into_iter().all(|status| of(status) == Verdict::GatewayFailure));
    }

    #[test]
    fn what_clients_and_the_proxy_do_says_nothing_about_backends() {
        let said: Vec<_> =
            Reason::ALL.iter().filter(|reason| Verdict::of_failure(**reason).is_some()).collect();
        for reason in &said {
            let of_backend = ["connect_", "backend_", "upgrade_", "response_", "try_", "body_"];
            assert!(of_backend.iter().any(|prefix| reason.code().starts_with(prefix)), "{reason:?}");
        }
        assert_eq!(said.len(), 12);
        for reason in [Reason::ClientGone, Reason::ClientStalled, Reason::RequestBodyTimeout, Reason::Stopped]
        {
            assert_eq!(Verdict::of_failure(reason), None);
        }
    }
}
