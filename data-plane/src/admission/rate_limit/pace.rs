//! A rate with room for a burst, and what has been used of it in one number: the generic cell rate algorithm (ITU-T
//! I.371, annex A), which is a leaky bucket without a clock that drips.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use tokio::time::Duration;
use weir_proto::RateLimit;

use crate::moment::{Moment, nanos};

/// The longest time that a burst may take to earn: 146 years. A larger burst is cut to that.
const LONGEST: u64 = 1 << 62;

/// In whole nanoseconds, rounded up: what passes is never more than the rate, and a rate of a million a second is met to
/// 0.1 %. Nothing is faster than a thousand million a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// What a request costs.
    cost: u64,
    /// How far ahead of its time one may come.
    ahead: u64,
}

/// When all that was let through will have been earned; the future, while something is used of the burst. One RMW
/// instruction changes it, so of requests that come together exactly so many pass as one thread would let pass.
#[derive(Debug, Default)]
pub(super) struct Due(AtomicU64);

impl Pace {
    pub(super) fn of(limit: &RateLimit) -> Self {
        let cost = nanos(limit.per).div_ceil(u64::from(limit.requests).max(1)).max(1);
        let ahead = cost.saturating_mul(u64::from(limit.burst).saturating_sub(1));
        Self { cost, ahead: ahead.min(LONGEST) }
    }

    /// Requests that pass at once after a quiet time.
    pub(super) fn burst(self) -> u64 {
        self.ahead / self.cost + 1
    }

    /// The new `due` if one more passes, else how long until one would.
    fn pass(self, due: u64, now: Moment) -> Result<u64, Duration> {
        let ahead = due.saturating_sub(now.as_nanos());
        match ahead.checked_sub(self.ahead) {
            None | Some(0) => Ok(self.after(due, now)),
            Some(early) => Err(Duration::from_nanos(early)),
        }
    }

    fn after(self, due: u64, now: Moment) -> u64 {
        due.max(now.as_nanos()).saturating_add(self.cost)
    }
}

impl Due {
    /// Counts a request, or says how long until one would pass.
    pub(super) fn take(&self, pace: Pace, now: Moment) -> Result<(), Duration> {
        let mut due = self.0.load(Relaxed);
        loop {
            let next = pace.pass(due, now)?;
            match self.0.compare_exchange_weak(due, next, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(newer) => due = newer,
            }
        }
    }

    /// Begins anew with a first request, if nobody has counted since it was `seen`; else counts as the others.
    pub(super) fn restart(&self, seen: u64, pace: Pace, now: Moment) -> Result<(), Duration> {
        match self.0.compare_exchange(seen, pace.after(0, now), Release, Relaxed) {
            Ok(_) => Ok(()),
            Err(_) => self.take(pace, now),
        }
    }

    /// Who sees what `restart` wrote also sees what was written before it.
    pub(super) fn seen(&self) -> u64 {
        self.0.load(Acquire)
    }

    /// Requests that would pass now.
    pub(super) fn left(&self, pace: Pace, now: Moment) -> u64 {
        let ahead = self.seen().saturating_sub(now.as_nanos());
        pace.ahead.checked_sub(ahead).map_or(0, |room| room / pace.cost + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn pace(requests: u32, per: Duration, burst: u32) -> Pace {
        let key = weir_proto::RateLimitKey::All;
        Pace::of(&RateLimit { requests, per, burst, key, max_keys: 1024 })
    }

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn a_burst_passes_at_once_and_then_one_at_a_time() {
        let (due, pace) = (Due::default(), pace(10, Duration::from_secs(1), 3));
        assert_eq!((due.left(pace, at(0)), pace.burst()), (3, 3));
        let taken: Vec<_> = (0..5).map(|_| due.take(pace, at(0)).is_ok()).collect();
        assert_eq!(taken, [true, true, true, false, false]);
        assert_eq!((due.take(pace, at(0)), due.left(pace, at(0))), (Err(Duration::from_millis(100)), 0));
        assert_eq!(due.take(pace, at(99_999_999)), Err(Duration::from_nanos(1)));
        assert_eq!(due.take(pace, at(100_000_000)), Ok(()));
        assert_eq!(due.left(pace, at(10_000_000_000)), 3, "no more is saved up than the burst");
    }

    #[test]
    fn the_largest_numbers_are_no_trouble() {
        let day = Duration::from_hours(24);
        let (due, pace) = (Due::default(), pace(1, day, 1_000_000_000));
        assert_eq!(pace.burst(), (1 << 62) / 86_400_000_000_000 + 1);
        assert_eq!(due.take(pace, at(u64::MAX)), Ok(()));
        assert_eq!(self::pace(1_000_000_000, Duration::from_millis(1), 1).cost, 1);
    }

    proptest! {
        #[test]
        fn no_time_sees_more_than_its_share_and_a_burst(
            requests in 1_u32..1_000, millis in 1_u64..5_000, burst in 1_u32..50,
            pauses in vec(prop_oneof![3 => Just(0_u64), 3 => 0_u64..50_000_000, 1 => 0_u64..5_000_000_000], 0..300),
        ) {
            let (due, pace) = (Due::default(), pace(requests, Duration::from_millis(millis), burst));
            let (mut now, mut passed) = (0, Vec::new());
            for pause in pauses {
                now += pause;
                match due.take(pace, at(now)) {
                    Ok(()) => passed.push(now),
                    Err(wait) => {
                        let then = now + nanos(wait);
                        prop_assert!(pace.pass(due.seen(), at(then)).is_ok(), "it was told when one fits");
                        prop_assert!(pace.pass(due.seen(), at(then - 1)).is_err(), "and not too late");
                    }
                }
            }
            for (i, first) in passed.iter().enumerate() {
                for (n, last) in passed[i..].iter().enumerate() {
                    let earned = u128::from(last - first) * u128::from(requests) / (u128::from(millis) * 1_000_000);
                    prop_assert!(n as u128 <= earned + u128::from(burst));
                }
            }
        }

        #[test]
        fn who_keeps_to_the_rate_is_never_refused(requests in 1_u32..10_000, burst in 1_u32..9, n in 1_usize..300) {
            let (due, pace) = (Due::default(), pace(requests, Duration::from_secs(1), burst));
            let step = 1_000_000_000_u64.div_ceil(u64::from(requests));
            for moment in (0..).step_by(usize::try_from(step).unwrap()).take(n) {
                prop_assert_eq!(due.take(pace, at(moment)), Ok(()));
            }
        }
    }
}
