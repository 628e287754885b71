//! The turns of endpoints in one cycle, as often as their weights say, spread as evenly as they allow.
//!
//! Endpoints of one weight take turns among themselves, so together they are a class that has the sum of their weights. A
//! class of weight `w` stands at the positions `(k + 1/2) / w` of a cycle, for each `k < w`: a cycle ends as it begins, and
//! meets the next one as any two turns meet. Two classes so have their turns as evenly as can be; of more, those that want
//! the same place stand beside each other. With equal weights the order is that of the list.

use std::{cmp::Reverse, collections::BTreeMap};

/// Indices of endpoints. Empty only if there are none.
#[derive(Debug)]
pub(super) struct Sequence(Box<[u32]>);

impl Sequence {
    /// For weights of 1 or more. O(n log c) where `n` is their sum, after what they have in common is taken out, and `c`
    /// how many different ones there are.
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let weights: Vec<u32> = weights.collect();
        let common = weights.iter().copied().fold(0, gcd).max(1);
        let mut alike: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (index, weight) in (0u32..).zip(&weights) {
            alike.entry(weight / common).or_default().push(index);
        }
        let sum = |(weight, indices): &(&u32, &Vec<u32>)| u64::from(**weight) * indices.len() as u64;
        let mut classes: Vec<_> = alike.iter().collect();
        // Of those who want the same place, the heaviest first.
        classes.sort_by_key(|class| Reverse(sum(class)));
        let mut positions: Vec<(u64, u32)> = Vec::new();
        for class in classes {
            let sum = sum(&class);
            let turns = (0..sum).zip(class.1.iter().cycle());
            positions.extend(turns.map(|(k, index)| (((2 * k + 1) << 32) / (2 * sum), *index)));
        }
        // Each class is in order already, which makes that a merge.
        positions.sort_by_key(|(position, _)| *position);
        Self(positions.into_iter().map(|(_, index)| index).collect())
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
        assert_eq!(*sequence(&[1, 2, 5]).0, [2, 1, 2, 2, 0, 2, 1, 2]);
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

    /// The longest run of one endpoint, over the end of the cycle too.
    fn longest_run(sequence: &[u32]) -> usize {
        let (mut run, mut longest) = (0, 0);
        for turn in 0..2 * sequence.len() {
            let same = turn > 0 && sequence[turn % sequence.len()] == sequence[(turn - 1) % sequence.len()];
            run = if same { run + 1 } else { 1 };
            longest = longest.max(run);
        }
        longest.min(sequence.len())
    }

    #[test]
    fn the_heaviest_has_no_longer_runs_than_the_others_leave_it() {
        for (weights, most) in [
            (&[5, 1, 1][..], 3),
            (&[1, 5, 1], 3),
            (&[6, 1, 1, 1], 2),
            (&[10, 1, 1, 1, 1], 3),
            (&[100, 1, 1, 1, 1], 26),
            (&[3, 2, 1], 2),
            (&[4, 2, 2, 1], 1),
        ] {
            let Sequence(sequence) = sequence(weights);
            assert!(longest_run(&sequence) <= most, "{weights:?}: {sequence:?}");
        }
    }

    proptest! {
        /// With one or two different weights to the turn; each other one may stand in the way once more.
        #[test]
        fn turns_are_as_far_apart_as_the_weights_say(weights in prop::collection::vec(1u32..=40, 1..12)) {
            let different = weights.iter().collect::<std::collections::BTreeSet<_>>().len();
            let most = f64::from(u32::try_from(different.max(2) - 1).unwrap());
            let Sequence(sequence) = sequence(&weights);
            let total: u32 = weights.iter().sum();
            for (index, weight) in (0u32..).zip(&weights) {
                let at: Vec<usize> = (0..sequence.len()).filter(|i| sequence[*i] == index).collect();
                let ideal = f64::from(total) / f64::from(*weight);
                for (i, position) in at.iter().enumerate() {
                    let next = at.get(i + 1).copied().unwrap_or(at[0] + sequence.len());
                    let gap = f64::from(u32::try_from(next - position).unwrap());
                    prop_assert!((gap - ideal).abs() < most, "{}: {} for {} in {:?}", index, gap, ideal, sequence);
                }
            }
        }

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
