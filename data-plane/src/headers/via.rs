//! Who relayed a message, and whether we have seen it before: RFC 9110 section 7.6.3.

use http::Version;
use weir_proto::ProxyId;
use xxhash_rust::xxh3::xxh3_64;

use super::tokens;
use crate::message::{Fields, Name};

/// The name that this proxy goes by in `Via`: `weir-` and twelve hexadecimal digits, a hash of its id. So it is the
/// same after a restart, tells nobody the host's name, and another proxy is no loop.
#[derive(Debug)]
pub(crate) struct Pseudonym {
    name: String,
    received_1_0: String,
    received_1_1: String,
    received_2_0: String,
}

impl Pseudonym {
    pub(crate) fn of(id: &ProxyId) -> Self {
        let name = format!("weir-{:012x}", xxh3_64(id.as_str().as_bytes()) >> 16);
        Self {
            received_1_0: format!("1.0 {name}"),
            received_1_1: format!("1.1 {name}"),
            received_2_0: format!("2.0 {name}"),
            name,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Adds ourselves, with the version of the message as it was received.
    pub(super) fn add(&self, fields: &mut Fields, version: Version) {
        let value = match version {
            Version::HTTP_10 => &self.received_1_0,
            Version::HTTP_2 => &self.received_2_0,
            _ => &self.received_1_1,
        };
        fields.push(Name::Via, value.as_bytes());
    }

    /// Whether the message has been here.
    pub(crate) fn is_in(&self, fields: &Fields) -> bool {
        tokens::of(fields, Name::Via).any(|entry| {
            let mut parts = entry.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
            parts.nth(1).is_some_and(|name| name.eq_ignore_ascii_case(self.name.as_bytes()))
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
    fn the_version_is_the_received_ones() {
        for (version, expected) in [
            (Version::HTTP_10, "1.0 weir-e92714c0274f"),
            (Version::HTTP_11, "1.1 weir-e92714c0274f"),
            (Version::HTTP_2, "2.0 weir-e92714c0274f"),
        ] {
            let mut fields = Fields::default();
            pseudonym("edge-1").add(&mut fields, version);
            assert_eq!(fields.get(Name::Via), Some(expected.as_bytes()));
        }
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
            let mut fields = Fields::default();
            fields.push(Name::Via, b"1.1 outer");
            fields.push(Name::Via, via.as_bytes());
            assert_eq!(us.is_in(&fields), expected, "{via}");
        }
    }
}
