//! Whether a failed attempt may be repeated. Decides only; knows neither time nor network.

mod backoff;
mod budget;

use http::Method;
use weir_proto::{RetryOn, RetryPolicy};

pub(crate) use self::{
    backoff::{pause, retry_after},
    budget::Budget,
};
use crate::message::{Name, ResponseHead};

/// How far an attempt got before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There was no connection, so no byte of the request was sent.
    NotConnected,
    /// There was one, and it ended before any byte of the request was sent.
    NotSent,
    /// The backend said that it did not look at the request.
    Refused,
    /// Bytes of the request may have been sent; the connection ended before a response.
    Sent,
    /// The time for one attempt ran out.
    TimedOut,
    /// The backend answered something, though nothing that is valid.
    Answered,
    /// It is the client's doing, or there is no time for another.
    Over,
}

/// What came of an attempt that may be repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended<'a> {
    Failed(Progress),
    /// With this head; for a call by gRPC or for any other request.
    Answered {
        head: &'a ResponseHead,
        call: bool,
    },
}

/// The request of the attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeatable {
    /// By its method (RFC 9110 section 9.2.2), or because the policy says so.
    pub(crate) idempotent: bool,
    /// All of it is still there, its body too.
    pub(crate) whole: bool,
}

/// Whether to try again after `retries` attempts that followed the first, as far as the policy goes.
pub(crate) fn allowed(policy: &RetryPolicy, retries: u32, ended: Ended<'_>, request: Repeatable) -> bool {
    let untouched =
        matches!(ended, Ended::Failed(Progress::NotConnected | Progress::NotSent | Progress::Refused));
    let harmless = request.whole && (untouched || request.idempotent);
    harmless && retries < policy.num_retries && policy.retry_on.iter().any(|on| wants(policy, *on, ended))
}

/// Whether the next attempt need not wait: the first one after an attempt that got no answer goes to another backend, of
/// which that says nothing. What asks for less, an answer or a time that ran out, is given time.
pub(crate) fn is_immediate(retries: u32, ended: Ended<'_>) -> bool {
    use Progress::{NotConnected, NotSent, Refused, Sent};
    retries == 0 && matches!(ended, Ended::Failed(NotConnected | NotSent | Refused | Sent))
}

/// Whether any answer may be worth another attempt. Answered without looking at one.
pub(crate) fn looks_at_answers(policy: &RetryPolicy) -> bool {
    policy.num_retries > 0 && policy.retry_on.iter().any(|on| !RetryOn::DEFAULT.contains(on))
}

fn wants(policy: &RetryPolicy, on: RetryOn, ended: Ended<'_>) -> bool {
    match (ended, on) {
        (Ended::Failed(progress), on) => match progress {
            Progress::NotConnected => on == RetryOn::ConnectFailure,
            Progress::Refused => on == RetryOn::RefusedStream,
            Progress::NotSent | Progress::Sent => on == RetryOn::ResetBeforeResponse,
            Progress::TimedOut => on == RetryOn::PerTryTimeout,
            Progress::Answered => matches!(on, RetryOn::GatewayError | RetryOn::ServerError),
            Progress::Over => false,
        },
        (Ended::Answered { head, call: true }, RetryOn::Grpc(code)) => {
            // A message that is nothing but its trailers.
            head.fields.get(Name::GrpcStatus) == Some(code.to_string().as_bytes())
        }
        (Ended::Answered { head, .. }, on) => {
            let status = head.status.as_u16();
            match on {
                RetryOn::GatewayError => matches!(status, 502..=504),
                RetryOn::ServerError => status >= 500,
                RetryOn::Retriable4xx => status == 409,
                RetryOn::RetriableStatusCodes => policy.retriable_status_codes.contains(&status),
                _ => false,
            }
        }
    }
}

