//! Endpoints drawn at random, by weight.

use std::sync::Arc;

use super::{GroupMember, sequence::Sequence};

/// So many blind draws are cheaper than a look at all.
const BLIND: usize = 16;

#[derive(Debug)]
pub(super) struct Urn {
    members: Arc<[GroupMember]>,
    sequence: Sequence,
}

impl Urn {
    pub(super) fn new(members: &Arc<[GroupMember]>) -> Self {
        Self { members: Arc::clone(members), sequence: Sequence::new(members.iter().map(|m| m.weight)) }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn member(&self, index: usize) -> &GroupMember {
        &self.members[index]
    }

    /// One that is accepted, in proportion to the weights of all that are. None only if none is.
    pub(super) fn draw(&self, accepts: impl Fn(usize) -> bool) -> Option<usize> {
        if self.members.is_empty() {
            return None;
        }
        // Drawing again until one is accepted leaves the proportions as they are. In most cases the first one is.
        let blind = (0..BLIND).map(|_| self.sequence.draw()).find(|index| accepts(*index));
        blind.or_else(|| among_all(&self.members, accepts))
    }
}

/// One that is accepted, in proportion to the weights of all that are, found by looking at each once (reservoir sampling
/// with one place). For when most are not.
#[cold]
pub(super) fn among_all(members: &[GroupMember], accepts: impl Fn(usize) -> bool) -> Option<usize> {
    let mut sum = 0u64;
    let mut chosen = None;
    for (index, member) in members.iter().enumerate() {
        if accepts(index) {
            sum += u64::from(member.weight);
            if fastrand::u64(..sum) < u64::from(member.weight) {
                chosen = Some(index);
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing::{fits, members};

    #[test]
    fn draws_are_by_weight_whoever_is_accepted() {
        fastrand::seed(1);
        let urn = Urn::new(&members(&[1, 2, 5, 7]));
        let mut counts = [0u64; 4];
        for _ in 0..40_000 {
            counts[urn.draw(|index| index != 3).unwrap()] += 1;
        }
        assert!(fits(&counts, &[1.0, 2.0, 5.0, 0.0]), "{counts:?}");
    }

    #[test]
    fn a_look_at_all_is_by_weight_too() {
        fastrand::seed(2);
        let members = members(&[1, 2, 5, 7]);
        let mut counts = [0u64; 4];
        for _ in 0..40_000 {
            counts[among_all(&members, |index| index != 3).unwrap()] += 1;
        }
        assert!(fits(&counts, &[1.0, 2.0, 5.0, 0.0]), "{counts:?}");
    }

    #[test]
    fn the_only_one_of_ten_thousand_is_found() {
        let urn = Urn::new(&members(&vec![1; 10_000]));
        assert_eq!(urn.draw(|index| index == 7_777), Some(7_777));
        assert_eq!(urn.draw(|_| false), None);
        assert_eq!(Urn::new(&members(&[])).draw(|_| true), None);
    }
}
