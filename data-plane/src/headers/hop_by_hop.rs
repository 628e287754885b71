//! Fields that are meant for the next hop only: RFC 9110 section 7.6.1.

use super::tokens;
use crate::message::{Field, Fields, Name};

/// What `Connection` names beside what is always meant for one hop: nothing, in nearly all messages. The names in it
/// stand beside each other as in the field; it cannot name what the message is made of.
#[derive(Debug, Default)]
pub(super) struct Nominated(Vec<u8>);

impl Nominated {
    pub(super) fn by(fields: &Fields) -> Self {
        let mut names = Vec::new();
        for token in tokens::of(fields, Name::Connection).filter(|token| is_removable(token)) {
            names.extend_from_slice(token);
            names.push(b',');
        }
        Self(names)
    }

    pub(super) fn removes(&self, field: &Field<'_>) -> bool {
        is_hop_by_hop(field.name)
            || (!self.0.is_empty()
                && tokens::split(&self.0).any(|name| name.eq_ignore_ascii_case(field.spelling)))
    }
}

pub(super) fn is_hop_by_hop(name: Name) -> bool {
    matches!(
        name,
        Name::Connection
            | Name::Http2Settings
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::Te
            | Name::TransferEncoding
            | Name::Upgrade
    )
}

/// The protocols in `Upgrade` but for `h2c`, if any is left.
pub(super) fn protocols(fields: &Fields) -> Option<Vec<u8>> {
    let protocols: Vec<_> =
        tokens::of(fields, Name::Upgrade).filter(|protocol| !protocol.eq_ignore_ascii_case(b"h2c")).collect();
    (!protocols.is_empty()).then(|| protocols.join(&b", "[..]))
}

/// Whether a token of `Connection` is the name of a field that goes only because it is named there.
fn is_removable(token: &[u8]) -> bool {
    let name = Name::of(token);
    // The tokens that have a meaning of their own are by far the most.
    !token.eq_ignore_ascii_case(b"close")
        && !is_hop_by_hop(name)
        && !matches!(
            name,
            Name::Authorization
                | Name::CacheControl
                | Name::ContentEncoding
                | Name::ContentLength
                | Name::ContentType
                | Name::Cookie
                | Name::Expect
                | Name::Host
                | Name::MaxForwards
                | Name::SetCookie
                | Name::Via
        )
}
