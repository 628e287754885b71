//! What a request must be to be relayed at all.

use http::{HeaderMap, HeaderValue, Method, Version, header, request::Parts, uri::Scheme};

use crate::{
    headers::{self, Coding, Host, Pseudonym, Upgrade},
    reason::Reason,
};

/// Bytes of the target.
const MAX_TARGET: usize = 8 * 1024;

/// What was found out on the way.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) host: Host,
    /// Whether the request asks for one that we relay.
    pub(super) upgrade: Upgrade,
}

/// Refuses what cannot be relayed, and counts `Max-Forwards` down. `us` is what has been here if it is in `Via`.
pub(super) fn check(request: &mut Parts, us: &Pseudonym) -> Result<Checked, Reason> {
    let host = Host::of(request)?;
    check_coding(request)?;
    check_target(request)?;
    if matches!(request.method, Method::CONNECT | Method::TRACE) {
        return Err(Reason::MethodNotAllowed);
    }
    if us.is_in(&request.headers) {
        return Err(Reason::LoopDetected);
    }
    check_expectation(request)?;
    if request.method == Method::OPTIONS {
        count_forwards(&mut request.headers)?;
    }
    let upgrade = if headers::asks_for_upgrade(request) { Upgrade::Keep } else { Upgrade::Strip };
    Ok(Checked { host, upgrade })
}

/// The host as far as it can be told, for a log that also has bad requests.
pub(super) fn host_for_log(headers: &HeaderMap) -> String {
    headers
        .get(header::HOST)
        .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
        .unwrap_or_default()
}

/// What comes through hyper is chunked in the end; what else it says must not be lost on the way.
fn check_coding(request: &Parts) -> Result<(), Reason> {
    match Coding::of(&request.headers) {
        Coding::None => Ok(()),
        Coding::Chunked if request.version != Version::HTTP_10 => Ok(()),
        Coding::Unknown => Err(Reason::CodingUnknown),
        Coding::Chunked | Coding::Invalid => Err(Reason::RequestMalformed),
    }
}

fn check_target(request: &Parts) -> Result<(), Reason> {
    let uri = &request.uri;
    if uri.path_and_query().map_or(0, |target| target.as_str().len()) > MAX_TARGET {
        return Err(Reason::UriTooLong);
    }
    match uri.scheme() {
        Some(scheme) if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS => {
            return Err(Reason::SchemeUnsupported);
        }
        // `host:port` alone is for CONNECT, which has its own answer.
        None if uri.authority().is_some() && request.method != Method::CONNECT => {
            return Err(Reason::TargetInvalid);
        }
        _ => {}
    }
    if uri.path() == "*" && request.method != Method::OPTIONS {
        return Err(Reason::TargetInvalid);
    }
    Ok(())
}

/// RFC 9110 section 10.1.1; HTTP/1.0 has no expectations.
fn check_expectation(request: &mut Parts) -> Result<(), Reason> {
    if request.version == Version::HTTP_10 {
        request.headers.remove(header::EXPECT);
        return Ok(());
    }
    let mut expectations = request.headers.get_all(header::EXPECT).into_iter();
    if expectations.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        Ok(())
    } else {
        Err(Reason::ExpectationFailed)
    }
}

/// RFC 9110 section 7.6.2. What is no number is passed on as it is.
fn count_forwards(headers: &mut HeaderMap) -> Result<(), Reason> {
    let left = headers.get(header::MAX_FORWARDS).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match left {
        Some(0) => Err(Reason::AnsweredHere),
        Some(left) => {
            headers.insert(header::MAX_FORWARDS, HeaderValue::from(left - 1));
            Ok(())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn us() -> Pseudonym {
        Pseudonym::of(&weir_proto::ProxyId::try_from("edge-1").unwrap())
    }

    fn checked(method: &str, target: &str, field: (&str, &str)) -> Result<Parts, Reason> {
        let request =
            Request::builder().method(method).uri(target).header("host", "a").header(field.0, field.1);
        let mut parts = request.body(()).unwrap().into_parts().0;
        check(&mut parts, &us()).map(|_| parts)
    }

    #[test]
    fn what_cannot_be_relayed_is_refused() {
        for (method, target, field, reason) in [
            ("CONNECT", "a:80", ("x", "y"), Reason::MethodNotAllowed),
            ("TRACE", "/", ("x", "y"), Reason::MethodNotAllowed),
            ("GET", "a:80", ("x", "y"), Reason::TargetInvalid),
            ("GET", "*", ("x", "y"), Reason::TargetInvalid),
            ("POST", "/", ("transfer-encoding", "gzip, chunked"), Reason::CodingUnknown),
            ("POST", "/", ("transfer-encoding", "chunked, chunked"), Reason::RequestMalformed),
            ("GET", "ftp://a/", ("x", "y"), Reason::SchemeUnsupported),
            ("GET", &format!("/{}", "a".repeat(MAX_TARGET)), ("x", "y"), Reason::UriTooLong),
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
            let parts = checked("OPTIONS", "/", ("max-forwards", value)).unwrap();
            parts.headers["max-forwards"].to_str().unwrap().to_owned()
        };
        assert_eq!((left("10").as_str(), left("1").as_str(), left("x").as_str()), ("9", "0", "x"));
    }
}
