//! Who relayed a message, and whether we have seen it before: RFC 9110 section 7.6.3.

use http::{HeaderMap, HeaderValue, Version, header};
use weir_proto::ProxyId;
use xxhash_rust::xxh3::xxh3_64;

/// The name that this proxy goes by in `Via`: `weir-` and twelve hexadecimal digits, a hash of its id. So it is the
/// same after a restart, tells nobody the host's name, and another proxy is no loop.
#[derive(Debug)]
pub(crate) struct Pseudonym {
    name: String,
    received_1_0: HeaderValue,
    received_1_1: HeaderValue,
}

impl Pseudonym {
    pub(crate) fn of(id: &ProxyId) -> Self {
        let name = format!("weir-{:012x}", xxh3_64(id.as_str().as_bytes()) >> 16);
        let value = |version| {
            HeaderValue::try_from(format!("{version} {name}"))
                .unwrap_or_else(|e| unreachable!("made of letters, digits and a hyphen: {e}"))
        };
        Self { received_1_0: value("1.0"), received_1_1: value("1.1"), name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Adds ourselves, with the version of the message as it was received.
    pub(super) fn add(&self, headers: &mut HeaderMap, version: Version) {
        let value = if version == Version::HTTP_10 { &self.received_1_0 } else { &self.received_1_1 };
        headers.append(header::VIA, value.clone());
    }

    /// Whether the message has been here.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(header::VIA).into_iter().filter_map(|value| value.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|entry| {
            let received_by = entry.split_whitespace().nth(1);
            received_by.is_some_and(|name| name.eq_ignore_ascii_case(&self.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pseudonym(id: &str) -> Pseudonym {
        Pseudonym::of(&ProxyId::try_from(id).unwrap())
    }

    #[test]
    fn each_proxy_has_its_own_for_ever() {
        assert_eq!(pseudonym("edge-1").name(), "weir-e92714c0274f");
        assert_ne!(pseudonym("edge-1").name(), pseudonym("edge-2").name());
    }

    #[test]
    fn a_loop_is_noticed_whatever_stands_around_our_name() {
        let us = pseudonym("edge-1");
        let name = us.name();
        for (via, expected) in [
            (format!("1.1 {name}"), true),
            (format!("1.0 other, HTTP/1.1 {} (comment)", name.to_uppercase()), true),
            (format!("1.1 {}, 1.1 {name}", pseudonym("inner-1").name()), true),
            (format!("1.1 {}", pseudonym("inner-1").name()), false),
            (format!("1.1 {name}er"), false),
            (format!("1.1 other ({name})"), false),
            ("1.1 weir".to_owned(), false),
        ] {
            let headers = HeaderMap::from_iter([(header::VIA, HeaderValue::try_from(&via).unwrap())]);
            assert_eq!(us.is_in(&headers), expected, "{via}");
        }
    }
}
