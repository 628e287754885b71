//! Where the request came from, in the fields that backends read. Clients are not believed: what they say is replaced.

use super::Origin;
use crate::message::{Field, Fields, Name};

/// `X-Forwarded-*`, `Forwarded` and `X-Real-IP`, also with `_` for `-`: many servers take both for the same.
pub(super) fn is_forwarded(field: &Field<'_>) -> bool {
    match (field.name, field.spelling.first()) {
        (Name::Other, Some(b'x' | b'X')) => {
            let same = |text: &[u8]| {
                let dashed = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
                field.spelling.iter().take(text.len()).map(dashed).eq(text.iter().copied())
            };
            same(b"x-forwarded-") || (field.spelling.len() == 9 && same(b"x-real-ip"))
        }
        (Name::Other, _) => false,
        (name, _) => matches!(
            name,
            Name::Forwarded
                | Name::XForwardedFor
                | Name::XForwardedHost
                | Name::XForwardedProto
                | Name::XRealIp
        ),
    }
}

pub(super) fn add(fields: &mut Fields, origin: &Origin<'_>) {
    fields.push(Name::XForwardedFor, origin.peer.as_bytes());
    fields.push(Name::XForwardedProto, if origin.secure { b"https" } else { b"http" });
    fields.push(Name::XForwardedHost, origin.host.as_bytes());
}
