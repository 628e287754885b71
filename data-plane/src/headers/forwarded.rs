//! Where the request came from, in the fields that backends read. Clients are not believed: what they say is replaced.

use http::{HeaderMap, HeaderName, HeaderValue};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// `X-Forwarded-*`, `Forwarded` and `X-Real-IP`, also with `_` for `-`: many servers take both for the same.
pub(super) fn is_forwarded(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    let same = |name: &[u8], text: &[u8]| {
        let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte };
        name.iter().map(|byte| dashed(*byte)).eq(text.iter().copied())
    };
    match name.first() {
        Some(b'f') => same(name, b"forwarded"),
        Some(b'x') => {
            same(name, b"x-real-ip") || name.get(..12).is_some_and(|start| same(start, b"x-forwarded-"))
        }
        _ => false,
    }
}

pub(super) fn add(headers: &mut HeaderMap, peer: &HeaderValue, host: HeaderValue) {
    headers.insert(FOR, peer.clone());
    headers.insert(PROTO, HeaderValue::from_static("http"));
    headers.insert(HOST, host);
}
