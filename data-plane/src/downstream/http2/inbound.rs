//! The head of a request, from HTTP/2's codec to our own form, checked: RFC 9113 sections 8.2 and 8.3.

use http::{Method, Version, request::Parts};
use weir_proto::Limits;

use crate::{
    body::Length,
    http2::fields::{self, Malformed},
    message::{RequestHead, Scheme, is_target},
    reason::Reason,
};

/// A request that goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is none: the stream is reset.
    Reset,
    /// The client has too much under way: it may try again.
    Later,
    Answer(Reason),
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Reset
    }
}

/// Fills `head`; `ended` says that no body follows. The codec has refused much already, but not all that HTTP/1 must
/// not see.
pub(super) fn convert(
    parts: &Parts,
    ended: bool,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Length, Refusal> {
    head.version = Version::HTTP_2;
    head.method = parts.method.clone();
    // Every piece of a cookie counts, and every line of a field.
    if parts.headers.len() > limits.max_headers as usize {
        return Err(Refusal::Answer(Reason::HeaderTooLarge));
    }
    fields::from_map(&parts.headers, &mut head.fields)?;
    head.scheme = match parts.uri.scheme_str() {
        None => None,
        Some("http") => Some(Scheme::Http),
        Some("https") => Some(Scheme::Https),
        Some(_) => return Err(Refusal::Answer(Reason::SchemeUnsupported)),
    };
    if let Some(authority) = parts.uri.authority() {
        head.set_authority(authority.as_str());
    }
    match parts.uri.path_and_query() {
        Some(target) if target == "*" && parts.method != Method::OPTIONS => {
            return Err(Refusal::Answer(Reason::TargetInvalid));
        }
        Some(target) if is_path(target.as_str()) => head.set_target(target.as_str()),
        // It has none, and is refused for its method.
        None if parts.method == Method::CONNECT => head.set_target("*"),
        _ => return Err(Refusal::Reset),
    }
    match fields::content_length(&mut head.fields)? {
        // Whoever sends bytes after all is reset by the codec.
        Some(0) => Ok(Length::Empty),
        Some(_) if ended => Err(Refusal::Reset),
        Some(n) => Ok(Length::Sized(n)),
        None if ended => Ok(Length::Empty),
        None => Ok(Length::Unknown),
    }
}

/// A path, or what stands for the whole server. Where the codec has cut off a fragment, it is not seen any more.
fn is_path(target: &str) -> bool {
    (target.starts_with('/') || target == "*") && is_target(target.as_bytes())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn converted(
        target: &str,
        lines: &[(&str, &str)],
        ended: bool,
    ) -> Result<(RequestHead, Length), Refusal> {
        let mut builder = Request::builder().uri(target);
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        let parts = builder.body(()).unwrap().into_parts().0;
        let mut head = RequestHead::default();
        let limits = Limits { max_headers: 4, ..Limits::default() };
        convert(&parts, ended, &limits, &mut head).map(|length| (head, length))
    }

    #[test]
    fn the_parts_of_a_head_are_found() {
        let (head, length) = converted("https://a.example:8080/b?c", &[("x", "y")], true).unwrap();
        assert_eq!((head.target(), head.authority()), ("/b?c", Some("a.example:8080")));
        assert_eq!((head.scheme, head.version), (Some(Scheme::Https), Version::HTTP_2));
        let field = head.fields.iter().next().unwrap();
        assert_eq!((field.spelling, field.value, length), (&b"x"[..], &b"y"[..], Length::Empty));
    }

    #[test]
    fn what_is_no_request_is_reset() {
        for (target, field) in [
            ("a.example:80", ("x", "y")),
            ("/", ("connection", "close")),
            ("/", ("te", "gzip")),
            ("/", ("x", " y")),
            ("/", ("content-length", "+1")),
            ("/", ("content-length", "1")),
        ] {
            assert_eq!(converted(target, &[field], true).err(), Some(Refusal::Reset), "{target} {field:?}");
        }
        let twice = [("content-length", "1"), ("content-length", "1")];
        assert_eq!(converted("/", &twice, false).err(), Some(Refusal::Reset));
    }

    #[test]
    fn pieces_of_a_cookie_count_one_by_one() {
        let crumbs = [("cookie", "a=1"); 5];
        assert!(converted("/", &crumbs[..4], true).is_ok());
        assert_eq!(converted("/", &crumbs, true).err(), Some(Refusal::Answer(Reason::HeaderTooLarge)));
    }

    #[test]
    fn the_length_is_known_as_far_as_it_is_said() {
        let length = |lines: &[(&str, &str)], ended| converted("/", lines, ended).unwrap().1;
        assert_eq!(length(&[], true), Length::Empty);
        assert_eq!(length(&[("content-length", "0")], true), Length::Empty);
        assert_eq!(length(&[("content-length", "7")], false), Length::Sized(7));
        assert_eq!(length(&[], false), Length::Unknown);
        assert_eq!(length(&[("content-length", "0")], false), Length::Empty);
    }

    #[test]
    fn another_scheme_is_told_so() {
        let refusal = converted("ftp://a/", &[], true).err();
        assert_eq!(refusal, Some(Refusal::Answer(Reason::SchemeUnsupported)));
    }
}
