//! Whether a failed attempt may be repeated. Decides only; knows neither time nor network.

use http::Method;
use weir_proto::{RetryOn, RetryPolicy};

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
    /// The backend answered, or time ran out: another attempt would not be the same request any more.
    Answered,
}

/// The request of the attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeatable {
    /// By its method: RFC 9110 section 9.2.2.
    pub(crate) idempotent: bool,
    /// All of it is still there, its body too.
    pub(crate) whole: bool,
}

/// Whether to try again after `retries` attempts that followed the first.
pub(crate) fn allowed(policy: &RetryPolicy, retries: u32, progress: Progress, request: Repeatable) -> bool {
    let cause = match progress {
        Progress::NotConnected => RetryOn::ConnectFailure,
        Progress::Refused => RetryOn::RefusedStream,
        Progress::NotSent | Progress::Sent => RetryOn::ResetBeforeResponse,
        Progress::Answered => return false,
    };
    let harmless = request.whole && (progress != Progress::Sent || request.idempotent);
    harmless && retries < policy.num_retries && policy.retry_on.contains(&cause)
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

    #[test]
    fn only_harmless_attempts_are_repeated() {
        let policy = RetryPolicy::default();
        let get = Repeatable { idempotent: true, whole: true };
        let post = Repeatable { idempotent: false, whole: true };
        let put_halfway = Repeatable { idempotent: true, whole: false };
        for (progress, request, expected) in [
            (Progress::NotConnected, get, true),
            (Progress::NotConnected, post, true),
            (Progress::NotSent, post, true),
            (Progress::Refused, post, true),
            (Progress::Sent, get, true),
            (Progress::Sent, post, false),
            (Progress::Sent, put_halfway, false),
            (Progress::Answered, get, false),
        ] {
            assert_eq!(allowed(&policy, 0, progress, request), expected, "{progress:?} {request:?}");
            assert!(!allowed(&policy, 1, progress, request), "one retry is the default");
        }
    }

    #[test]
    fn the_policy_decides_what_is_worth_it() {
        let get = Repeatable { idempotent: true, whole: true };
        let policy =
            RetryPolicy { num_retries: 3, retry_on: vec![RetryOn::ConnectFailure], ..Default::default() };
        assert!(allowed(&policy, 2, Progress::NotConnected, get));
        assert!(!allowed(&policy, 3, Progress::NotConnected, get));
        assert!(!allowed(&policy, 0, Progress::Sent, get));
    }

    #[test]
    fn idempotent_methods_are_those_of_the_rfc() {
        assert!(is_idempotent(&Method::PUT) && is_idempotent(&Method::DELETE));
        assert!(!is_idempotent(&Method::POST) && !is_idempotent(&Method::PATCH));
        assert!(!is_idempotent(&Method::from_bytes(b"PURGE").unwrap()));
    }
}
