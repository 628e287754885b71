//! The digest of a configuration: see `Position.digest` in `discovery.proto`.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

use crate::ObjectKey;

/// A sum of object hashes: adding and removing an object is O(its size), in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(pub u64);

impl Digest {
    /// The digest with one object more.
    #[must_use]
    pub fn with(self, key: &ObjectKey, body: &[u8]) -> Self {
        Self(self.0.wrapping_add(Self::of(key.kind as u8, &key.name, body).0))
    }

    /// The digest with one object less.
    #[must_use]
    pub fn without(self, key: &ObjectKey, body: &[u8]) -> Self {
        Self(self.0.wrapping_sub(Self::of(key.kind as u8, &key.name, body).0))
    }

    /// The digest of one object alone. Takes any kind, also one that this version does not know: it counts all the
    /// same.
    #[must_use]
    pub fn of(kind: u8, name: &str, body: &[u8]) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(&[kind]);
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
        hasher.update(body);
        Self(hasher.digest())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ObjectKind;

    fn object() -> impl Strategy<Value = (ObjectKey, Vec<u8>)> {
        (prop_oneof![Just(ObjectKind::Service), Just(ObjectKind::Backend)], "[a-z]{1,4}", any::<Vec<u8>>())
            .prop_map(|(kind, name, body)| (ObjectKey::new(kind, &name), body))
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_removal_undoes(objects in prop::collection::vec(object(), 0..20), extra in object()) {
            let forward = objects.iter().fold(Digest::default(), |d, (k, b)| d.with(k, b));
            let backward = objects.iter().rev().fold(Digest::default(), |d, (k, b)| d.with(k, b));
            prop_assert_eq!(forward, backward);
            prop_assert_eq!(forward.with(&extra.0, &extra.1).without(&extra.0, &extra.1), forward);
        }
    }

    #[test]
    fn the_value_is_part_of_the_contract() {
        let key = ObjectKey::new(ObjectKind::Service, "web");
        assert_eq!(Digest::default().with(&key, b"body").to_string(), "c291ca22dd9e4fc4");
        assert_ne!(Digest::default().with(&key, b"body"), Digest::default().with(&key, b"bodz"));
    }
}
