//! Who relayed a message, and whether we have seen it before: RFC 9110 section 7.6.3.

use http::{HeaderMap, HeaderValue, Version, header};

const NAME: &str = "weir";

/// Adds ourselves, with the version of the message as it was received.
pub(super) fn add(headers: &mut HeaderMap, version: Version) {
    let value = if version == Version::HTTP_10 { "1.0 weir" } else { "1.1 weir" };
    headers.append(header::VIA, HeaderValue::from_static(value));
}

/// Whether the request has been here.
pub(crate) fn is_loop(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::VIA).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|entry| {
        let received_by = entry.split_whitespace().nth(1);
        received_by.is_some_and(|name| name.eq_ignore_ascii_case(NAME))
    })
}
