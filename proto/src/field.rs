//! Names and values that stand in the head of a request, checked before anything is sent with them.

use std::{net::IpAddr, sync::Arc};

use crate::{Invalid, bounds::at_most, name::dns_name};

/// The longest name of a field, a cookie or a parameter.
const MAX_NAME: usize = 128;
/// The longest value of a field.
const MAX_VALUE: usize = 4096;
/// The longest path with its query.
const MAX_PATH: usize = 4096;

/// What frames a message or belongs to one connection (RFC 9110 sections 7.6.1, 8.6 and 10.1.1), and Host, which has a
/// place of its own. Nobody sets these but who writes the message.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A token: RFC 9110 section 5.6.2.
pub(crate) fn token(text: &str) -> Result<Arc<str>, Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("", "must not be empty"));
    }
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(*c);
    if let Some(bad) = text.chars().find(|c| !allowed(c)) {
        let known = "letters, digits and ! # $ % & ' * + - . ^ _ ` | ~";
        return Err(Invalid::new("", format_args!("may consist of {known} only, not of {bad:?}")));
    }
    at_most(text, MAX_NAME)?;
    Ok(text.into())
}

/// A field's name, in lower case.
pub(crate) fn name(text: &str) -> Result<Arc<str>, Invalid> {
    token(text).map(|name| name.to_ascii_lowercase().into())
}

/// The name of a field that we may set.
pub(crate) fn own_name(text: &str) -> Result<Arc<str>, Invalid> {
    let name = name(text)?;
    if RESERVED.contains(&&*name) {
        return Err(Invalid::new("", format_args!("{name} is for the proxy alone to set; leave it out")));
    }
    Ok(name)
}

/// A field's value: RFC 9110 section 5.5, and without blanks at its ends, which HTTP/2 refuses (RFC 9113 section 8.2.1).
pub(crate) fn value(text: String) -> Result<String, Invalid> {
    if let Some(bad) = text.chars().find(|c| c.is_ascii_control() && *c != '\t') {
        return Err(Invalid::new("", format_args!("must not contain {bad:?}")));
    }
    if text.trim_matches([' ', '\t']).len() < text.len() {
        return Err(Invalid::new("", "must neither begin nor end with a blank"));
    }
    at_most(&text, MAX_VALUE)?;
    Ok(text)
}

/// A path and its query, as in a request line.
pub(crate) fn target(text: &str) -> Result<String, Invalid> {
    if !text.starts_with('/') {
        return Err(Invalid::new("", format_args!("must start with /, {text:?} does not")));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
        let reason = format_args!("must be written as in a URL, without {bad:?}; percent-encode it");
        return Err(Invalid::new("", reason));
    }
    at_most(text, MAX_PATH)?;
    Ok(text.to_owned())
}

/// The name of a parameter of the query, as it is sent.
pub(crate) fn parameter(text: &str) -> Result<Arc<str>, Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("", "must not be empty"));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || "&=#".contains(*c)) {
        let reason = format_args!("must be written as in a URL, without {bad:?}; percent-encode it");
        return Err(Invalid::new("", reason));
    }
    at_most(text, MAX_NAME)?;
    Ok(text.into())
}

/// What a Host field says: a DNS name or an IP address, IPv6 in brackets, and a port if need be.
pub(crate) fn authority(text: &str) -> Result<String, Invalid> {
    let wrong = |why: &str| {
        let right = "must be a DNS name or an IP address, with a port if need be, as shop.example:8080";
        Invalid::new("", format_args!("{right}: {why}"))
    };
    // A colon in brackets is part of an address.
    let end = text.rfind(']').unwrap_or(0);
    let (host, port) = match text[end..].rfind(':') {
        Some(colon) => (&text[..end + colon], Some(&text[end + colon + 1..])),
        None => (text, None),
    };
    if port.is_some_and(|port| !port.bytes().all(|c| c.is_ascii_digit()) || port.parse::<u16>().is_err()) {
        return Err(wrong("what follows the last colon is no port"));
    }
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bracketed.map(str::parse::<IpAddr>) {
        Some(Ok(IpAddr::V6(_))) => {}
        Some(_) => return Err(wrong("only an IPv6 address stands in brackets")),
        None => dns_name(&host.to_ascii_lowercase()).map_err(|why| wrong(&why))?,
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens() {
        assert_eq!(name("X-User").as_deref(), Ok("x-user"));
        assert_eq!(token("SID").as_deref(), Ok("SID"));
        for bad in ["", "a b", "a:", "a\n", "ä", "a/b", "a;b", &"a".repeat(129)] {
            assert!(token(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_frames_a_message_is_not_to_be_set() {
        assert!(own_name("x-deadline").is_ok());
        for bad in ["Host", "Content-Length", "transfer-encoding", "connection", "TE", "upgrade"] {
            assert!(own_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_cannot_end_their_line() {
        for good in ["", "a b", "a\tb", "Grüße"] {
            assert!(value(good.to_owned()).is_ok(), "{good:?}");
        }
        for bad in ["a\r\nb: c", "a\nb", "a\0", "\x7f", " a", "a\t"] {
            assert!(value(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn targets_are_one_word_of_a_request_line() {
        for good in ["/", "/healthz?full=1", "/a%20b"] {
            assert!(target(good).is_ok(), "{good:?}");
        }
        for bad in ["", "healthz", "/a b", "/a#b", "/a\n", "/ä", "*"] {
            assert!(target(bad).is_err(), "{bad:?}");
        }
        assert!(parameter("user[id]").is_ok());
        for bad in ["", "a=b", "a&b", "a b"] {
            assert!(parameter(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_authority_has_a_host_and_maybe_a_port() {
        for good in ["shop.example", "Shop.Example:8080", "10.0.0.1", "10.0.0.1:80", "[::1]", "[fd00::7]:80"]
        {
            assert!(authority(good).is_ok(), "{good}");
        }
        for bad in
            ["", ":80", "a:", "a:x", "a:+1", "a:70000", "::1", "[10.0.0.1]", "[::1", "a b", "u@a", "a/"]
        {
            assert!(authority(bad).is_err(), "{bad}");
        }
    }
}
