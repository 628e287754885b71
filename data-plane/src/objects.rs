//! The configuration as it was received: every object's bytes, and their digest.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use rpds::HashTrieMapSync;
use weir_proto::{Digest, Epoch, Invalid, ObjectKey, ObjectKind, Revision, v1};

/// Names a received object. Its kind may be one that this version does not know: it counts in the digest all the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReceivedKey {
    /// `v1::ObjectKind`, or something newer.
    pub(crate) kind: u8,
    pub(crate) name: Arc<str>,
}

/// One object's bytes as received: decoding them would drop what this version does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) body: Bytes,
    /// What a proxy must know to do it justice.
    pub(crate) level: u32,
}

/// Bytes that an object takes in memory beside its name and its body, about.
pub(crate) const OBJECT_BYTES: u64 = 256;

/// A set of objects that shares structure with the sets it was made from: a copy is free, a change O(change).
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects {
    map: HashTrieMapSync<ReceivedKey, Received>,
    digest: Digest,
    bytes: u64,
}

/// Where in the history of which store a set of objects stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: Epoch,
    pub(crate) revision: Revision,
    pub(crate) digest: Digest,
}

/// A whole configuration as received. Its objects have the digest of its position.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) position: Position,
    pub(crate) objects: Objects,
}

impl Objects {
    pub(crate) fn insert(&mut self, key: ReceivedKey, object: Received) {
        self.remove(&key);
        self.digest.0 = self.digest.0.wrapping_add(hash(&key, &object));
        self.bytes += size(&key, &object);
        self.map.insert_mut(key, object);
    }

    pub(crate) fn remove(&mut self, key: &ReceivedKey) {
        if let Some(old) = self.map.get(key) {
            self.digest.0 = self.digest.0.wrapping_sub(hash(key, old));
            self.bytes -= size(key, old);
            self.map.remove_mut(key);
        }
    }

    pub(crate) fn get(&self, key: &ReceivedKey) -> Option<&Received> {
        self.map.get(key)
    }

    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn len(&self) -> usize {
        self.map.size()
    }

    /// What they take in memory, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ReceivedKey, &Received)> {
        self.map.iter()
    }

    /// The keys whose objects are new, changed or gone in `next`.
    pub(crate) fn changed(&self, next: &Self) -> Vec<ReceivedKey> {
        let upserted = next.iter().filter(|(key, object)| self.get(key) != Some(object)).map(|(key, _)| key);
        let gone = self.map.keys().filter(|key| next.get(key).is_none());
        upserted.chain(gone).cloned().collect()
    }
}

impl ReceivedKey {
    /// The key, if this version knows its kind.
    pub(crate) fn known(&self) -> Result<ObjectKey, Invalid> {
        ObjectKind::try_from(i32::from(self.kind)).map(|kind| ObjectKey { kind, name: self.name.clone() })
    }

    pub(crate) fn wire(&self) -> v1::ObjectRef {
        v1::ObjectRef { kind: self.kind.into(), name: self.name.to_string() }
    }
}

impl From<&ObjectKey> for ReceivedKey {
    fn from(key: &ObjectKey) -> Self {
        Self { kind: key.kind as u8, name: key.name.clone() }
    }
}

impl fmt::Display for ReceivedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Ok(key) => key.fmt(f),
            Err(_) => write!(f, "object {} of kind {}", self.name, self.kind),
        }
    }
}

impl TryFrom<v1::ObjectRef> for ReceivedKey {
    type Error = Invalid;

    fn try_from(wire: v1::ObjectRef) -> Result<Self, Invalid> {
        let kind = u8::try_from(wire.kind)
            .map_err(|_| Invalid::new("kind", format_args!("must be 0 to 255, is {}", wire.kind)))?;
        Ok(Self { kind, name: wire.name.into() })
    }
}

impl TryFrom<v1::Position> for Position {
    type Error = Invalid;

    fn try_from(wire: v1::Position) -> Result<Self, Invalid> {
        if wire.epoch == 0 {
            return Err(Invalid::new("position.epoch", "must not be 0"));
        }
        Ok(Self { epoch: Epoch(wire.epoch), revision: Revision(wire.revision), digest: Digest(wire.digest) })
    }
}

impl From<Position> for v1::Position {
    fn from(position: Position) -> Self {
        Self { epoch: position.epoch.0, revision: position.revision.0, digest: position.digest.0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "revision {} of epoch {}", self.revision, self.epoch)
    }
}

fn size(key: &ReceivedKey, object: &Received) -> u64 {
    OBJECT_BYTES + (key.name.len() + object.body.len()) as u64
}

fn hash(key: &ReceivedKey, object: &Received) -> u64 {
    Digest::of(key.kind, &key.name, &object.body).0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Step = (ReceivedKey, Option<Received>);

    fn step() -> impl Strategy<Value = Step> {
        (0_u8..6, "[a-c]{1,2}", prop::option::of("[xy]{0,2}")).prop_map(|(kind, name, body)| {
            let object = body.map(|b| Received { body: b.into(), level: 0 });
            (ReceivedKey { kind, name: name.into() }, object)
        })
    }

    fn take(objects: &mut Objects, steps: &[Step]) {
        for (key, object) in steps {
            match object {
                Some(object) => objects.insert(key.clone(), object.clone()),
                None => objects.remove(key),
            }
        }
    }

    proptest! {
        #[test]
        fn the_digest_is_that_of_the_content(steps in prop::collection::vec(step(), 0..40)) {
            let mut objects = Objects::default();
            take(&mut objects, &steps);
            let mut anew = Objects::default();
            for (key, object) in objects.iter() {
                anew.insert(key.clone(), object.clone());
            }
            prop_assert_eq!(objects.digest(), anew.digest());
            prop_assert_eq!((objects.len(), objects.bytes()), (anew.len(), anew.bytes()));
        }

        #[test]
        fn what_changed_leads_from_one_set_to_the_other(
            before in prop::collection::vec(step(), 0..20),
            after in prop::collection::vec(step(), 0..20),
        ) {
            let (mut one, mut two) = (Objects::default(), Objects::default());
            take(&mut one, &before);
            take(&mut two, &after);
            for key in one.changed(&two) {
                prop_assert_ne!(one.get(&key), two.get(&key));
                match two.get(&key) {
                    Some(object) => one.insert(key, object.clone()),
                    None => one.remove(&key),
                }
            }
            prop_assert_eq!(one.digest(), two.digest());
            let sorted = |o: &Objects| o.iter().map(|(k, v)| (k.clone(), v.body.clone())).collect::<BTreeMap<_, _>>();
            prop_assert_eq!(sorted(&one), sorted(&two));
        }
    }

    #[test]
    fn the_digest_is_the_contracts() {
        let key = ObjectKey::new(ObjectKind::Service, "web");
        let mut objects = Objects::default();
        objects.insert((&key).into(), Received { body: Bytes::from_static(b"body"), level: 0 });
        assert_eq!(objects.digest(), Digest::default().with(&key, b"body"));
    }
}
