//! The turns of endpoints in one cycle, as often as their weights say, without bursts.
//!
//! An endpoint of weight `w` stands at the positions `(k + 1/2) / w` of a cycle, for each `k < w`. So its turns are
//! spread evenly, and with equal weights the order is that of the list.

use std::collections::BTreeMap;

/// Indices of endpoints. Empty only if there are none.
#[derive(Debug)]
pub(super) struct Sequence(Box<[u32]>);

impl Sequence {
    /// For weights of 1 or more. O(their sum), after what they have in common is taken out.
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let weights: Vec<u32> = weights.collect();
        let common = weights.iter().copied().fold(0, gcd).max(1);
        let mut alike: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (index, weight) in (0u32..).zip(&weights) {
            alike.entry(weight / common).or_default().push(index);
        }
        // Those of one weight stand at the same positions, so there is little to sort, however many they are.
        let mut positions: Vec<(u64, &[u32])> = Vec::new();
        for (weight, indices) in &alike {
            let weight = u64::from(*weight);
            positions.extend((0..weight).map(|k| (((2 * k + 1) << 32) / (2 * weight), &**indices)));
        }
        positions.sort_by_key(|(position, _)| *position);
        Self(positions.into_iter().flat_map(|(_, indices)| indices).copied().collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whose turn it is. There must be somebody.
    pub(super) fn at(&self, turn: usize) -> usize {
        self.0[turn % self.0.len()] as usize
    }

    /// Any, by weight. There must be somebody.
    pub(super) fn draw(&self) -> usize {
        self.0[fastrand::usize(..self.0.len())] as usize
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sequence(weights: &[u32]) -> Sequence {
        Sequence::new(weights.iter().copied())
    }

    #[test]
    fn weights_make_no_bursts() {
        assert_eq!(*sequence(&[1, 2, 5]).0, [2, 1, 2, 0, 2, 2, 1, 2]);
    }

    #[test]
    fn equal_weights_stand_in_their_order_and_take_no_room() {
        assert_eq!(*sequence(&[7, 7, 7]).0, [0, 1, 2]);
        assert_eq!(sequence(&[]).len(), 0);
    }

    #[test]
    fn ten_thousand_of_any_weight_are_a_matter_of_milliseconds() {
        let weights: Vec<u32> = (0..10_000).map(|i| i % 256 + 1).collect();
        let sequence = sequence(&weights);
        assert_eq!(sequence.len() as u64, weights.iter().map(|w| u64::from(*w)).sum::<u64>());
    }

    proptest! {
        #[test]
        fn no_endpoint_waits_much_longer_than_its_share(weights in prop::collection::vec(1u32..=40, 1..8)) {
            let Sequence(sequence) = sequence(&weights);
            for index in 0..u32::try_from(weights.len()).unwrap() {
                let at: Vec<usize> = (0..sequence.len()).filter(|i| sequence[*i] == index).collect();
                let fair = sequence.len().div_ceil(at.len());
                for (i, position) in at.iter().enumerate() {
                    let next = at.get(i + 1).copied().unwrap_or(at[0] + sequence.len());
                    prop_assert!(next - position <= fair + weights.len(), "{:?}", sequence);
                }
            }
        }
    }
}
