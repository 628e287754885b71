//! Whether what a control plane offers may take the place of what the proxy has: see `SnapshotPage` and `Delta` in
//! `discovery.proto`. Pure.

use weir_proto::{
    ObjectKind,
    v1::{self, KeptOutReason as Reason},
};

use super::receive::Snapshot;
use crate::objects::{Objects, Position, State};

/// With fewer backends in force than this, their number holds nothing up: the last one may go.
const FEWEST: usize = 2;

/// The decision about a complete snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It replaces what the proxy has.
    Take,
    /// The proxy goes on with what it has.
    KeepOut(Reason),
}

/// The size of a state, and of the one in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Size {
    pub(crate) objects: usize,
    pub(crate) objects_in_force: usize,
    pub(crate) backends: usize,
    pub(crate) backends_in_force: usize,
}

impl Snapshot {
    /// Whether it may replace what the proxy has. `apart`: the proxy knows already that this epoch has another history
    /// than its own.
    pub(crate) fn judge(&self, have: Option<&State>, apart: bool) -> Verdict {
        let Some(have) = have else { return Verdict::Take };
        let (new, old) = (self.state.position, have.position);
        let size = Size::of(&self.state.objects, Some(&have.objects));
        if new.epoch != old.epoch {
            let lacks = size.lacks_objects() || size.lacks_backends();
            return if lacks && !self.epoch_accepted {
                Verdict::KeepOut(Reason::OtherEpoch)
            } else {
                Verdict::Take
            };
        }
        // The control plane knows what the proxy has, and all that was removed since.
        let follows = self.removals_from != 0 && self.removals_from == old.digest.0;
        if new.revision < old.revision {
            Verdict::KeepOut(Reason::Ahead)
        } else if is_contradicted(old, new) || apart && !follows {
            Verdict::KeepOut(Reason::Fork)
        } else if size.lacks_backends() && !follows && self.accepted_revision <= old.revision {
            Verdict::KeepOut(Reason::Shrinks)
        } else {
            Verdict::Take
        }
    }
}

/// Whether a delta leads on from another history than the proxy's. `apart`: as with [`Snapshot::judge`].
pub(crate) fn leads_astray(have: Position, to: Position, delta: &v1::Delta, apart: bool) -> bool {
    let follows = delta.from_digest == have.digest.0;
    let says_otherwise = delta.from_digest != 0 && !follows;
    says_otherwise || apart && !follows || is_contradicted(have, to)
}

/// Whether one revision has two contents.
pub(crate) fn is_contradicted(have: Position, offered: Position) -> bool {
    (have.epoch, have.revision) == (offered.epoch, offered.revision) && have.digest != offered.digest
}

impl Size {
    /// Of an offered state, beside the one in force.
    pub(crate) fn of(offered: &Objects, in_force: Option<&Objects>) -> Self {
        Self {
            objects: offered.len(),
            objects_in_force: in_force.map_or(0, Objects::len),
            backends: backends(offered),
            backends_in_force: in_force.map_or(0, backends),
        }
    }

    fn lacks_objects(self) -> bool {
        self.objects * 2 < self.objects_in_force
    }

    fn lacks_backends(self) -> bool {
        self.backends_in_force >= FEWEST && self.backends * 2 < self.backends_in_force
    }
}

