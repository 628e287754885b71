//! How long a message says that it is: RFC 9110 section 8.6.

use super::{Fields, Name};

/// What a value of `Content-Length` says: digits alone, up to 2^63 - 1.
pub(crate) fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let number = value.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    (number <= i64::MAX.unsigned_abs()).then_some(number)
}

/// Whether not every reader takes a value for the same number: to some, a 0 before it is the mark of an octal one.
pub(crate) fn is_padded(value: &[u8]) -> bool {
    matches!(value, [b'0', _, ..])
}

/// Says `Content-Length` anew, as the number that was understood.
pub(crate) fn write(fields: &mut Fields, length: u64) {
    fields.rewrite(Name::ContentLength, length.to_string().as_bytes());
}
