//! The digests of all objects, kept once for all light proxies, so that each can check what it gets and keep only a
//! position.
//!
//! A proxy at revision R needs the old digest of an object that a delta changes. That is the last one noted at or below
//! R, by whichever proxy: had the object changed after that and up to R, this proxy would have received it, and noted it.

use std::collections::HashMap;

use prost::Message;
use weir_proto::{Digest, v1};

/// How many digests of one object are remembered: proxies are no further apart.
const MOST_NOTES: usize = 32;
/// How many bodies are remembered with what they come to: so many different ones are not under way at one time.
const MOST_BODIES: usize = 4_096;

/// What a light proxy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Have {
    pub(crate) epoch: u64,
    pub(crate) revision: u64,
    pub(crate) digest: u64,
    /// The revision of the snapshot that it began with.
    base: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    epoch: u64,
    objects: HashMap<(i32, String), Vec<Note>>,
    /// By the revision it starts from, the one it leads to and its own digest: by how much a body changes the digest of
    /// the whole. The same bytes at the same place come to the same, so only the first who gets them decodes them.
    bodies: HashMap<(u64, u64, u64), u64>,
}

#[derive(Debug, Clone, Copy)]
struct Note {
    revision: u64,
    /// 0: it was not there.
    digest: u64,
}

impl Have {
    /// As it is written in messages.
    pub(crate) fn wire(self) -> v1::Position {
        v1::Position { epoch: self.epoch, revision: self.revision, digest: self.digest }
    }
}

impl Ledger {
    /// What a proxy that has this has after the delta; None if the delta does not fit, or comes to another digest.
    pub(crate) fn after(&mut self, have: Have, delta: &v1::Delta) -> Option<Have> {
        let to = delta.to?;
        if (to.epoch, delta.from_revision) != (have.epoch, have.revision) {
            return None;
        }
        let name = (have.revision, to.revision, Digest::of(0, "", &delta.body).0);
        let change = match self.bodies.get(&name) {
            Some(change) => *change,
            None => self.change(have, to.revision, &delta.body)?,
        };
        self.remember(name, change);
        let digest = have.digest.wrapping_add(change);
        (digest == to.digest).then_some(Have { revision: to.revision, digest, ..have })
    }

    /// What a page's bytes are known by. It takes a look at each of them, so it is asked for before the ledger is locked.
    pub(crate) fn name_of(body: &[u8]) -> u64 {
        Digest::of(0, "", body).0
    }

    /// The digest of a page of a snapshot, whose bytes are known by this name.
    pub(crate) fn page(&mut self, position: v1::Position, body: &[u8], name: u64) -> Option<u64> {
        if position.epoch != self.epoch {
            *self = Self { epoch: position.epoch, ..Self::default() };
        }
        let name = (u64::MAX, position.revision, name);
        if let Some(sum) = self.bodies.get(&name) {
            return Some(*sum);
        }
        let page = v1::SnapshotBody::decode(body).ok()?;
        let sum = page.objects.into_iter().map(|object| self.note(position.revision, object));
        let sum = sum.fold(0, u64::wrapping_add);
        self.remember(name, sum);
        Some(sum)
    }

    /// What a proxy has that got all pages, with these digests together.
    pub(crate) fn whole(position: v1::Position, sum: u64) -> Option<Have> {
        let v1::Position { epoch, revision, digest } = position;
        (sum == digest).then_some(Have { epoch, revision, digest, base: revision })
    }

    fn change(&mut self, have: Have, to: u64, body: &[u8]) -> Option<u64> {
        let body = v1::DeltaBody::decode(body).ok()?;
        let mut change = 0_u64;
        for object in body.upserted {
            let old = self.known(have, &(object.kind, object.name.clone()));
            change = change.wrapping_sub(old).wrapping_add(self.note(to, object));
        }
        for gone in body.removed {
            let key = (gone.kind, gone.name);
            change = change.wrapping_sub(self.known(have, &key));
            push(self.objects.entry(key).or_default(), Note { revision: to, digest: 0 });
        }
        Some(change)
    }

    fn known(&self, have: Have, key: &(i32, String)) -> u64 {
        let notes = self.objects.get(key).map_or(&[][..], Vec::as_slice);
        let mut until = notes.iter().filter(|note| (have.base..=have.revision).contains(&note.revision));
        until.next_back().map_or(0, |note| note.digest)
    }

    fn note(&mut self, revision: u64, object: v1::Object) -> u64 {
        let kind = u8::try_from(object.kind).unwrap_or_default();
        let digest = Digest::of(kind, &object.name, &object.body).0;
        push(self.objects.entry((object.kind, object.name)).or_default(), Note { revision, digest });
        digest
    }

    fn remember(&mut self, name: (u64, u64, u64), change: u64) {
        if self.bodies.len() >= MOST_BODIES {
            self.bodies.clear();
        }
        self.bodies.insert(name, change);
    }
}

/// Keeps them in the order of their revisions: another proxy may be further on.
fn push(notes: &mut Vec<Note>, note: Note) {
    let at = notes.partition_point(|other| other.revision < note.revision);
    if notes.get(at).is_none_or(|other| other.revision != note.revision) {
        notes.insert(at, note);
    }
    if notes.len() > MOST_NOTES {
        notes.remove(0);
    }
}
