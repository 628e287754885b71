//! How long an endpoint takes to answer: a moving average that rises at once and decays in time.
//!
//! Finagle's peak EWMA (`PeakEwma.scala`, the metric of its `p2cPeakEwma` balancer). It is sensitive to what is worse,
//! for that may be the begin of trouble, and careful about what is better. While nobody asks the endpoint, the average
//! decays towards nothing, so that it is tried again.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::time::Duration;

use crate::moment::{Moment, nanos};

/// As slow as that is, at least, who fails: failing is no way to be fast.
const FAILURE: Duration = Duration::from_secs(1);
/// As slow as that is nobody: it would not be forgotten in a reasonable time.
const MOST: Duration = Duration::from_mins(1);

/// Written by all workers without a lock: an update that gets lost between two others is one measurement of many.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// Nanoseconds, at the time of `stamp`; 0 before the first measurement, and never after.
    average: AtomicU64,
    /// When it was written.
    stamp: AtomicU64,
}

impl Latency {
    /// The average as it is now, if it was ever measured. After each `decay` without a measurement 1/e of it is left.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is more than 0 and at most a minute"
    )]
    pub(crate) fn get(&self, now: Moment, decay: Duration) -> Option<Duration> {
        self.nanos(now, decay).map(|average| Duration::from_nanos(average as u64))
    }

    /// The same in nanoseconds, for those who compare.
    #[expect(clippy::cast_precision_loss, reason = "it is at most a minute")]
    pub(crate) fn nanos(&self, now: Moment, decay: Duration) -> Option<f64> {
        let average = self.average.load(Relaxed);
        (average > 0).then(|| average as f64 * self.left(now, decay))
    }

    /// Takes a measurement. A higher one counts at once, a lower one the more the older the average is.
    pub(crate) fn observe(&self, took: Duration, now: Moment, decay: Duration) {
        let average = Duration::from_nanos(self.average.load(Relaxed));
        let took = took.clamp(Duration::from_nanos(1), MOST);
        let average = if took >= average {
            took
        } else {
            let left = self.left(now, decay);
            average.mul_f64(left) + took.mul_f64(1.0 - left)
        };
        self.average.store(nanos(average).max(1), Relaxed);
        self.stamp.store(now.as_nanos(), Relaxed);
    }

    /// Takes a failure for a measurement: slow, and slower with each one.
    pub(crate) fn fail(&self, now: Moment, decay: Duration) {
        let twice = self.get(now, decay).unwrap_or_default() * 2;
        self.observe(twice.max(FAILURE), now, decay);
    }

    /// What part of the average time has left of it: 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a few nanoseconds in a year do not matter")]
    fn left(&self, now: Moment, decay: Duration) -> f64 {
        let age = now.as_nanos().saturating_sub(self.stamp.load(Relaxed));
        (-(age as f64) / nanos(decay).max(1) as f64).exp()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DECAY: Duration = Duration::from_secs(10);
    const MILLISECOND: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Moment {
        Moment::default().plus(Duration::from_millis(millis))
    }

    #[test]
    fn it_rises_at_once_and_falls_in_time() {
        let latency = Latency::default();
        assert_eq!(latency.get(at(0), DECAY), None);
        latency.observe(5 * MILLISECOND, at(0), DECAY);
        latency.observe(100 * MILLISECOND, at(1), DECAY);
        assert_eq!(latency.get(at(1), DECAY), Some(100 * MILLISECOND));
        // One lower one, 10 s later: 1/e of the old and the rest of the new.
        latency.observe(5 * MILLISECOND, at(10_001), DECAY);
        let now = latency.get(at(10_001), DECAY).unwrap();
        assert!((39..41).contains(&now.as_millis()), "{now:?}");
    }

    #[test]
    fn it_decays_while_nobody_asks() {
        let latency = Latency::default();
        latency.observe(100 * MILLISECOND, at(0), DECAY);
        let later = |seconds: u64| latency.get(at(1000 * seconds), DECAY).unwrap();
        assert!((36..38).contains(&later(10).as_millis()));
        assert!(later(600) < MILLISECOND);
    }

    #[test]
    fn a_failure_is_slow_and_another_one_slower() {
        let latency = Latency::default();
        latency.observe(MILLISECOND, at(0), DECAY);
        latency.fail(at(0), DECAY);
        assert_eq!(latency.get(at(0), DECAY), Some(FAILURE));
        latency.fail(at(0), DECAY);
        assert_eq!(latency.get(at(0), DECAY), Some(2 * FAILURE));
        for _ in 0..100 {
            latency.fail(at(0), DECAY);
        }
        assert_eq!(latency.get(at(0), DECAY), Some(MOST));
    }

    proptest! {
        #[test]
        fn it_stays_between_the_best_and_the_worst(
            samples in prop::collection::vec((0u64..10_000_000_000, 0u64..100_000), 1..40),
            decay in 100u64..600_000,
        ) {
            let latency = Latency::default();
            let decay = Duration::from_millis(decay);
            let (mut least, mut most) = (Duration::MAX, Duration::ZERO);
            for (took, time) in samples {
                // Time may run backwards from one worker to another.
                let took = Duration::from_nanos(took.max(1));
                latency.observe(took, at(time), decay);
                (least, most) = (least.min(took), most.max(took));
                let now = latency.get(at(time), decay).unwrap();
                prop_assert!(now + Duration::from_nanos(2) >= least && now <= most + Duration::from_nanos(2));
                prop_assert!(latency.get(at(time + 1), decay).unwrap() <= now);
            }
        }
    }
}
