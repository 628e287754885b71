//! Each endpoint in its turn, by weight: one cursor over a sequence that is compiled once.
//!
//! An endpoint of weight `w` stands at the positions `(k + 1/2) / w` of a cycle, for each `k < w`. So its turns are
//! spread evenly, and with equal weights the order is that of the list.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{Balance, Pick};
use crate::{endpoint::Endpoint, padded::Padded};

#[derive(Debug)]
pub(super) struct RoundRobin {
    endpoints: Box<[Arc<Endpoint>]>,
    /// Indices into `endpoints`; each is there as often as its weight says.
    sequence: Box<[u32]>,
    cursor: Padded<AtomicUsize>,
}

impl RoundRobin {
    /// `turn` is where the cursor starts.
    pub(super) fn new(endpoints: &[(Arc<Endpoint>, u32)], turn: usize) -> Self {
        let weights: Vec<u32> = endpoints.iter().map(|(_, weight)| *weight).collect();
        Self {
            endpoints: endpoints.iter().map(|(endpoint, _)| Arc::clone(endpoint)).collect(),
            sequence: sequence(&weights),
            cursor: Padded(AtomicUsize::new(turn)),
        }
    }
}

impl Balance for RoundRobin {
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        // Turns of endpoints that cannot take them are skipped, which leaves the order of the others as it is.
        for _ in 0..self.sequence.len() {
            let turn = self.cursor.fetch_add(1, Relaxed) % self.sequence.len();
            let endpoint = &self.endpoints[self.sequence[turn] as usize];
            if pick.admits(endpoint) {
                return Some(endpoint);
            }
        }
        // Other workers may have taken exactly the turns that this one needed.
        self.endpoints.iter().find(|endpoint| pick.admits(endpoint))
    }

    fn turn(&self) -> usize {
        self.cursor.load(Relaxed)
    }
}

/// The turns of one cycle. O(n log n) in the sum of the weights, after what they have in common is taken out.
fn sequence(weights: &[u32]) -> Box<[u32]> {
    let common = weights.iter().copied().fold(0, gcd).max(1);
    let mut turns: Vec<(u64, u32)> = Vec::new();
    for (index, weight) in (0u32..).zip(weights) {
        let weight = u64::from(weight / common);
        turns.extend((0..weight).map(|k| (((2 * k + 1) << 32) / (2 * weight), index)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, index)| index).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::{Marks, tests::endpoint};

    fn endpoints(weights: &[u32]) -> Vec<(Arc<Endpoint>, u32)> {
        (1u16..)
            .zip(weights)
            .map(|(port, weight)| (endpoint(([127, 0, 0, 1], port).into()), *weight))
            .collect()
    }

    fn port(picked: Option<&Arc<Endpoint>>) -> u16 {
        picked.map_or(0, |endpoint| endpoint.address().port())
    }

    #[test]
    fn equal_weights_take_turns_in_order() {
        let balance = RoundRobin::new(&endpoints(&[4, 4, 4]), 0);
        let order: Vec<u16> = (0..7).map(|_| port(balance.pick(&Pick::default()))).collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn weights_make_no_bursts() {
        assert_eq!(*sequence(&[1, 2, 5]), [2, 1, 2, 0, 2, 2, 1, 2]);
    }

    #[test]
    fn a_retired_one_is_skipped_and_the_others_keep_their_order() {
        let endpoints = endpoints(&[1, 1, 1]);
        let balance = RoundRobin::new(&endpoints, 0);
        endpoints[1].0.set_retired(Marks::GONE);
        let order: Vec<u16> = (0..4).map(|_| port(balance.pick(&Pick::default()))).collect();
        assert_eq!(order, [1, 3, 1, 3]);
    }

    #[test]
    fn another_attempt_takes_the_next_turn() {
        let endpoints = endpoints(&[1, 1, 1]);
        let balance = RoundRobin::new(&endpoints, 0);
        let mut tried = Vec::new();
        for expected in [1, 2, 3, 0] {
            let picked = balance.pick(&Pick { tried: &tried, ..Pick::default() });
            assert_eq!(port(picked), expected);
            tried.extend(picked.map(|endpoint| endpoint.id()));
        }
    }

    #[test]
    fn nothing_to_pick_from_is_not_an_endless_search() {
        assert!(RoundRobin::new(&[], 0).pick(&Pick::default()).is_none());
    }

    proptest! {
        #[test]
        fn counts_are_exact_over_a_cycle(weights in prop::collection::vec(1u32..=40, 1..8), turn in 0usize..1000) {
            let balance = RoundRobin::new(&endpoints(&weights), turn);
            let mut counts = vec![0; weights.len()];
            for _ in 0..weights.iter().sum() {
                counts[usize::from(port(balance.pick(&Pick::default()))) - 1] += 1u32;
            }
            prop_assert_eq!(counts, weights);
        }

        #[test]
        fn no_endpoint_waits_much_longer_than_its_share(weights in prop::collection::vec(1u32..=40, 1..8)) {
            let sequence = sequence(&weights);
            for index in 0..u32::try_from(weights.len()).unwrap() {
                let at: Vec<usize> = (0..sequence.len()).filter(|i| sequence[*i] == index).collect();
                let fair = sequence.len().div_ceil(at.len());
                for (i, position) in at.iter().enumerate() {
                    let next = at.get(i + 1).copied().unwrap_or(at[0] + sequence.len());
                    prop_assert!(next - position <= fair + weights.len(), "{:?}", sequence);
                }
            }
        }

        #[test]
        fn skips_leave_the_order_of_the_others(n in 2usize..8, gone in 0usize..8, turn in 0usize..100) {
            let endpoints = endpoints(&vec![1; n]);
            let gone = gone % n;
            let balance = RoundRobin::new(&endpoints, turn);
            endpoints[gone].0.set_retired(Marks::GONE);
            let expected: Vec<u16> =
                (0..2 * n).map(|i| (turn + i) % n).filter(|i| *i != gone).map(|i| u16::try_from(i).unwrap() + 1).collect();
            let order: Vec<u16> = expected.iter().map(|_| port(balance.pick(&Pick::default()))).collect();
            prop_assert_eq!(order, expected);
        }
    }
}
