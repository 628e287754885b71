//! Fields between our own form and the map that HTTP/2's codec takes and gives.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::message::{Fields, Name, length};

/// A message that must not be taken for one: RFC 9113 section 8.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The fields for a message of ours, without what HTTP/2 says in other ways. All values share one text.
pub(crate) fn to_map(fields: &Fields) -> HeaderMap {
    let mut text = Vec::with_capacity(fields.iter().map(|field| field.value.len()).sum());
    for field in fields.iter() {
        text.extend_from_slice(field.value);
    }
    let mut text = Bytes::from(text);
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields.iter() {
        let value = text.split_to(field.value.len());
        if is_of_connection(field.name) || (field.name == Name::Te && &value[..] != b"trailers") {
            continue;
        }
        let name = match known(field.name) {
            Some(name) => name,
            None => match HeaderName::from_bytes(field.spelling) {
                Ok(name) => name,
                Err(_) => continue,
            },
        };
        // Both were checked when they came: nothing is lost here.
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            map.append(name, value);
        }
    }
    map
}

/// Adds what came to `fields`, every byte of it checked once more: what HTTP/2 can carry, HTTP/1 must not always see.
pub(crate) fn from_map(map: &HeaderMap, fields: &mut Fields) -> Result<(), Malformed> {
    for (name, value) in map {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        if !is_name(name) || !is_value(value) {
            return Err(Malformed);
        }
        let known = Name::of(name);
        if is_of_connection(known) || (known == Name::Te && value != b"trailers") {
            return Err(Malformed);
        }
        match known {
            Name::Other | Name::Alias => fields.push_spelled(name, value),
            known => fields.push(known, value),
        }
    }
    Ok(())
}

/// The one `Content-Length` there may be, which then stands in `fields` as the number that was understood.
pub(crate) fn content_length(fields: &mut Fields) -> Result<Option<u64>, Malformed> {
    let mut values = fields.all(Name::ContentLength);
    let Some(value) = values.next() else { return Ok(None) };
    let padded = length::is_padded(value);
    let length = length::length(value).filter(|_| values.next().is_none()).ok_or(Malformed)?;
    drop(values);
    if padded {
        length::write(fields, length);
    }
    Ok(Some(length))
}

/// Fields that HTTP/2 has no place for: RFC 9113 section 8.2.2.
fn is_of_connection(name: Name) -> bool {
    matches!(
        name,
        Name::Connection | Name::KeepAlive | Name::ProxyConnection | Name::TransferEncoding | Name::Upgrade
    )
}

/// A token in lower case.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(byte)
        })
}

/// No control characters but tabs, and no blanks around it.
fn is_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_blank(value.first())
        && !is_blank(value.last())
        && value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}

/// Names that need not be looked up.
fn known(name: Name) -> Option<HeaderName> {
    Some(match name {
        Name::Authorization => header::AUTHORIZATION,
        Name::CacheControl => header::CACHE_CONTROL,
        Name::ContentEncoding => header::CONTENT_ENCODING,
        Name::ContentLength => header::CONTENT_LENGTH,
        Name::ContentType => header::CONTENT_TYPE,
        Name::Cookie => header::COOKIE,
        Name::Date => header::DATE,
        Name::Host => header::HOST,
        Name::SetCookie => header::SET_COOKIE,
        Name::Te => header::TE,
        Name::Via => header::VIA,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push_spelled(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn lines(fields: &Fields) -> Vec<(String, String)> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        fields.iter().map(|field| (text(field.spelling), text(field.value))).collect()
    }

    #[test]
    fn what_belongs_to_a_connection_is_left_out() {
        let map = to_map(&fields(&[
            ("Connection", "te, x"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "websocket"),
            ("Keep-Alive", "3"),
            ("Proxy-Connection", "close"),
            ("TE", "gzip"),
            ("TE", "trailers"),
            ("X-A", "1"),
            ("X-A", "2"),
        ]));
        let mut back = Fields::default();
        assert_eq!(from_map(&map, &mut back), Ok(()));
        let expected = [("te", "trailers"), ("x-a", "1"), ("x-a", "2")];
        assert_eq!(lines(&back), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_http1_must_not_see_is_malformed() {
        for (name, value) in [
            ("connection", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("keep-alive", "1"),
            ("proxy-connection", "x"),
            ("te", "gzip"),
            ("x", " a"),
            ("x", "a "),
            ("x", "\ta"),
        ] {
            let mut map = HeaderMap::new();
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            assert_eq!(from_map(&map, &mut Fields::default()), Err(Malformed), "{name}: {value:?}");
        }
    }

    #[test]
    fn only_one_plain_number_is_a_length() {
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&["0"], Ok(Some(0))),
            (&["5"], Ok(Some(5))),
            (&["9223372036854775807"], Ok(Some(i64::MAX as u64))),
            (&["9223372036854775808"], Err(Malformed)),
            (&["5", "5"], Err(Malformed)),
            (&["5, 5"], Err(Malformed)),
            (&["+5"], Err(Malformed)),
            (&["-1"], Err(Malformed)),
            (&["0x5"], Err(Malformed)),
            (&[""], Err(Malformed)),
        ] {
            let values: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
            assert_eq!(content_length(&mut fields(&values)), expected, "{values:?}");
        }
    }

    #[test]
    fn a_length_goes_on_as_the_number_that_was_understood() {
        let mut fields = fields(&[("x", "y"), ("content-length", "0200")]);
        assert_eq!(content_length(&mut fields), Ok(Some(200)));
        let expected = [("x", "y"), ("content-length", "200")];
        assert_eq!(lines(&fields), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    proptest! {
        #[test]
        fn whatever_is_let_through_is_fit_for_http1(
            lines in prop::collection::vec(("[!-~]{1,8}", prop::collection::vec(any::<u8>(), 0..9)), 0..9)
        ) {
            let mut map = HeaderMap::new();
            for (name, value) in &lines {
                if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
                    map.append(name, value);
                }
            }
            let mut fields = Fields::default();
            if from_map(&map, &mut fields).is_ok() {
                for field in fields.iter() {
                    prop_assert!(!field.value.iter().any(|byte| b"\r\n\0".contains(byte)));
                    prop_assert_eq!(field.value.trim_ascii(), field.value);
                    prop_assert!(field.spelling.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':'));
                }
                prop_assert_eq!(to_map(&fields), map);
            }
        }
    }
}
