//! How a message says where it ends: RFC 9112 sections 6.1 and 6.3, on the strict side.

use http::{HeaderMap, header};

/// What `Transfer-Encoding` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// There is none.
    None,
    /// The one that belongs to the hop, and ends with it.
    Chunked,
    /// Others before it, which we can neither undo nor pass on.
    Unknown,
    /// What two readers may read in two ways.
    Invalid,
}

impl Coding {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut fields = headers.get_all(header::TRANSFER_ENCODING).into_iter();
        let field = match (fields.next(), fields.next()) {
            (None, _) => return Self::None,
            (Some(field), None) => field.as_bytes(),
            (Some(_), Some(_)) => return Self::Invalid,
        };
        if field.eq_ignore_ascii_case(b"chunked") {
            return Self::Chunked;
        }
        let is_token = |coding: &[u8]| {
            !coding.is_empty()
                && coding.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        };
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let mut codings: Vec<_> = field.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
        let last = codings.pop().unwrap_or_default();
        let others_fit = codings.iter().all(|coding| is_token(coding) && !is_chunked(coding));
        if is_chunked(last) && others_fit && !codings.is_empty() { Self::Unknown } else { Self::Invalid }
    }
}

/// Whether the end of a response can be told in one way only, and nothing is lost with what belongs to the hop.
pub(crate) fn is_plain_response(headers: &HeaderMap) -> bool {
    match Coding::of(headers) {
        Coding::None => true,
        Coding::Chunked => !headers.contains_key(header::CONTENT_LENGTH),
        Coding::Unknown | Coding::Invalid => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_chunked_is_chunked() {
        for (fields, expected) in [
            (&[][..], Coding::None),
            (&["Chunked"], Coding::Chunked),
            (&["gzip, chunked"], Coding::Unknown),
            (&["chunked", "chunked"], Coding::Invalid),
            (&["chunked, chunked"], Coding::Invalid),
            (&["chunked, gzip"], Coding::Invalid),
            (&[",chunked"], Coding::Invalid),
            (&["xchunked"], Coding::Invalid),
            (&["gz ip, chunked"], Coding::Invalid),
            (&["gzip"], Coding::Invalid),
            (&[""], Coding::Invalid),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::TRANSFER_ENCODING, HeaderValue::from_static(field));
            }
            assert_eq!(Coding::of(&headers), expected, "{fields:?}");
        }
    }
}
