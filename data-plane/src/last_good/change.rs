//! The bytes of a change that follows a copy, or another change, in the same file:
//!
//! ```text
//! length     u32      of the body
//! body                epoch u64, revision u64, digest u64: where it leads, then four lists as in a copy:
//!                     new or changed objects, objects that are gone (level 0, no body),
//!                     and the same two of the forms in force of objects that are refused
//! checksum   u64      XXH3-64 of length and body, seeded with the checksum before: a change fits in one place only
//! ```

use std::collections::HashSet;

use weir_proto::{Digest, Epoch, Revision};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    LastGood,
    format::{Input, write_objects},
};
use crate::objects::{Objects, Position, Received, ReceivedKey};

/// The change from one copy to another, which differ in these objects. `chain` is that of what it follows.
pub(super) fn encode(old: &LastGood, new: &LastGood, keys: &HashSet<ReceivedKey>, chain: u64) -> Vec<u8> {
    let mut out = vec![0; 4];
    let Position { epoch, revision, digest } = new.state.position;
    for number in [epoch.0, revision.0, digest.0] {
        out.extend(number.to_le_bytes());
    }
    write_difference(&mut out, &new.state.objects, keys.iter());
    write_difference(&mut out, &new.previous, old.previous.changed(&new.previous).iter());
    // A message holds far less than 4 GiB, and what is much larger than a message is written as a copy.
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_le_bytes());
    let checksum = xxh3_64_with_seed(&out, chain);
    out.extend(checksum.to_le_bytes());
    out
}

/// The checksum at the end of a copy or a change.
pub(super) fn chain(bytes: &[u8]) -> u64 {
    bytes.last_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Makes the next change in `input`, which follows what has this checksum, of the copy. Answers its own checksum; None,
/// and the copy is as it was, if there is no whole one.
pub(super) fn take(input: &mut Input<'_>, copy: &mut LastGood, before: u64) -> Option<u64> {
    let mut ahead = input.clone();
    let length = ahead.u32()?;
    ahead.take(usize::try_from(length).ok()?)?;
    let whole = input.until(&ahead);
    let checksum = ahead.u64()?;
    if xxh3_64_with_seed(whole, before) != checksum {
        return None;
    }
    let mut body = Input::new(whole.get(4..)?);
    let position =
        Position { epoch: Epoch(body.u64()?), revision: Revision(body.u64()?), digest: Digest(body.u64()?) };
    let mut next = copy.clone();
    next.state.position = position;
    read_difference(&mut body, &mut next.state.objects)?;
    read_difference(&mut body, &mut next.previous)?;
    if !body.is_empty() || next.state.objects.digest() != position.digest {
        return None;
    }
    *copy = next;
    *input = ahead;
    Some(checksum)
}

fn write_difference<'a>(out: &mut Vec<u8>, new: &Objects, keys: impl Iterator<Item = &'a ReceivedKey>) {
    let (mut upserted, mut removed) = (Objects::default(), Objects::default());
    for key in keys {
        match new.get(key) {
            Some(object) => upserted.insert(key.clone(), object.clone()),
            None => removed.insert(key.clone(), Received { body: bytes::Bytes::new(), level: 0 }),
        }
    }
    write_objects(out, &upserted);
    write_objects(out, &removed);
}

fn read_difference(body: &mut Input<'_>, objects: &mut Objects) -> Option<()> {
    for (key, object) in body.objects()?.iter() {
        objects.insert(key.clone(), object.clone());
    }
    for (key, _) in body.objects()?.iter() {
        objects.remove(key);
    }
    Some(())
}