fn backends(objects: &Objects) -> usize {
    objects.iter().filter(|(key, _)| i32::from(key.kind) == ObjectKind::Backend as i32).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_proto::{Digest, Epoch, Revision};

    use super::*;
    use crate::testing::{backend, control_plane::state, service};

    fn with(epoch: u64, revision: u64, backends: usize) -> State {
        let all = (0..backends).map(|n| backend("web", &format!("10.0.0.{n}:80")));
        state(epoch, revision, &std::iter::once(service("web")).chain(all).collect::<Vec<_>>())
    }

    fn snapshot(state: State) -> Snapshot {
        Snapshot { state, epoch_accepted: false, accepted_revision: Revision(0), removals_from: 0 }
    }

    fn verdict(have: &State, epoch: u64, revision: u64, backends: usize) -> Verdict {
        snapshot(with(epoch, revision, backends)).judge(Some(have), false)
    }

    #[test]
    fn another_epoch_that_lacks_too_much_is_kept_out_until_it_is_accepted() {
        let have = with(1, 7, 4);
        let out = Verdict::KeepOut(Reason::OtherEpoch);
        assert_eq!([0, 1, 2, 4].map(|n| verdict(&have, 2, 1, n)), [out, out, Verdict::Take, Verdict::Take]);
        let accepted = Snapshot { epoch_accepted: true, ..snapshot(with(2, 1, 0)) };
        assert_eq!(accepted.judge(Some(&have), false), Verdict::Take);
        assert_eq!(snapshot(state(2, 1, &[])).judge(None, false), Verdict::Take, "there is nothing to lose");
        // Many services do not make up for their backends.
        let services: Vec<_> = (0..9).map(|n| service(&format!("s{n}"))).collect();
        assert_eq!(snapshot(state(2, 1, &services)).judge(Some(&have), false), out);
    }

    #[test]
    fn a_snapshot_of_the_same_epoch_that_takes_most_backends_is_held_unless_their_removal_is_known() {
        let have = with(1, 7, 4);
        let held = Verdict::KeepOut(Reason::Shrinks);
        assert_eq!([0, 1, 2].map(|n| verdict(&have, 1, 8, n)), [held, held, Verdict::Take]);
        let known = Snapshot { removals_from: have.position.digest.0, ..snapshot(with(1, 8, 0)) };
        assert_eq!(known.judge(Some(&have), false), Verdict::Take);
        let of_others = Snapshot { removals_from: have.position.digest.0 + 1, ..snapshot(with(1, 8, 0)) };
        assert_eq!(of_others.judge(Some(&have), false), held);
    }

    #[test]
    fn an_acceptance_counts_for_what_is_older_than_it() {
        let have = with(1, 7, 4);
        let accepted = |revision| {
            let accepted_revision = Revision(revision);
            Snapshot { accepted_revision, ..snapshot(with(1, 9, 0)) }.judge(Some(&have), false)
        };
        let held = Verdict::KeepOut(Reason::Shrinks);
        assert_eq!([6, 7, 8].map(accepted), [held, held, Verdict::Take]);
    }

    #[test]
    fn the_last_backend_may_go() {
        assert_eq!(verdict(&with(1, 7, 1), 1, 8, 0), Verdict::Take);
        assert_eq!(verdict(&with(1, 7, 2), 1, 8, 0), Verdict::KeepOut(Reason::Shrinks));
    }

    #[test]
    fn older_and_contradicting_states_of_the_same_epoch_are_kept_out() {
        let have = with(1, 7, 4);
        assert_eq!(verdict(&have, 1, 6, 4), Verdict::KeepOut(Reason::Ahead));
        assert_eq!(verdict(&have, 1, 7, 4), Verdict::Take, "the answer to a Resync");
        assert_eq!(verdict(&have, 1, 7, 5), Verdict::KeepOut(Reason::Fork));
    }

    #[test]
    fn another_history_that_is_known_is_not_joined_when_its_numbers_catch_up() {
        let have = with(1, 7, 4);
        assert_eq!(snapshot(with(1, 9, 4)).judge(Some(&have), true), Verdict::KeepOut(Reason::Fork));
        let follows = Snapshot { removals_from: have.position.digest.0, ..snapshot(with(1, 9, 4)) };
        assert_eq!(follows.judge(Some(&have), true), Verdict::Take, "it was not another one");
        assert_eq!(snapshot(with(2, 9, 4)).judge(Some(&have), true), Verdict::Take, "a new epoch is");
    }

    proptest! {
        #[test]
        fn within_an_epoch_nothing_is_taken_that_is_older_or_contradicts(
            (mine, theirs) in (0_u64..4, 0_u64..4),
            (own, offered) in (0_usize..5, 0_usize..5),
            (removals_from, accepted, apart) in (0_u64..3, 0_u64..4, any::<bool>()),
        ) {
            let have = with(1, mine, own);
            let removals_from = if removals_from == 2 { have.position.digest.0 } else { removals_from };
            let accepted_revision = Revision(accepted);
            let new = Snapshot { accepted_revision, removals_from, ..snapshot(with(1, theirs, offered)) };
            if new.judge(Some(&have), apart) == Verdict::Take {
                prop_assert!(theirs > mine || theirs == mine && own == offered);
                prop_assert!(!apart || removals_from == have.position.digest.0);
            }
        }

        #[test]
        fn a_delta_starts_from_number_and_digest(from in 0_u64..3, apart: bool, to in 7_u64..9, digest in 1_u64..3) {
            let have = Position { epoch: Epoch(1), revision: Revision(7), digest: Digest(1) };
            let to = Position { revision: Revision(to), digest: Digest(digest), ..have };
            let delta = v1::Delta { from_digest: from, ..Default::default() };
            let is_own = from == 1 || from == 0 && !apart;
            let is_two = to.revision.0 == 7 && digest != 1;
            prop_assert_eq!(leads_astray(have, to, &delta, apart), !is_own || is_two);
        }
    }
}
