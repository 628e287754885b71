//! How long many requests took, in so little room that all threads can count in it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::time::Duration;

use crate::moment::nanos;

/// Of each power of two: a latency is known to 1/16 of itself.
const STEPS: usize = 16;
const STEP_BITS: u32 = STEPS.ilog2();
/// The unit is 2^10 ns, about a microsecond.
const UNIT_BITS: u32 = 10;
/// Longer is as long as this: 2^36 ns, 68 s.
const LONGEST: u64 = (1 << 26) - 1;
const BUCKETS: usize = bucket(LONGEST) + 1;

/// Counts by latency, in steps of a microsecond up to 16 µs, then of 1/16 to 1/32 of the latency. 1.5 kB.
#[derive(Debug)]
pub(super) struct Latencies([AtomicU32; BUCKETS]);

impl Default for Latencies {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl Latencies {
    pub(super) fn count(&self, took: Duration) {
        let units = (nanos(took) >> UNIT_BITS).min(LONGEST);
        if let Some(bucket) = self.0.get(bucket(units)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// The latency that so many percent do not exceed, of all that were counted since the last call. None of none.
    pub(super) fn take(&self, percentile: u32) -> Option<Duration> {
        let counts: [u32; BUCKETS] =
            std::array::from_fn(|i| self.0.get(i).map_or(0, |count| count.swap(0, Relaxed)));
        let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        let rank = (total * u64::from(percentile)).div_ceil(100).max(1);
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        let middle = u64::midpoint(first(bucket), first(bucket + 1));
        Some(Duration::from_nanos(middle))
    }
}

/// Steps up to 16 are one unit, then they double with each power of two.
const fn bucket(units: u64) -> usize {
    let Some(power) = units.checked_ilog2() else { return 0 };
    let doublings = power.saturating_sub(STEP_BITS);
    #[expect(clippy::cast_possible_truncation, reason = "less than 32")]
    let step = (units >> doublings) as usize;
    doublings as usize * STEPS + step
}

/// The least latency of a bucket, in nanoseconds.
fn first(bucket: usize) -> u64 {
    let doublings = (bucket / STEPS).saturating_sub(1);
    let step = bucket - doublings * STEPS;
    (step as u64) << doublings << UNIT_BITS
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn a_latency_is_known_to_a_sixteenth(nanos in 16_384..LONGEST << UNIT_BITS) {
            let latencies = Latencies::default();
            latencies.count(Duration::from_nanos(nanos));
            let found = latencies.take(50).unwrap();
            let error = found.abs_diff(Duration::from_nanos(nanos));
            prop_assert!(error * 16 <= Duration::from_nanos(nanos), "{:?}", found);
            prop_assert_eq!(latencies.take(50), None, "it was taken");
        }

        #[test]
        fn percentiles_are_those_of_the_sorted_list(
            mut micros in vec(1_u64..10_000_000, 1..200), percentile in 1_u32..=100,
        ) {
            let latencies = Latencies::default();
            for micros in &micros {
                latencies.count(Duration::from_micros(*micros));
            }
            micros.sort_unstable();
            let expected = Duration::from_micros(micros[(micros.len() * percentile as usize).div_ceil(100) - 1]);
            let found = latencies.take(percentile).unwrap();
            let error = found.abs_diff(expected);
            prop_assert!(error <= Duration::from_nanos(1_024) + expected / 16, "{:?} {:?}", found, expected);
        }

        #[test]
        fn buckets_follow_each_other_without_gaps(units in 0..LONGEST) {
            let this = bucket(units);
            prop_assert!(first(this) >> UNIT_BITS <= units && units < first(this + 1) >> UNIT_BITS);
        }
    }

    #[test]
    fn the_longest_are_all_alike() {
        let latencies = Latencies::default();
        latencies.count(Duration::MAX);
        let found = latencies.take(100).unwrap().as_secs();
        assert!((60..=70).contains(&found), "{found}");
    }
}
