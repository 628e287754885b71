//! What an error is called on the wire: the one place where that is decided.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};
use weir_proto::{Invalid, ObjectKey};

use crate::Error;

/// When to try again after the disk was full or not writable: somebody has to do something about it first.
const RETRY_STORE: Duration = Duration::from_secs(5);
/// When to try again while the control plane restarts.
const RETRY_SOON: Duration = Duration::from_secs(1);
/// Bytes of a status's text. All of a status travels in headers, and what a caller sent may be in it: clients give up on
/// more than 16 KiB of headers (gRPC's C core on more than 8 KiB) and then never learn what was wrong.
const MOST_TEXT: usize = 500;
/// Bytes of an object's name or owner, which have this many if they are valid.
const MOST_NAME: usize = 507;
/// Bytes of all the fields that are named in one status. In headers it is a third more.
const MOST_FIELDS: usize = 3 << 10;
/// Tags and lengths of one of them, at most.
const FIELD_OVERHEAD: usize = 12;

/// The status of an error, with the details that `weir/v1/*.proto` promise.
pub(crate) fn status(error: Error) -> Status {
    let text = cut(&error.to_string(), MOST_TEXT);
    let mut details = ErrorDetails::new();
    let code = match error {
        Error::Invalid(invalid) => return refused(vec![invalid]),
        Error::Forbidden(invalid) => {
            details
                .add_bad_request_violation(cut(&invalid.field, MOST_TEXT), cut(&invalid.reason, MOST_TEXT));
            Code::PermissionDenied
        }
        Error::NotFound { key } => {
            resource(&mut details, &key, "", &text);
            Code::NotFound
        }
        Error::AlreadyExists { key, owner, field, .. } => {
            resource(&mut details, &key, &owner, &text);
            details.add_bad_request_violation(cut(&field, MOST_TEXT), text.as_str());
            Code::AlreadyExists
        }
        Error::Precondition { key, .. } => {
            resource(&mut details, &key, "", &text);
            Code::FailedPrecondition
        }
        Error::RevisionMismatch { current, .. } => {
            details.add_precondition_failure_violation("REVISION", current.to_string(), text.as_str());
            Code::FailedPrecondition
        }
        Error::EpochMismatch { current, .. } => {
            details.add_precondition_failure_violation("EPOCH", current.to_string(), text.as_str());
            Code::FailedPrecondition
        }
        Error::OutOfRange { .. } => Code::OutOfRange,
        Error::StoreFull { .. } | Error::TooMany { .. } => {
            details.set_retry_info(Some(RETRY_STORE));
            Code::ResourceExhausted
        }
        Error::HeldBack { key, retry_after, .. } => {
            resource(&mut details, &key, "", &text);
            details.set_retry_info(Some(retry_after));
            Code::ResourceExhausted
        }
        Error::NotDrained { key, .. } => {
            resource(&mut details, &key, "", &text);
            Code::DeadlineExceeded
        }
        Error::StoreReadOnly { .. } => {
            details.set_retry_info(Some(RETRY_STORE));
            Code::Unavailable
        }
        Error::Busy | Error::Stopping | Error::StoreFailed { .. } | Error::ProxyGone { .. } => {
            details.set_retry_info(Some(RETRY_SOON));
            Code::Unavailable
        }
        Error::NoProxy { .. } => Code::NotFound,
        Error::ProxyUnable { .. } => Code::Unimplemented,
        Error::ProxySilent { .. } => Code::DeadlineExceeded,
        Error::TooLong { .. } => Code::ResourceExhausted,
        Error::StoreInUse { .. }
        | Error::StoreCorrupt { .. }
        | Error::StoreIncomplete { .. }
        | Error::Restore { .. }
        | Error::StoreFormat { .. }
        | Error::StoreUnusable { .. }
        | Error::Config(_)
        | Error::Listen { .. }
        | Error::Serve { .. } => return internal(&error),
    };
    Status::with_error_details(code, text, details)
}

/// The `google.rpc.Code` of an error.
pub(crate) fn code(error: &Error) -> i32 {
    status(error.clone()).code() as i32
}

/// `INVALID_ARGUMENT` for these fields, of which there must be at least one. The text counts all of them, the details
/// name as many as fit.
pub(crate) fn refused(fields: Vec<Invalid>) -> Status {
    let text = match fields.as_slice() {
        [first, _, ..] => format!("{first} (and {} more)", fields.len() - 1),
        _ => fields.first().map(ToString::to_string).unwrap_or_default(),
    };
    let mut room = MOST_FIELDS;
    let named = fields.into_iter().map_while(|f| {
        let (field, reason) = (cut(&f.field, MOST_TEXT), cut(&f.reason, MOST_TEXT));
        room = room.checked_sub(field.len() + reason.len() + FIELD_OVERHEAD)?;
        Some(FieldViolation::new(field, reason))
    });
    let details = ErrorDetails::with_bad_request(named.collect::<Vec<_>>());
    Status::with_error_details(Code::InvalidArgument, cut(&text, MOST_TEXT), details)
}

/// At most `most` bytes of `text`, whole characters.
fn cut(text: &str, most: usize) -> String {
    match text.len() {
        n if n <= most => text.to_owned(),
        _ => format!("{}...", &text[..text.floor_char_boundary(most - 3)]),
    }
}