/// Whether sending a request of this method twice means the same as sending it once.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Repeatable = Repeatable { idempotent: true, whole: true };
    const POST: Repeatable = Repeatable { idempotent: false, whole: true };

    fn on(retry_on: &[RetryOn]) -> RetryPolicy {
        RetryPolicy { retry_on: retry_on.to_vec(), retriable_status_codes: vec![429], ..Default::default() }
    }

    #[test]
    fn only_harmless_attempts_are_repeated() {
        let policy = RetryPolicy::default();
        let put_halfway = Repeatable { idempotent: true, whole: false };
        for (progress, request, expected) in [
            (Progress::NotConnected, GET, true),
            (Progress::NotConnected, POST, true),
            (Progress::NotSent, POST, true),
            (Progress::Refused, POST, true),
            (Progress::Sent, GET, true),
            (Progress::Sent, POST, false),
            (Progress::Sent, put_halfway, false),
            (Progress::TimedOut, GET, true),
            (Progress::TimedOut, POST, false),
            (Progress::Answered, GET, false),
            (Progress::Over, GET, false),
        ] {
            let ended = Ended::Failed(progress);
            assert_eq!(allowed(&policy, 0, ended, request), expected, "{progress:?} {request:?}");
            assert!(!allowed(&policy, 1, ended, request), "one retry is the default");
        }
    }

    #[test]
    fn the_policy_decides_what_is_worth_it() {
        let policy = RetryPolicy { num_retries: 3, ..on(&[RetryOn::ConnectFailure]) };
        let (refused, reset) = (Ended::Failed(Progress::NotConnected), Ended::Failed(Progress::Sent));
        assert!(allowed(&policy, 2, refused, GET));
        assert!(!allowed(&policy, 3, refused, GET));
        assert!(!allowed(&policy, 0, reset, GET));
        let malformed = Ended::Failed(Progress::Answered);
        assert!(allowed(&on(&[RetryOn::GatewayError]), 0, malformed, GET));
        assert!(!allowed(&on(&[RetryOn::GatewayError]), 0, malformed, POST));
    }

    #[test]
    fn answers_are_worth_it_only_where_the_policy_says_so() {
        for (on_what, status, expected) in [
            (RetryOn::GatewayError, 503, true),
            (RetryOn::GatewayError, 500, false),
            (RetryOn::ServerError, 500, true),
            (RetryOn::ServerError, 404, false),
            (RetryOn::Retriable4xx, 409, true),
            (RetryOn::RetriableStatusCodes, 429, true),
            (RetryOn::RetriableStatusCodes, 503, false),
            (RetryOn::ConnectFailure, 503, false),
        ] {
            let head = ResponseHead::new(status.try_into().unwrap());
            let ended = Ended::Answered { head: &head, call: false };
            assert_eq!(allowed(&on(&[on_what]), 0, ended, GET), expected, "{on_what:?} {status}");
            assert!(!allowed(&on(&[on_what]), 0, ended, POST), "it was processed");
        }
        assert!(!looks_at_answers(&RetryPolicy::default()));
        assert!(looks_at_answers(&on(&[RetryOn::ConnectFailure, RetryOn::ServerError])));
    }

    #[test]
    fn a_call_that_is_nothing_but_its_status_is_worth_it_by_that() {
        let mut head = ResponseHead::default();
        head.fields.push(Name::GrpcStatus, b"14");
        let unavailable = on(&[RetryOn::Grpc(14)]);
        let ended = |call| Ended::Answered { head: &head, call };
        assert!(allowed(&unavailable, 0, ended(true), GET));
        assert!(!allowed(&unavailable, 0, ended(false), GET), "that is no call");
        assert!(!allowed(&on(&[RetryOn::Grpc(8)]), 0, ended(true), GET));
    }

    #[test]
    fn who_got_no_answer_need_not_wait_once() {
        assert!(is_immediate(0, Ended::Failed(Progress::NotConnected)));
        assert!(!is_immediate(1, Ended::Failed(Progress::NotConnected)));
        assert!(is_immediate(0, Ended::Failed(Progress::Sent)));
        for progress in [Progress::TimedOut, Progress::Answered, Progress::Over] {
            assert!(!is_immediate(0, Ended::Failed(progress)));
        }
    }

    #[test]
    fn idempotent_methods_are_those_of_the_rfc() {
        assert!(is_idempotent(&Method::PUT) && is_idempotent(&Method::DELETE));
        assert!(!is_idempotent(&Method::POST) && !is_idempotent(&Method::PATCH));
        assert!(!is_idempotent(&Method::from_bytes(b"PURGE").unwrap()));
    }
}
