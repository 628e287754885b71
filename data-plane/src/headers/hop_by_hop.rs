//! Fields that are meant for the next hop only: RFC 9110 section 7.6.1.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The names in `Connection`; it cannot name what the message is made of.
#[derive(Debug, Default)]
pub(super) struct Nominated(Vec<HeaderName>);

/// What a `Connection` field names in vain.
const ESSENTIAL: [HeaderName; 11] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CACHE_CONTROL,
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::EXPECT,
    header::MAX_FORWARDS,
    header::VIA,
];

impl Nominated {
    pub(super) fn by(headers: &HeaderMap) -> Self {
        let names = tokens(headers, &header::CONNECTION)
            .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
            .filter(|name| !ESSENTIAL.contains(name));
        Self(names.collect())
    }

    pub(super) fn removes(&self, name: &HeaderName) -> bool {
        is_hop_by_hop(name) || self.0.contains(name)
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade"
    )
}

/// Keeps the fields whose names pass, in their order. (`HeaderMap::remove` moves the last field into the gap.)
pub(super) fn retain(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    if headers.keys().all(&keep) {
        return;
    }
    let mut kept = HeaderMap::with_capacity(headers.len());
    let mut current = None;
    for (name, value) in headers.drain() {
        // Only the first of several values comes with their name.
        if let Some(name) = name {
            current = keep(&name).then_some(name);
        }
        if let Some(name) = &current {
            kept.append(name.clone(), value);
        }
    }
    *headers = kept;
}

/// Whether `TE` says that trailers are welcome.
pub(super) fn accepts_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &header::TE).any(|token| {
        token.split(';').next().is_some_and(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
    })
}

/// The protocols in `Upgrade` but for `h2c`, if any is left.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocols: Vec<_> =
        tokens(headers, &header::UPGRADE).filter(|protocol| !protocol.eq_ignore_ascii_case("h2c")).collect();
    if protocols.is_empty() { None } else { HeaderValue::try_from(protocols.join(", ")).ok() }
}

/// Whether `Connection` says that there is an `Upgrade`.
pub(super) fn names_upgrade(headers: &HeaderMap) -> bool {
    tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// The elements of a field that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}
