//! Whom a request is for: its Host field, or the authority of its target.

use std::{borrow::Cow, net::Ipv6Addr};

use http::Version;

use crate::{
    message::{Name, RequestHead},
    reason::Reason,
};

/// What a `Host` field says. It borrows from the head: whoever changes that first copies what is still needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host<'a> {
    /// As it was received: what the backend is sent.
    pub(crate) value: &'a str,
    /// In lower case, without the port and without a dot at the end: what routes are compared with.
    pub(crate) name: Cow<'a, str>,
}

impl<'a> Host<'a> {
    /// In HTTP/1, the target's authority replaces the field (RFC 9112 section 3.2.2), but does not excuse its absence.
    /// In HTTP/2, either is enough, and they must agree (RFC 9113 section 8.3.1).
    pub(crate) fn of(head: &'a RequestHead) -> Result<Self, Reason> {
        let mut fields = head.fields.all(Name::Host);
        let field = match (fields.next(), fields.next()) {
            (Some(_), Some(_)) => return Err(Reason::HostRepeated),
            (field, _) => field.map(Self::parse).transpose()?,
        };
        let authority = head.authority().map(|authority| Self::parse(authority.as_bytes())).transpose()?;
        match (authority, field) {
            (Some(authority), Some(field))
                if head.version == Version::HTTP_2 && !authority.value.eq_ignore_ascii_case(field.value) =>
            {
                Err(Reason::HostInvalid)
            }
            (Some(authority), Some(_)) => Ok(authority),
            (None, Some(field)) => Ok(field),
            (Some(authority), None) if head.version != Version::HTTP_11 => Ok(authority),
            // RFC 9110 section 7.2: without an authority, Host is sent empty.
            (None, None) if head.version == Version::HTTP_10 => {
                Ok(Self { value: "", name: Cow::Borrowed("") })
            }
            (_, None) => Err(Reason::HostMissing),
        }
    }

    fn parse(value: &'a [u8]) -> Result<Self, Reason> {
        let value = str::from_utf8(value).map_err(|_| Reason::HostInvalid)?;
        let (name, seen) = name(value).ok_or(Reason::HostInvalid)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        let name =
            if seen & CAPITAL == 0 { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) };
        Ok(Self { value, name })
    }
}

/// A byte that no name has.
const BAD: u8 = 1;
/// A byte that another one stands for when names are compared.
const CAPITAL: u8 = 2;

/// The kind of each byte in a name: a look at a table, because every request has one.
const BYTES: [u8; 256] = {
    let mut table = [BAD; 256];
    let mut byte = b'%';
    while byte <= b'~' {
        table[byte as usize] = match byte {
            b'A'..=b'Z' => CAPITAL,
            b'0'..=b'9' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'~' | b'%' => 0,
            _ => BAD,
        };
        byte += 1;
    }
    table
};

/// The part before the port, if the whole is `host`, `host:port`, `[IPv6]` or `[IPv6]:port`, and what is in it. RFC 3986
/// section 3.2.2, without what names of the Internet never have.
fn name(text: &str) -> Option<(&str, u8)> {
    let (end, seen) = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        text[1..end - 1].parse::<Ipv6Addr>().ok()?;
        (end, CAPITAL)
    } else {
        let (mut end, mut seen) = (0, 0);
        for byte in text.bytes().take_while(|byte| *byte != b':') {
            seen |= BYTES[usize::from(byte)];
            end += 1;
        }
        if end == 0 || seen & BAD != 0 {
            return None;
        }
        (end, seen)
    };
    let (host, port) = text.split_at(end);
    let port_is_good = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some("") => true,
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
    };
    port_is_good.then_some((host, seen))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(version: Version, authority: Option<&str>, fields: &[&str]) -> Result<(String, String), Reason> {
        let mut head = RequestHead::default();
        head.version = version;
        if let Some(authority) = authority {
            head.set_authority(authority);
        }
        for field in fields {
            head.fields.push_spelled(b"Host", field.as_bytes());
        }
        Host::of(&head).map(|host| (host.value.to_owned(), host.name.into_owned()))
    }

    fn texts(value: &str, name: &str) -> (String, String) {
        (value.to_owned(), name.to_owned())
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
            assert_eq!(host(Version::HTTP_11, None, &[field]), Ok(texts(field, name)), "{field}");
        }
    }

    #[test]
    fn bad_hosts_are_refused() {
        for field in [
            "", "a b", "user@a", "a/b", "a,b", "a:b", "a:99999", "a:80:80", ":80", "[::1", "[::1]x", "[x]",
            "a#", "a?", "a\u{e4}",
        ] {
            for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                assert_eq!(host(version, None, &[field]), Err(Reason::HostInvalid), "{field}");
                assert_eq!(host(version, Some("a"), &[field]), Err(Reason::HostInvalid), "{field}");
                assert_eq!(host(version, Some(field), &["a"]), Err(Reason::HostInvalid), "{field}");
            }
        }
        assert_eq!(host(Version::HTTP_11, None, &["a", "a"]), Err(Reason::HostRepeated));
        assert_eq!(host(Version::HTTP_11, None, &[]), Err(Reason::HostMissing));
        assert_eq!(host(Version::HTTP_10, None, &[]), Ok(texts("", "")));
    }

    #[test]
    fn the_targets_authority_replaces_the_field() {
        let target = Some("Shop.Example:81");
        assert_eq!(host(Version::HTTP_11, target, &["other"]), Ok(texts("Shop.Example:81", "shop.example")));
        assert_eq!(host(Version::HTTP_11, target, &[]), Err(Reason::HostMissing));
        assert_eq!(host(Version::HTTP_10, target, &[]), Ok(texts("Shop.Example:81", "shop.example")));
        assert_eq!(host(Version::HTTP_11, Some("user@a"), &["a"]), Err(Reason::HostInvalid));
    }

    #[test]
    fn in_http_2_the_authority_and_the_field_agree() {
        assert_eq!(host(Version::HTTP_2, Some("a"), &[]), Ok(texts("a", "a")));
        assert_eq!(host(Version::HTTP_2, None, &["a"]), Ok(texts("a", "a")));
        assert_eq!(host(Version::HTTP_2, Some("a:80"), &["A:80"]), Ok(texts("a:80", "a")));
        assert_eq!(host(Version::HTTP_2, Some("a"), &["b"]), Err(Reason::HostInvalid));
        assert_eq!(host(Version::HTTP_2, None, &[]), Err(Reason::HostMissing));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in "\\PC{0,40}") {
            let judged = name(&text);
            prop_assert!(judged.is_none_or(|(name, _)| text.starts_with(name)));
        }
    }
}
