//! What is found out about backends, and what follows from it: by what requests meet, and by asking them.

mod checks;
mod outlier;
mod probe;
mod record;
mod sweep;

use tokio::time::Duration;

pub(crate) use self::{
    checks::{ProbeCounters, begin, check},
    outlier::EjectionCounts,
    record::Record,
    sweep::sweep,
};
use crate::{
    endpoint::{Endpoint, InFlight},
    message::Fields,
    moment::Moment,
    reason::Reason,
    retry,
    table::ServiceEntry,
};

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
    /// 429: it is alive, and says nothing of how it does its work.
    Limited,
}

/// For so long a backend is spared that answers 429 and does not say how long.
const SPARED: Duration = Duration::from_secs(1);
/// No backend is spared for longer, whatever it asks for.
const SPARED_MOST: Duration = Duration::from_mins(1);

impl Verdict {
    /// Of an answer. What a backend says about the request, the other 4xx, it says in good health.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            429 => Self::Limited,
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
                // As bad as one that is not there: requests are better off elsewhere, and it is the fastest to fail.
                | Reason::BackendForbidden
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
    if matches!(verdict, Verdict::Success | Verdict::GoodSoFar | Verdict::Limited) {
        match verdict {
            Verdict::Success => endpoint.passive().succeed(),
            Verdict::GoodSoFar => endpoint.passive().begin_well(),
            _ => {}
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

/// Has a backend that said that it has enough get less, for the time that it asks for with `Retry-After` (RFC 6585 section
/// 4). It may have meant one client only, so it gets some, and never for long.
#[cold]
pub(crate) fn spare(endpoint: &Endpoint, fields: &Fields) {
    let time = retry::retry_after(fields).unwrap_or(SPARED).min(SPARED_MOST);
    endpoint.limit(Moment::now().plus(time));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_failure_if_the_server_says_so() {
        let of = Verdict::of_status;
        assert!([200, 101, 304, 404, 428, 499].into_iter().all(|status| of(status) == Verdict::Success));
        assert_eq!(of(429), Verdict::Limited);
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
        assert_eq!(said.len(), 13);
        for reason in [Reason::ClientGone, Reason::ClientStalled, Reason::RequestBodyTimeout, Reason::Stopped]
        {
            assert_eq!(Verdict::of_failure(reason), None);
        }
    }
}
