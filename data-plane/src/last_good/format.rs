//! The bytes of a last good copy. All numbers are little-endian:
//!
//! ```text
//! magic      8 bytes  "WEIRGOOD"
//! version    u32      2; 1 is the same without changes
//! epoch      u64
//! revision   u64
//! digest     u64
//! objects    u64      how many, then each: kind u8, level u32, length of name u32, name, length of body u32, body
//! previous   u64      how many, then likewise: forms in force of objects whose newest form is refused
//! checksum   u64      XXH3-64 of all before
//! changes             any number of them: see `change.rs`
//! ```

use bytes::Bytes;
use weir_proto::{Digest, Epoch, Revision};
use xxhash_rust::xxh3::xxh3_64;

use super::{LastGood, change};
use crate::objects::{Objects, Position, Received, ReceivedKey, State};

const MAGIC: &[u8; 8] = b"WEIRGOOD";
const VERSION: u32 = 2;

/// Why bytes are not a last good copy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Bad {
    #[error("it is not a copy of a configuration")]
    Foreign,
    #[error("it is of format version {0}, this program knows version {VERSION}")]
    Version(u32),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// The bytes of a copy.
pub(crate) fn encode(copy: &LastGood) -> Vec<u8> {
    let mut out = Vec::from(MAGIC);
    out.extend(VERSION.to_le_bytes());
    let position = &copy.state.position;
    for number in [position.epoch.0, position.revision.0, position.digest.0] {
        out.extend(number.to_le_bytes());
    }
    write_objects(&mut out, &copy.state.objects);
    write_objects(&mut out, &copy.previous);
    let checksum = xxh3_64(&out);
    out.extend(checksum.to_le_bytes());
    out
}

/// The copy that the bytes hold, after all the changes that follow it and are whole, and how many bytes that are: what is
/// left was not written to its end, or is damaged. An error if the copy is not as it was written.
pub(crate) fn decode(bytes: &[u8]) -> Result<(LastGood, usize), Bad> {
    let mut input = Input(bytes);
    if input.take(MAGIC.len()).is_none_or(|magic| magic != MAGIC) {
        return Err(Bad::Foreign);
    }
    let version = input.u32().ok_or(Bad::Damaged(TORN))?;
    if !(1..=VERSION).contains(&version) {
        return Err(Bad::Version(version));
    }
    let mut copy = read(&mut input).ok_or(Bad::Damaged(TORN))?;
    let content = Input(bytes).until(&input);
    let mut checksum = input.u64().ok_or(Bad::Damaged(TORN))?;
    if xxh3_64(content) != checksum {
        return Err(Bad::Damaged("the checksum is wrong"));
    }
    if copy.state.objects.digest() != copy.state.position.digest {
        return Err(Bad::Damaged("the digest is not that of its objects"));
    }
    while let Some(next) = change::take(&mut input, &mut copy, checksum) {
        checksum = next;
    }
    Ok((copy, bytes.len() - input.0.len()))
}

const TORN: &str = "it ends too early";

pub(super) fn write_objects(out: &mut Vec<u8>, objects: &Objects) {
    out.extend((objects.len() as u64).to_le_bytes());
    for (key, object) in objects.iter() {
        out.push(key.kind);
        out.extend(object.level.to_le_bytes());
        for part in [key.name.as_bytes(), &object.body] {
            // A message holds far less than 4 GiB, so that its parts do.
            out.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend(part);
        }
    }
}

fn read(input: &mut Input<'_>) -> Option<LastGood> {
    let position = Position {
        epoch: Epoch(input.u64()?),
        revision: Revision(input.u64()?),
        digest: Digest(input.u64()?),
    };
    let objects = input.objects()?;
    let previous = input.objects()?;
    Some(LastGood { state: State { position, objects }, previous })
}

