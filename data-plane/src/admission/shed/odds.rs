//! How much of the work to refuse. Pure: what is known goes in, a share comes out.

use std::ops::RangeInclusive;

use tokio::time::Duration;

/// Of the memory that may be used: from here on something is refused, and all from there on. The kernel ends whoever
/// reaches the limit.
const MEMORY: RangeInclusive<f64> = 0.90..=0.98;
/// How late a thread is with what it does from time to time, of what it may be. A request waits that long at each of its
/// steps.
const LATENESS: RangeInclusive<f64> = 0.1..=1.0;

/// A share of the requests, in 65,536ths, so that threads can share it in an atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Odds(u32);

/// Memory in use, and how much may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) used: u64,
    pub(crate) limit: u64,
}

impl Odds {
    const ALL: u32 = 1 << 16;

    pub(super) fn of_memory(usage: Usage) -> Self {
        Self::within(&MEMORY, usage.fraction())
    }

    /// `most` of nothing is no limit.
    pub(super) fn of_lateness(late: Duration, most: Duration) -> Self {
        if most.is_zero() {
            return Self::default();
        }
        Self::within(&LATENESS, late.as_secs_f64() / most.as_secs_f64())
    }

    /// Grows evenly from nothing at the start to all at the end.
    fn within(range: &RangeInclusive<f64>, x: f64) -> Self {
        let share = (x - range.start()) / (range.end() - range.start());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 65,536")]
        let odds = (share.clamp(0.0, 1.0) * f64::from(Self::ALL)) as u32;
        Self(odds)
    }

    /// Whether this request is one of them.
    pub(super) fn hit(self) -> bool {
        self.0 > 0 && fastrand::u32(0..Self::ALL) < self.0
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// From 0 to 1.
    pub(super) fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL)
    }
}

impl Usage {
    /// Of the limit.
    pub(super) fn fraction(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a part in 2^52 does not matter")]
        let fraction = self.used as f64 / self.limit.max(1) as f64;
        fraction
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn percent(odds: Odds) -> u32 {
        (odds.bits() * 100 + Odds::ALL / 2) / Odds::ALL
    }

    #[test]
    fn it_begins_before_it_is_too_late_and_ends_with_everything() {
        let memory = |used| percent(Odds::of_memory(Usage { used, limit: 1_000 }));
        assert_eq!([0, 900, 940, 980, 2_000].map(memory), [0, 0, 50, 100, 100]);
        for most in [1, 20] {
            let lateness = |millis| {
                percent(Odds::of_lateness(Duration::from_millis(most * millis), Duration::from_secs(most)))
            };
            assert_eq!([0, 100, 550, 1_000, 60_000].map(lateness), [0, 0, 50, 100, 100]);
        }
    }

    #[test]
    fn all_are_hit_or_none_where_it_says_so() {
        let (all, none) = (Odds(Odds::ALL), Odds::default());
        assert!((0..100_000).all(|_| all.hit() && !none.hit()));
        let half = (0..100_000).filter(|_| Odds(Odds::ALL / 2).hit()).count();
        assert!((48_000..52_000).contains(&half), "{half}");
    }

    proptest! {
        #[test]
        fn more_pressure_never_refuses_less(used: u64, more: u64, limit: u64, late: u64, later: u64) {
            let odds = |used| Odds::of_memory(Usage { used, limit });
            prop_assert!(odds(used.min(more)) <= odds(used.max(more)));
            let odds = |late| Odds::of_lateness(Duration::from_nanos(late), Duration::from_secs(1));
            prop_assert!(odds(late.min(later)) <= odds(late.max(later)));
        }

        #[test]
        fn it_is_a_share(used: u64, limit: u64) {
            let share = Odds::of_memory(Usage { used, limit }).share();
            prop_assert!((0.0..=1.0).contains(&share));
        }
    }
}
