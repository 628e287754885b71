//! What gRPC says in the fields of HTTP: which requests are its own, how long they may take, how they failed.
//! (gRPC over HTTP/2, `PROTOCOL-HTTP2.md` of the gRPC project.)

use std::time::Duration;

use crate::{
    message::{Fields, Name},
    reason::Reason,
};

/// Digits of a timeout.
const MAX_DIGITS: usize = 8;

/// The statuses that we give.
mod code {
    pub(super) const CANCELLED: u8 = 1;
    pub(super) const DEADLINE_EXCEEDED: u8 = 4;
    pub(super) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(super) const UNIMPLEMENTED: u8 = 12;
    pub(super) const INTERNAL: u8 = 13;
    pub(super) const UNAVAILABLE: u8 = 14;
}

/// What is to know of a request that is a call by gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// How long the client waits for the end of it, if it says so.
    pub(crate) timeout: Option<Duration>,
}

impl Call {
    pub(crate) fn of(fields: &Fields) -> Option<Self> {
        is_grpc(fields).then(|| Self { timeout: timeout(fields) })
    }
}

/// Whether a request is a call by gRPC, and reads `grpc-status`. gRPC-Web reads it elsewhere.
fn is_grpc(fields: &Fields) -> bool {
    const PREFIX: &[u8] = b"application/grpc";
    let Some(value) = fields.get(Name::ContentType) else { return false };
    match value.split_at_checked(PREFIX.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(PREFIX) && matches!(rest.first(), None | Some(b'+' | b';'))
        }
        None => false,
    }
}

/// How long the client waits for the end of the call, if it says so.
fn timeout(fields: &Fields) -> Option<Duration> {
    let (unit, digits) = fields.get(Name::GrpcTimeout)?.split_last()?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(n * 3600)),
        b'M' => Some(Duration::from_secs(n * 60)),
        b'S' => Some(Duration::from_secs(n)),
        b'm' => Some(Duration::from_millis(n)),
        b'u' => Some(Duration::from_micros(n)),
        b'n' => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

/// A timeout as a client writes it: 8 digits at most.
pub(crate) fn timeout_text(timeout: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let micros = timeout.as_micros();
    match micros {
        0..=MOST => format!("{micros}u"),
        _ if micros / 1_000 <= MOST => format!("{}m", micros / 1_000),
        _ => format!("{}S", timeout.as_secs().min(99_999_999)),
    }
}

/// The `grpc-status` of an answer of our own. A call that has run out of its own time says so; one that has run out of
/// ours can be tried again.
pub(crate) fn status(reason: Reason, client_set_timeout: bool) -> u8 {
    match reason.status().as_u16() {
        404 | 405 | 417 | 501 | 505 => code::UNIMPLEMENTED,
        408 | 499 => code::CANCELLED,
        413 | 414 | 429 | 431 => code::RESOURCE_EXHAUSTED,
        504 if client_set_timeout => code::DEADLINE_EXCEEDED,
        502..=504 => code::UNAVAILABLE,
        _ => code::INTERNAL,
    }
}

/// A text for `grpc-message`: visible ASCII and blanks as they are, all other bytes and `%` by their numbers.
pub(crate) fn message(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut message = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => message.push(char::from(byte)),
            _ => {
                let digit = |n: u8| char::from(DIGITS[usize::from(n & 15)]);
                message.extend(['%', digit(byte >> 4), digit(byte)]);
            }
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(name: Name, value: &str) -> Fields {
        let mut fields = Fields::default();
        fields.push(name, value.as_bytes());
        fields
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (value, expected) in [
            ("application/grpc", true),
            ("Application/gRPC+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(&with(Name::ContentType, value)), expected, "{value}");
        }
        assert!(!is_grpc(&Fields::default()));
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        for (value, expected) in [
            ("1H", Some(Duration::from_hours(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("30m", Some(Duration::from_millis(30))),
            ("0u", Some(Duration::ZERO)),
            ("5n", Some(Duration::from_nanos(5))),
            ("123456789S", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("+1S", None),
            ("1 S", None),
            ("-1S", None),
            ("", None),
        ] {
            assert_eq!(timeout(&with(Name::GrpcTimeout, value)), expected, "{value}");
        }
        assert_eq!(timeout(&Fields::default()), None);
    }

    #[test]
    fn a_timeout_is_written_as_it_is_read() {
        for (time, text) in [
            (Duration::ZERO, "0u"),
            (Duration::from_micros(1_500), "1500u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_hours(100), "360000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(timeout_text(time), text);
            assert!(timeout(&with(Name::GrpcTimeout, text)).is_some_and(|read| read <= time));
        }
    }

    #[test]
    fn every_failure_has_its_status() {
        for (reason, expected) in [
            (Reason::NoRoute, 12),
            (Reason::MethodNotAllowed, 12),
            (Reason::NothingConfigured, 14),
            (Reason::NoBackends, 14),
            (Reason::NoRoutableBackend, 14),
            (Reason::ConnectRefused, 14),
            (Reason::BackendReset, 14),
            (Reason::BackendMalformed, 14),
            (Reason::ConnectTimeout, 14),
            (Reason::ResponseTimeout, 14),
            (Reason::HeaderTooLarge, 8),
            (Reason::RequestBodyTimeout, 1),
            (Reason::HostInvalid, 13),
            (Reason::Internal, 13),
        ] {
            assert_eq!(status(reason, false), expected, "{}", reason.code());
        }
        assert_eq!(status(Reason::ConnectTimeout, true), 4);
        assert_eq!(status(Reason::ResponseTimeout, true), 4);
        assert_eq!(status(Reason::NoBackends, true), 14);
    }

    #[test]
    fn a_message_keeps_what_can_be_read() {
        assert_eq!(message("no route (no_route)"), "no route (no_route)");
        assert_eq!(message("100 %\r\né"), "100 %25%0D%0A%C3%A9");
    }

    /// What a client makes of a message.
    fn decoded(message: &str) -> Vec<u8> {
        let mut bytes = message.bytes();
        let mut text = Vec::new();
        while let Some(byte) = bytes.next() {
            text.push(match byte {
                b'%' => {
                    let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                }
                _ => byte,
            });
        }
        text
    }

    proptest! {
        #[test]
        fn any_text_survives(text in "\\PC{0,40}[\r\n\t\0]{0,3}%?") {
            let message = message(&text);
            prop_assert!(message.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(decoded(&message), text.as_bytes());
        }

        #[test]
        fn any_timeout_is_read_without_a_panic(value in ".{0,12}") {
            let timeout = timeout(&with(Name::GrpcTimeout, &value));
            prop_assert!(timeout.is_none() || value.len() <= MAX_DIGITS + 1);
        }
    }
}