fn resource(details: &mut ErrorDetails, key: &ObjectKey, owner: &str, text: &str) {
    details.set_resource_info(key.kind.as_str(), cut(&key.name, MOST_NAME), cut(owner, MOST_NAME), text);
}

/// These cannot come of a request. The text stays in the log: it may say more than a client should know.
fn internal(error: &Error) -> Status {
    let id = fastrand::u64(..);
    weir_proto::seldom!(error, id = %format_args!("{id:016x}"), %error, "internal fault");
    Status::internal(format!("internal fault {id:016x}; the control plane's log says more"))
}

#[cfg(test)]
mod tests {
    use weir_proto::{Epoch, ObjectKind, Revision};

    use super::*;

    fn key() -> ObjectKey {
        ObjectKey::new(ObjectKind::Service, "web")
    }

    #[test]
    fn every_error_has_the_code_that_the_contract_names() {
        let (expected, current, reason) = (Revision(1), Revision(2), || String::new());
        let store = || "sqlite:x".to_owned();
        for (error, code) in [
            (Error::Invalid(Invalid::new("a", "b")), Code::InvalidArgument),
            (Error::Forbidden(Invalid::new("a", "b")), Code::PermissionDenied),
            (Error::NotFound { key: key() }, Code::NotFound),
            (Error::RevisionMismatch { expected, current }, Code::FailedPrecondition),
            (Error::OutOfRange { revision: expected, floor: current, current }, Code::OutOfRange),
            (Error::EpochMismatch { expected: Epoch(1), current: Epoch(2) }, Code::FailedPrecondition),
            (Error::Precondition { key: key(), reason: reason() }, Code::FailedPrecondition),
            (Error::StoreFull { store: store(), reason: reason() }, Code::ResourceExhausted),
            (Error::TooMany { what: "proxies", most: 1 }, Code::ResourceExhausted),
            (Error::HeldBack { key: key(), flaps: 3, retry_after: RETRY_SOON }, Code::ResourceExhausted),
            (Error::StoreReadOnly { store: store(), reason: reason() }, Code::Unavailable),
            (Error::StoreFailed { store: store(), reason: reason() }, Code::Unavailable),
            (Error::Stopping, Code::Unavailable),
            (Error::Config(reason()), Code::Internal),
        ] {
            assert_eq!(status(error.clone()).code(), code, "{error:?}");
        }
    }

    #[test]
    fn where_waiting_helps_the_caller_learns_how_long() {
        for error in [
            Error::Stopping,
            Error::TooMany { what: "proxies", most: 1 },
            Error::HeldBack { key: key(), flaps: 3, retry_after: RETRY_SOON },
            Error::StoreFull { store: String::new(), reason: String::new() },
            Error::StoreReadOnly { store: String::new(), reason: String::new() },
        ] {
            assert!(error.is_transient());
            let retry = status(error).get_details_retry_info().and_then(|info| info.retry_delay);
            assert!(retry.is_some_and(|delay| delay >= RETRY_SOON));
        }
    }

    #[test]
    fn an_object_at_fault_is_named_with_its_owner() {
        let status = status(Error::AlreadyExists {
            key: key(),
            owner: "file set shop".to_owned(),
            field: "documents[0].services[1].name".to_owned(),
            remedy: "use another name",
        });
        assert_eq!(status.code(), Code::AlreadyExists);
        let info = status.get_details_resource_info().expect("resource info");
        assert_eq!(
            (&*info.resource_type, &*info.resource_name, &*info.owner),
            ("service", "web", "file set shop")
        );
        let field = status.get_details_bad_request().expect("the field").field_violations.remove(0).field;
        assert_eq!(field, "documents[0].services[1].name");
    }

    #[test]
    fn every_bad_field_is_listed() {
        let status = refused(vec![
            Invalid::new("a", "is bad"),
            Invalid::new("b", "too"),
            Invalid::new("c", "and this"),
        ]);
        assert_eq!(status.message(), "a: is bad (and 2 more)");
        assert_eq!(status.get_details_bad_request().expect("fields").field_violations.len(), 3);
    }

    #[test]
    fn no_status_is_too_long_for_headers() {
        let long = "\u{e4}\"".repeat(50_000);
        let key = || ObjectKey::new(ObjectKind::Route, &long);
        for status in [
            refused(vec![Invalid::new(&long, &long)]),
            refused(vec![Invalid::new("documents[0].services[0].name", "is bad".repeat(10)); 100]),
            status(Error::Forbidden(Invalid::new(&long, &long))),
            status(Error::NotFound { key: key() }),
            status(Error::Precondition { key: key(), reason: long.clone() }),
            status(Error::AlreadyExists { key: key(), owner: long.clone(), field: long.clone(), remedy: "" }),
        ] {
            let headers = status.message().len() * 3 + status.details().len() * 4 / 3;
            assert!(headers < 8 << 10, "{headers} bytes: {}", status.message());
            let named = status.get_details_bad_request().map_or(1, |fields| fields.field_violations.len());
            assert!(named > 0, "{status:?}");
        }
    }

    #[test]
    fn a_fault_of_ours_tells_only_its_number() {
        let status = status(Error::Config("secret".to_owned()));
        assert!(!status.message().contains("secret") && status.message().contains("log"), "{status}");
    }
}
