//! gRPC statuses as errors of this program.

use std::{error::Error as StdError, io, time::Duration};

use tonic::{Code, Status, transport::Uri};
use tonic_types::StatusExt;

use crate::{Error, document::Problem, units};

/// The port of a URL that names none.
const HTTP: u16 = 80;

/// The same as [`failure`], for the answer to a call. What is no control plane answers, too, or breaks off: then it is told
/// what that is.
pub(super) async fn explained(url: &str, status: &Status) -> Error {
    let is_doubtful = status.source().is_some()
        || matches!(status.code(), Code::Unknown | Code::Internal | Code::Unimplemented | Code::Unavailable);
    if is_doubtful
        && let Ok(uri) = url.parse::<Uri>()
        && let Some(host) = uri.host()
        && let Some(found) = weir_proto::found_at(host, uri.port_u16().unwrap_or(HTTP)).await
    {
        return Error::Misdirected { url: url.to_owned(), found };
    }
    failure(url, status)
}

/// What a status of the control plane at `url` means.
pub(super) fn failure(url: &str, status: &Status) -> Error {
    let message = status.message();
    // Only what this end noticed by itself has a source: the connection failed or broke.
    if status.source().is_some() {
        return Error::Unreachable { url: url.to_owned(), reason: root_cause(status) };
    }
    match status.code() {
        Code::InvalidArgument => match status.get_details_bad_request() {
            Some(bad) if !bad.field_violations.is_empty() => Error::Invalid(
                bad.field_violations.iter().map(|v| Problem::nowhere(&v.field, &v.description)).collect(),
            ),
            _ => Error::Invalid(vec![Problem::nowhere("", message)]),
        },
        Code::NotFound | Code::OutOfRange => Error::NotFound(message.to_owned()),
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => Error::Conflict(message.to_owned()),
        Code::DeadlineExceeded => Error::Timeout(format!("{message}; raise --timeout if it is only slow")),
        Code::Unavailable => Error::Unavailable { url: url.to_owned(), reason: message.to_owned() },
        Code::PermissionDenied => Error::Denied(message.to_owned()),
        Code::ResourceExhausted => Error::Failed(match retry_after(status) {
            Some(wait) => format!("{message}; try again in {}", units::duration_text(wait)),
            None => format!("the control plane is out of room: {message}"),
        }),
        // It knows the call, but not everybody that it needs for it does.
        Code::Unimplemented if !message.is_empty() => Error::Failed(message.to_owned()),
        Code::Unimplemented => Error::Failed(format!(
            "the control plane at {url} does not know this call; is it a Weir control plane of this version?"
        )),
        code => Error::Failed(format!("the control plane at {url} failed ({code:?}): {message}")),
    }
}

/// How long to wait, where waiting helps; in whole seconds.
fn retry_after(status: &Status) -> Option<Duration> {
    let wait = status.get_details_retry_info()?.retry_delay?;
    Some(Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)))
}

/// The innermost of the reasons, as the operating system says it.
pub(super) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    match inner.downcast_ref::<io::Error>() {
        Some(error) => crate::error::reason(error),
        None => inner.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;
    use crate::Exit;

    #[test]
    fn statuses_have_their_exit_codes() {
        for (code, exit) in [
            (Code::InvalidArgument, Exit::Invalid),
            (Code::NotFound, Exit::NotFound),
            (Code::OutOfRange, Exit::NotFound),
            (Code::ResourceExhausted, Exit::Failed),
            (Code::AlreadyExists, Exit::Conflict),
            (Code::FailedPrecondition, Exit::Conflict),
            (Code::DeadlineExceeded, Exit::Timeout),
            (Code::Unavailable, Exit::Unreachable),
            (Code::Internal, Exit::Failed),
        ] {
            assert_eq!(failure("http://a", &Status::new(code, "x")).exit(), exit, "{code:?}");
        }
    }

    #[test]
    fn when_to_try_again_is_told() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1_500)));
        let status = Status::with_error_details(Code::ResourceExhausted, "web/a comes and goes", details);
        assert_eq!(failure("http://a", &status).to_string(), "web/a comes and goes; try again in 2s");
        let full = Status::new(Code::ResourceExhausted, "the disk is full");
        let text = failure("http://a", &full).to_string();
        assert_eq!(text, "the control plane is out of room: the disk is full");
    }

    #[test]
    fn bad_fields_are_named() {
        let details = ErrorDetails::with_bad_request_violation("backend.weight", "must be 1 to 256, is 0");
        let status = Status::with_error_details(Code::InvalidArgument, "bad request", details);
        assert_eq!(failure("http://a", &status).to_string(), "backend.weight: must be 1 to 256, is 0");
    }
}
