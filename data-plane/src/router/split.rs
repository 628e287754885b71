//! Shares of a route's requests: exact over each cycle, evenly mixed, without a table as long as the weights.
//!
//! The turns of a cycle are visited in steps of about 0.618 of its length, coprime with it (a Weyl sequence: the golden
//! section spreads any run of visits most evenly), and each turn belongs to the service in whose range it lies.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::padded::Padded;

#[derive(Debug)]
pub(super) struct Split {
    /// Where the range of each entry ends; the last is the length of a cycle, and above 0.
    ends: Box<[u64]>,
    step: u64,
    cursor: Padded<AtomicU64>,
}

impl Split {
    /// The weights are not all 0.
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let mut total = 0;
        let ends: Box<[u64]> = weights
            .map(|weight| {
                total += u64::from(weight);
                total
            })
            .collect();
        Self { step: step(total), ends, cursor: Padded(AtomicU64::new(fastrand::u64(..u64::MAX / 2))) }
    }

    /// The index of the entry whose turn it is.
    pub(super) fn next(&self) -> usize {
        // With one entry there are no turns to count.
        if self.ends.len() == 1 { 0 } else { self.entry(self.cursor.fetch_add(1, Relaxed)) }
    }

    /// The index of the entry whose turn is next.
    pub(super) fn peek(&self) -> usize {
        self.entry(self.cursor.load(Relaxed))
    }

    fn entry(&self, turn: u64) -> usize {
        let &[.., total] = &*self.ends else { return 0 };
        let turn = turn % total * self.step % total;
        self.ends.partition_point(|end| *end <= turn)
    }
}

/// The first number from 0.618 of `total` on that is coprime with it.
fn step(total: u64) -> u64 {
    let golden = total * 618 / 1000;
    (golden.max(1)..=total.max(1)).find(|step| gcd(*step, total) == 1).unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_are_exact_over_a_cycle(mut weights in prop::collection::vec(0u32..=60, 1..6)) {
            weights.push(1);
            let split = Split::new(weights.iter().copied());
            let mut counts = vec![0u32; weights.len()];
            for _ in 0..weights.iter().sum() {
                counts[split.next()] += 1;
            }
            prop_assert_eq!(counts, weights);
        }
    }

    #[test]
    fn a_small_share_is_spread() {
        let split = Split::new([95, 5].into_iter());
        let picks: Vec<usize> = (0..400).map(|_| split.next()).collect();
        for window in picks.windows(40) {
            let small = window.iter().sum::<usize>();
            assert!((1..=4).contains(&small), "{small} of 40 for a share of 5 %");
        }
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let split = Split::new(std::iter::repeat_n(1_000_000, 64));
        assert!((0..1000).all(|_| split.next() < 64));
    }
}
