//! Whom a request is for: its Host field, or the authority of its target.

use std::net::Ipv6Addr;

use http::{HeaderValue, Uri, Version, header, request::Parts};

use crate::reason::Reason;

/// What a `Host` field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// As it was received: what the backend is sent.
    pub(crate) value: HeaderValue,
    /// In lower case, without the port and without a dot at the end: what routes are compared with.
    pub(crate) name: String,
}

impl Host {
    /// The target's authority replaces the field (RFC 9112 section 3.2.2), but does not excuse its absence.
    pub(crate) fn of(request: &Parts) -> Result<Self, Reason> {
        let mut fields = request.headers.get_all(header::HOST).into_iter();
        let field = match (fields.next(), fields.next()) {
            (Some(field), None) => Self::parse(field)?,
            (Some(_), Some(_)) => return Err(Reason::HostRepeated),
            // RFC 9110 section 7.2: without an authority, Host is sent empty.
            (None, _) if request.version == Version::HTTP_10 => {
                Self { value: HeaderValue::from_static(""), name: String::new() }
            }
            (None, _) => return Err(Reason::HostMissing),
        };
        Self::of_target(&request.uri).unwrap_or(Ok(field))
    }

    fn of_target(uri: &Uri) -> Option<Result<Self, Reason>> {
        let authority = uri.authority()?;
        let value = HeaderValue::try_from(authority.as_str()).map_err(|_| Reason::HostInvalid);
        Some(value.and_then(|value| Self::parse(&value)))
    }

    fn parse(value: &HeaderValue) -> Result<Self, Reason> {
        let text = value.to_str().map_err(|_| Reason::HostInvalid)?;
        let name = name(text).ok_or(Reason::HostInvalid)?;
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        Ok(Self { value: value.clone(), name })
    }
}

/// The part before the port, if the whole is `host`, `host:port`, `[IPv6]` or `[IPv6]:port`. RFC 3986 section 3.2.2,
/// without what names of the Internet never have.
fn name(text: &str) -> Option<&str> {
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        text[1..end - 1].parse::<Ipv6Addr>().ok()?;
        text.split_at(end)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let (host, port) = text.split_at(end);
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte);
        if host.is_empty() || !host.bytes().all(good) {
            return None;
        }
        (host, port)
    };
    let port_is_good = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some("") => true,
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
    };
    port_is_good.then_some(host)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn host(version: Version, target: &str, fields: &[&str]) -> Result<(String, String), Reason> {
        let mut builder = Request::builder().version(version).uri(target);
        for field in fields {
            builder = builder.header("host", *field);
        }
        let host = Host::of(&builder.body(()).unwrap().into_parts().0)?;
        Ok((host.value.to_str().unwrap().to_owned(), host.name))
    }

    #[test]
    fn good_hosts_lose_case_and_port_for_routing_only() {
        for (field, name) in [
            ("Shop.Example", "shop.example"),
            ("shop.example:8080", "shop.example"),
            ("shop.example.", "shop.example"),
            ("shop.example:", "shop.example"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("a_b", "a_b"),
        ] {
            assert_eq!(
                host(Version::HTTP_11, "/", &[field]),
                Ok((field.to_owned(), name.to_owned())),
                "{field}"
            );
        }
    }

    #[test]
    fn bad_hosts_are_refused() {
        for field in [
            "", "a b", "user@a", "a/b", "a,b", "a:b", "a:99999", "a:80:80", ":80", "[::1", "[::1]x", "[x]",
            "a#", "a?",
        ] {
            assert_eq!(host(Version::HTTP_11, "/", &[field]), Err(Reason::HostInvalid), "{field}");
        }
        assert_eq!(host(Version::HTTP_11, "/", &["a", "a"]), Err(Reason::HostRepeated));
        assert_eq!(host(Version::HTTP_11, "/", &[]), Err(Reason::HostMissing));
        assert_eq!(host(Version::HTTP_10, "/", &[]), Ok((String::new(), String::new())));
    }

    #[test]
    fn the_targets_authority_replaces_the_field() {
        let target = "http://Shop.Example:81/";
        let expected = Ok(("Shop.Example:81".to_owned(), "shop.example".to_owned()));
        assert_eq!(host(Version::HTTP_11, target, &["other"]), expected);
        assert_eq!(host(Version::HTTP_11, target, &[]), Err(Reason::HostMissing));
        assert_eq!(host(Version::HTTP_11, "http://user@a/", &["a"]), Err(Reason::HostInvalid));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in "\\PC{0,40}") {
            let judged = name(&text);
            prop_assert!(judged.is_none_or(|name| text.starts_with(name)));
        }
    }
}
