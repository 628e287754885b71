//! Each endpoint in its turn, by weight: one cursor over a sequence that is compiled once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{Balance, GroupMember, Pick, sequence::Sequence, urn::among_all};
use crate::{endpoint::Endpoint, padded::Padded};

/// So many turns in a row may be skipped. Beyond, whoever is admitted is found by looking at all.
const SKIPS: usize = 4096;

#[derive(Debug)]
pub(super) struct RoundRobin {
    members: Arc<[GroupMember]>,
    sequence: Sequence,
    cursor: Padded<AtomicUsize>,
}

impl RoundRobin {
    /// `turn` is where the cursor starts.
    pub(super) fn new(members: &Arc<[GroupMember]>, turn: usize) -> Self {
        Self {
            members: Arc::clone(members),
            sequence: Sequence::new(members.iter().map(|m| m.weight)),
            cursor: Padded(AtomicUsize::new(turn)),
        }
    }
}

impl Balance for RoundRobin {
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        in_turn(&self.members, &self.sequence, &self.cursor, pick)
    }

    fn turn(&self) -> Option<usize> {
        Some(self.cursor.load(Relaxed))
    }
}

/// The next one in the sequence that is admitted.
pub(super) fn in_turn<'a>(
    members: &'a [GroupMember],
    sequence: &Sequence,
    cursor: &AtomicUsize,
    pick: &Pick<'_>,
) -> Option<&'a Arc<Endpoint>> {
    // Turns of endpoints that cannot take them are skipped, which leaves the order of the others as it is.
    for _ in 0..sequence.len().min(SKIPS) {
        let endpoint = &members[sequence.at(cursor.fetch_add(1, Relaxed))].endpoint;
        if pick.admits(endpoint) {
            return Some(endpoint);
        }
    }
    // Other workers may have taken exactly the turns that this one needed.
    among_all(members, |index| pick.admits(&members[index].endpoint)).map(|index| &members[index].endpoint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        balance::testing::{counts, index_of, members},
        endpoint::Marks,
    };

    fn order(balance: &RoundRobin, members: &[GroupMember], picks: usize) -> Vec<usize> {
        (0..picks).map(|_| index_of(members, balance.pick(&Pick::default()).unwrap())).collect()
    }

    #[test]
    fn equal_weights_take_turns_in_order() {
        let members = members(&[4, 4, 4]);
        assert_eq!(order(&RoundRobin::new(&members, 0), &members, 7), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn a_retired_one_is_skipped_and_the_others_keep_their_order() {
        let members = members(&[1, 1, 1]);
        let balance = RoundRobin::new(&members, 0);
        members[1].endpoint.set_retired(Marks::GONE);
        assert_eq!(order(&balance, &members, 4), [0, 2, 0, 2]);
    }

    #[test]
    fn another_attempt_takes_the_next_turn() {
        let members = members(&[1, 1, 1]);
        let balance = RoundRobin::new(&members, 0);
        let mut tried = Vec::new();
        for expected in [Some(0), Some(1), Some(2), None] {
            let picked = balance.pick(&Pick { tried: &tried, ..Pick::default() });
            assert_eq!(picked.map(|endpoint| index_of(&members, endpoint)), expected);
            tried.extend(picked.map(|endpoint| endpoint.id()));
        }
    }

    #[test]
    fn nothing_to_pick_from_is_not_an_endless_search() {
        assert!(RoundRobin::new(&members(&[]), 0).pick(&Pick::default()).is_none());
    }

    #[test]
    fn the_only_one_of_ten_thousand_is_found() {
        let members = members(&vec![1; 10_000]);
        for member in members.iter().filter(|m| m.endpoint.id() != members[9_999].endpoint.id()) {
            member.endpoint.set_retired(Marks::GONE);
        }
        assert_eq!(order(&RoundRobin::new(&members, 0), &members, 2), [9_999, 9_999]);
    }

    #[test]
    fn counts_are_exact_whichever_thread_picks() {
        let members = members(&[1, 2, 5]);
        let balance = RoundRobin::new(&members, 3);
        let of_thread = || counts(&balance, &members, 8_000);
        let (a, b) = std::thread::scope(|scope| {
            let threads = (scope.spawn(of_thread), scope.spawn(of_thread));
            (threads.0.join().unwrap(), threads.1.join().unwrap())
        });
        let sums: Vec<u64> = a.iter().zip(b).map(|(a, b)| a + b).collect();
        assert_eq!(sums, [2_000, 4_000, 10_000]);
    }

    proptest! {
        #[test]
        fn counts_are_exact_over_a_cycle(weights in prop::collection::vec(1u32..=40, 1..8), turn in 0usize..1000) {
            let members = members(&weights);
            let counts = counts(&RoundRobin::new(&members, turn), &members, weights.iter().sum());
            prop_assert_eq!(counts, weights.into_iter().map(u64::from).collect::<Vec<_>>());
        }

        #[test]
        fn skips_leave_the_order_of_the_others(n in 2usize..8, gone in 0usize..8, turn in 0usize..100) {
            let members = members(&vec![1; n]);
            let gone = gone % n;
            let balance = RoundRobin::new(&members, turn);
            members[gone].endpoint.set_retired(Marks::GONE);
            let expected: Vec<usize> = (0..2 * n).map(|i| (turn + i) % n).filter(|i| *i != gone).collect();
            prop_assert_eq!(order(&balance, &members, expected.len()), expected);
        }
    }
}