/// What is still to be read.
#[derive(Clone)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What lies between this and a later place in the same bytes.
    pub(super) fn until(&self, later: &Self) -> &'a [u8] {
        self.0.get(..self.0.len().saturating_sub(later.0.len())).unwrap_or_default()
    }

    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    pub(super) fn objects(&mut self) -> Option<Objects> {
        let mut objects = Objects::default();
        for _ in 0..self.u64()? {
            let [kind] = self.chunk()?;
            let level = self.u32()?;
            let name = std::str::from_utf8(self.part()?).ok()?.into();
            let body = Bytes::copy_from_slice(self.part()?);
            objects.insert(ReceivedKey { kind, name }, Received { body, level });
        }
        Some(objects)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn objects() -> impl Strategy<Value = Objects> {
        let object = (any::<u8>(), "[a-z/.:é]{0,8}", any::<Vec<u8>>(), any::<u32>());
        prop::collection::vec(object, 0..8).prop_map(|list| {
            let mut objects = Objects::default();
            for (kind, name, body, level) in list {
                objects
                    .insert(ReceivedKey { kind, name: name.into() }, Received { body: body.into(), level });
            }
            objects
        })
    }

    fn copy() -> impl Strategy<Value = LastGood> {
        (any::<u64>(), any::<u64>(), objects(), objects()).prop_map(|(epoch, revision, objects, previous)| {
            let (epoch, revision) = (Epoch(epoch), Revision(revision));
            let position = Position { epoch, revision, digest: objects.digest() };
            LastGood { state: State { position, objects }, previous }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(copy in copy()) {
            let bytes = encode(&copy);
            let (read, length) = decode(&bytes).expect("readable");
            prop_assert_eq!(length, bytes.len());
            prop_assert_eq!(read.state.position, copy.state.position);
            prop_assert!(read.state.objects.changed(&copy.state.objects).is_empty());
            prop_assert!(read.previous.changed(&copy.previous).is_empty());
        }

        #[test]
        fn every_truncation_is_refused(copy in copy()) {
            let bytes = encode(&copy);
            for end in 0..bytes.len() {
                prop_assert!(decode(&bytes[..end]).is_err(), "{} of {} bytes", end, bytes.len());
            }
        }

        #[test]
        fn a_flipped_bit_is_refused(copy in copy(), at: prop::sample::Index, bit in 0..8) {
            let mut bytes = encode(&copy);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn foreign_bytes_never_panic(mut bytes: Vec<u8>, magic: bool) {
            if magic {
                bytes.splice(0..0, MAGIC.iter().copied().chain(VERSION.to_le_bytes()));
                let checksum = xxh3_64(&bytes);
                bytes.extend(checksum.to_le_bytes());
            }
            let _ = decode(&bytes);
        }

        #[test]
        fn changes_lead_from_copy_to_copy_and_what_is_torn_or_damaged_ends_them(
            copies in prop::collection::vec(copy(), 1..6),
            cut: prop::sample::Index,
            flip: Option<u8>,
        ) {
            let mut bytes = encode(&copies[0]);
            let mut ends = vec![bytes.len()];
            for pair in copies.windows(2) {
                let (old, new) = (&pair[0], &pair[1]);
                let keys = old.state.objects.changed(&new.state.objects).into_iter().collect();
                bytes.extend(change::encode(old, new, &keys, change::chain(&bytes)));
                ends.push(bytes.len());
            }
            let (read, length) = decode(&bytes).expect("readable");
            prop_assert_eq!(length, bytes.len());
            same(&read, &copies[copies.len() - 1])?;

            let at = ends[0] + cut.index(bytes.len() - ends[0] + 1);
            match flip {
                Some(bit) if at < bytes.len() => bytes[at] ^= 1_u8 << (bit % 8),
                _ => bytes.truncate(at),
            }
            let whole = ends.iter().filter(|end| **end <= at).count() - 1;
            let (read, length) = decode(&bytes).expect("the copy is whole");
            prop_assert_eq!(length, ends[whole]);
            same(&read, &copies[whole])?;
        }
    }

    fn same(a: &LastGood, b: &LastGood) -> Result<(), TestCaseError> {
        prop_assert_eq!(a.state.position, b.state.position);
        prop_assert!(a.state.objects.changed(&b.state.objects).is_empty());
        prop_assert!(a.previous.changed(&b.previous).is_empty());
        Ok(())
    }

    #[test]
    fn another_version_is_told_apart_from_damage() {
        let mut bytes = Vec::from(MAGIC);
        bytes.extend(3_u32.to_le_bytes());
        assert_eq!(decode(&bytes).map(|_| ()), Err(Bad::Version(3)));
        assert_eq!(decode(b"{}").map(|_| ()), Err(Bad::Foreign));
    }
}
