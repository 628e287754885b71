//! What a request must be to be relayed at all, whatever protocol brought it.

use http::{Method, Version};

use crate::{
    headers::{self, Pseudonym, Upgrade},
    message::{Fields, Name, RequestHead},
    reason::Reason,
};

/// What was found out on the way.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Whether the request asks for one that we relay.
    pub(crate) upgrade: Upgrade,
}

/// Refuses what cannot be relayed, and counts `Max-Forwards` down. `us` is what has been here if it is in `Via`.
pub(crate) fn check(head: &mut RequestHead, us: &Pseudonym) -> Result<Checked, Reason> {
    headers::Host::of(head)?;
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Reason::MethodNotAllowed);
    }
    if us.is_in(&head.fields) {
        return Err(Reason::LoopDetected);
    }
    check_expectation(head)?;
    if head.method == Method::OPTIONS {
        count_forwards(&mut head.fields)?;
    }
    let upgrade = if headers::asks_for_upgrade(head) { Upgrade::Keep } else { Upgrade::Strip };
    Ok(Checked { upgrade })
}

/// RFC 9110 section 10.1.1; HTTP/1.0 has no expectations.
fn check_expectation(head: &mut RequestHead) -> Result<(), Reason> {
    if head.version == Version::HTTP_10 {
        head.fields.remove(Name::Expect);
        return Ok(());
    }
    let mut expectations = head.fields.all(Name::Expect);
    if expectations.all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
        Ok(())
    } else {
        Err(Reason::ExpectationFailed)
    }
}

/// RFC 9110 section 7.6.2. What is no number is passed on as it is.
fn count_forwards(fields: &mut Fields) -> Result<(), Reason> {
    let number = |value: &[u8]| {
        let digits = value.iter().all(u8::is_ascii_digit);
        digits.then(|| std::str::from_utf8(value).ok()?.parse::<u64>().ok()).flatten()
    };
    match fields.get(Name::MaxForwards).and_then(number) {
        Some(0) => Err(Reason::AnsweredHere),
        Some(left) => {
            fields.set(Name::MaxForwards, (left - 1).to_string().as_bytes());
            Ok(())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Most, request};

    fn us() -> Pseudonym {
        Pseudonym::of(&weir_proto::ProxyId::try_from("edge-1").unwrap())
    }

    fn checked(method: &str, target: &str, field: (&str, &str)) -> Result<RequestHead, Reason> {
        let mut head = RequestHead::default();
        let text = format!("{method} {target} HTTP/1.1\r\nhost: a\r\n{}: {}\r\n\r\n", field.0, field.1);
        request::parse(text.as_bytes(), 1024, Most { bytes: 1024, fields: 100 }, &mut head)?.unwrap();
        check(&mut head, &us()).map(|_| head)
    }

    #[test]
    fn what_cannot_be_relayed_is_refused() {
        for (method, target, field, reason) in [
            ("CONNECT", "a:80", ("x", "y"), Reason::MethodNotAllowed),
            ("TRACE", "/", ("x", "y"), Reason::MethodNotAllowed),
            ("GET", "/", ("via", &format!("1.1 {}", us().name())), Reason::LoopDetected),
            ("POST", "/", ("expect", "tea"), Reason::ExpectationFailed),
            ("OPTIONS", "*", ("max-forwards", "0"), Reason::AnsweredHere),
        ] {
            assert_eq!(checked(method, target, field).err(), Some(reason), "{method} {target}");
        }
    }

    #[test]
    fn the_rest_is_let_through() {
        for (method, target, field) in [
            ("PURGE", "/", ("x", "y")),
            ("OPTIONS", "*", ("x", "y")),
            ("POST", "/", ("transfer-encoding", "chunked")),
            ("GET", "https://a/b?c", ("x", "y")),
            ("GET", "/", ("max-forwards", "0")),
            ("POST", "/", ("expect", "100-Continue")),
        ] {
            assert!(checked(method, target, field).is_ok(), "{method} {target}");
        }
    }

    #[test]
    fn forwards_are_counted_down() {
        let left = |value| {
            let head = checked("OPTIONS", "/", ("max-forwards", value)).unwrap();
            String::from_utf8(head.fields.get(Name::MaxForwards).unwrap().to_vec()).unwrap()
        };
        for (value, expected) in [("10", "9"), ("1", "0"), ("007", "6"), ("x", "x"), ("+1", "+1")] {
            assert_eq!(left(value), expected, "{value}");
        }
    }
}
