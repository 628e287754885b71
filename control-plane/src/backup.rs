//! A copy of the store at one revision, in a file that no engine and no version of one matters to.
//!
//! The file begins with `WEIRBKUP` and the number of its format (four bytes, little endian). Then come records, each
//! with its length before it (four bytes) and a checksum behind it (eight: XXH3 of the encoded record, with the checksum
//! of the record before as its seed, so that none can be missing or elsewhere). The first is the header, the last one
//! says how many there were of each: a file that was cut off is no backup.

mod file;
mod make;
mod record;
mod restore;

#[cfg(test)]
mod tests;

pub(crate) use make::backup;
pub use restore::{Restore, restore};
