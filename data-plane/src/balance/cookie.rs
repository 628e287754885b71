//! Cookies by which clients come back to where they were.

use std::{fmt::Write, time::Duration};

use crate::message::{Fields, Name};

/// The value of a cookie, as `values` has it. Of several with the same name, the first.
pub(super) fn value<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    values(fields, name).next()
}

/// The values of all cookies of a name, of all lines (RFC 6265 section 4.2; HTTP/2 sends several), without quotes around
/// them. A client has several where they are of different paths or domains.
pub(super) fn values<'a>(fields: &'a Fields, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = fields.all(Name::Cookie).flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).filter_map(move |pair| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        Some(inner.unwrap_or(value))
    })
}

/// A cookie that we give: its value is a number. It stays within the site and is hidden from scripts, and one that came
/// by TLS does not leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given<'a> {
    pub(super) name: &'a str,
    pub(super) value: u64,
    pub(super) path: &'a str,
    /// None: until the client ends.
    pub(super) ttl: Option<Duration>,
}

impl Given<'_> {
    /// As `Set-Cookie` has it.
    pub(super) fn set_cookie(self, secure: bool) -> String {
        let Self { name, value, path, ttl } = self;
        let mut text = format!("{name}={value:016x}; Path={path}; HttpOnly; SameSite=Lax");
        if secure {
            text.push_str("; Secure");
        }
        if let Some(ttl) = ttl {
            // Writing to a string does not fail. Less than a second is one: 0 would delete it.
            let _ = write!(text, "; Max-Age={}", ttl.as_secs().max(1));
        }
        text
    }
}

/// The number that is a cookie's value, if it is of ours: exactly as it is written.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let text = std::str::from_utf8(value).ok()?;
    (value.len() == 16 && value.iter().all(is_hex)).then(|| u64::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[&str]) -> Fields {
        let mut fields = Fields::default();
        for line in lines {
            fields.push(Name::Cookie, line.as_bytes());
        }
        fields
    }

    #[test]
    fn a_cookie_is_found_in_any_line_and_between_others() {
        let fields = fields(&["a=1;b=\"2\" ; c= ;d", "aa=3; e=4=5", "a=6; ;;=; f=\"", "g=\"7"]);
        let of = |name| value(&fields, name).map(|value| String::from_utf8_lossy(value).into_owned());
        let expected =
            [("a", "1"), ("b", "2"), ("c", ""), ("aa", "3"), ("e", "4=5"), ("f", "\""), ("g", "\"7")];
        for (name, value) in expected {
            assert_eq!(of(name).as_deref(), Some(value), "{name}");
        }
        assert!(["d", "A", "", "b=", "x"].into_iter().all(|name| name.is_empty() || of(name).is_none()));
    }

    #[test]
    fn what_we_give_comes_back_as_it_was() {
        let given = Given { name: "k", value: 0xab, path: "/", ttl: None };
        assert_eq!(given.set_cookie(false), "k=00000000000000ab; Path=/; HttpOnly; SameSite=Lax");
        let long = Given { path: "/shop", ttl: Some(Duration::from_secs(90)), ..given };
        let text = long.set_cookie(true);
        assert_eq!(text, "k=00000000000000ab; Path=/shop; HttpOnly; SameSite=Lax; Secure; Max-Age=90");
        let (pair, _) = text.split_once(';').unwrap();
        assert_eq!(number(value(&fields(&[pair]), "k").unwrap()), Some(0xab));
    }

    #[test]
    fn what_is_not_ours_is_no_number() {
        for bad in
            ["", "ab", "00000000000000AB", "+0000000000000ab", "00000000000000ab0", "\u{e4}0000000000000"]
        {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
    }
}
