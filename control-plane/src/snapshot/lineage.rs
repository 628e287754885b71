//! The relation of a proxy's state to this one: by number and digest, never by number alone.

use rpds::RedBlackTreeMapSync as Map;
use weir_proto::{Digest, Revision};

use super::{Position, Snapshot};

/// Revisions whose digests are remembered: as many as removed objects by default, since a delta needs both. It is about
/// 10 MiB at most; after a start there are those that the history has kept.
pub(crate) const MOST_DIGESTS: usize = 100_000;

/// The relation of a proxy's state to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// This one is of another epoch.
    OtherEpoch,
    /// This one follows from it, or is the same.
    Earlier,
    /// It is so old that nobody remembers its digest.
    Forgotten,
    /// It is of the same epoch and newer: changes were lost here that were acknowledged.
    Ahead,
    /// It is of the same epoch, and that revision was another one here.
    Fork,
}

/// The digests of the newest revisions.
#[derive(Debug, Clone)]
pub(super) struct Digests(Map<Revision, Digest>);

impl Snapshot {
    /// What a proxy's state is to this one.
    pub(crate) fn relation(&self, theirs: Position) -> Relation {
        if theirs.epoch != self.epoch {
            return Relation::OtherEpoch;
        }
        if theirs.revision > self.revision {
            return Relation::Ahead;
        }
        match self.digests.of(theirs.revision) {
            Some(ours) if ours == theirs.digest => Relation::Earlier,
            Some(_) => Relation::Fork,
            None => Relation::Forgotten,
        }
    }

    /// Whether all that was removed since a proxy's state is known, one by one.
    pub(crate) fn knows_removals_since(&self, theirs: Position) -> bool {
        self.relation(theirs) == Relation::Earlier && theirs.revision >= self.floor
    }
}

impl Digests {
    pub(super) fn new() -> Self {
        Self(Map::new_sync())
    }

    /// Adds one, and forgets the oldest beyond the most.
    pub(super) fn add(&mut self, revision: Revision, digest: Digest) {
        self.0.insert_mut(revision, digest);
        while self.0.size() > MOST_DIGESTS
            && let Some(oldest) = self.0.first().map(|(revision, _)| *revision)
        {
            self.0.remove_mut(&oldest);
        }
    }

    fn of(&self, revision: Revision) -> Option<Digest> {
        self.0.get(&revision).copied()
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::{Epoch, v1};

    use super::*;
    use crate::{
        registry::testing::service,
        snapshot::{Draft, Marks},
    };

    /// The state after `base` in which a service has that form.
    fn after(base: &Snapshot, form: u32) -> Snapshot {
        let mut draft = Draft::new(base, 10);
        draft.put(service("web", form), v1::ObjectMeta::default());
        draft.finish().0
    }

    #[test]
    fn a_state_is_joined_by_number_and_digest_and_never_by_number_alone() {
        let first = after(&Snapshot::empty(Epoch(7)), 1);
        let (ours, theirs) = (after(&first, 2), after(&first, 3));
        assert_eq!(ours.relation(first.position()), Relation::Earlier);
        assert_eq!(ours.relation(ours.position()), Relation::Earlier);
        assert_eq!(ours.relation(theirs.position()), Relation::Fork);
        assert_eq!(first.relation(theirs.position()), Relation::Ahead);
        assert_eq!(after(&ours, 4).relation(theirs.position()), Relation::Fork, "the numbers caught up");
        assert_eq!(after(&first, 3).relation(theirs.position()), Relation::Earlier, "the same after all");
        let elsewhere = Position { epoch: Epoch(8), ..ours.position() };
        assert_eq!(ours.relation(elsewhere), Relation::OtherEpoch);
    }

    #[test]
    fn what_is_older_than_the_digests_is_neither_trusted_nor_blamed() {
        let old = after(&Snapshot::empty(Epoch(7)), 1);
        let now = after(&old, 2);
        let marks =
            Marks { epoch: Epoch(7), accepted: Revision(0), revision: now.revision(), floor: Revision(0) };
        let restored = Snapshot::restore(marks, now.entries().cloned(), [], []);
        assert_eq!(restored.relation(old.position()), Relation::Forgotten);
        assert!(!restored.knows_removals_since(old.position()));
        assert_eq!(restored.relation(now.position()), Relation::Earlier, "the newest is always known");
        let known =
            Snapshot::restore(marks, now.entries().cloned(), [], [(old.revision(), old.position().digest)]);
        assert!(known.knows_removals_since(old.position()));
    }

    #[test]
    fn the_digests_are_bounded_and_the_oldest_go_first() {
        let mut digests = Digests::new();
        for n in 1..=MOST_DIGESTS as u64 + 5 {
            digests.add(Revision(n), Digest(n));
        }
        assert_eq!(
            (digests.0.size(), digests.of(Revision(5)), digests.of(Revision(6))),
            (MOST_DIGESTS, None, Some(Digest(6)))
        );
    }

    #[test]
    fn a_new_epoch_begins_with_the_same_objects_and_is_not_accepted() {
        let mut draft = Draft::new(&after(&Snapshot::empty(Epoch(7)), 1), 10);
        draft.accept_epoch();
        let before = draft.finish().0;
        let mut draft = Draft::new(&before, 10);
        draft.begin_epoch();
        let (begun, touched) = draft.finish();
        assert!(touched.urgent && !touched.is_empty());
        assert_ne!(begun.position().epoch, before.position().epoch);
        assert_eq!((begun.revision(), begun.position().digest), (Revision(3), before.position().digest));
        assert_eq!((begun.epoch_accepted(), begun.accepted()), (false, Revision(0)));
        assert_eq!(begun.relation(before.position()), Relation::OtherEpoch);
    }
}
