//! Fields that are lists: RFC 9110 section 5.6.1.

use crate::message::{Fields, Name};

/// The elements of a list, however many fields it is spread over.
pub(super) fn of(fields: &Fields, name: Name) -> impl Iterator<Item = &[u8]> {
    fields.all(name).flat_map(split)
}

/// The elements of one value.
pub(super) fn split(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}
