//! Fields that are meant for the next hop only: RFC 9110 section 7.6.1.

use std::cell::Cell;

use super::tokens;
use crate::message::{Field, Fields, Name};

/// What `Connection` names beside what is always meant for one hop: nothing, in nearly all messages. The names in it
/// stand beside each other as in the field; it cannot name what the message is made of.
#[derive(Debug, Default)]
pub(super) struct Nominated {
    names: Vec<u8>,
    aliases: Cell<u64>,
}

impl Nominated {
    pub(super) fn by(fields: &Fields) -> Self {
        let mut names = Vec::new();
        for token in tokens::of(fields, Name::Connection).filter(|token| is_removable(token)) {
            names.extend_from_slice(token);
            names.push(b',');
        }
        Self { names, aliases: Cell::new(0) }
    }

    pub(super) fn removes(&self, field: &Field<'_>) -> bool {
        if is_hop_by_hop(field.name) {
            if field.name == Name::Alias {
                self.note_alias();
            }
            return true;
        }
        !self.names.is_empty()
            && tokens::split(&self.names).any(|name| name.eq_ignore_ascii_case(field.spelling))
    }

    pub(super) fn note_alias(&self) {
        self.aliases.set(self.aliases.get() + 1);
    }

    /// How many of those that were removed posed as another.
    pub(super) fn aliases(&self) -> u64 {
        self.aliases.get()
    }
}

/// Also what poses as such a field, or as another one that no peer may say for us.
pub(super) fn is_hop_by_hop(name: Name) -> bool {
    matches!(
        name,
        Name::Alias
            | Name::Connection
            | Name::Http2Settings
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::Te
            | Name::TransferEncoding
            | Name::Upgrade
    )
}

/// The protocols in `Upgrade` but for HTTP in any form, if any is left.
pub(super) fn protocols(fields: &Fields) -> Option<Vec<u8>> {
    let protocols: Vec<_> = tokens::of(fields, Name::Upgrade).filter(|protocol| !is_http(protocol)).collect();
    (!protocols.is_empty()).then(|| protocols.join(&b", "[..]))
}

/// By the name before a version: `h2c`, `h2-16/1`, `HTTP/2.0`.
fn is_http(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default().trim_ascii();
    name.eq_ignore_ascii_case(b"http") || matches!(name, [b'h' | b'H', b'2', ..])
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
