//! How many retries a service may have: a share of its requests, so that a service that fails is not asked still more.

mod history;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::time::Duration;
use weir_proto::RetryPolicy;

use self::history::{History, high, low};
use crate::{moment::Moment, padded::Padded};

/// The time over which requests and retries are compared.
const WINDOW: Duration = Duration::from_secs(10);

/// Retries and hedges of one service, exact over all workers: at most its policy's share of the requests of the last 10 s,
/// or so many in each second, whichever is more. All roundings are towards fewer retries: requests are those of the last
/// 9 to 10 s, retries those of the last 10.25.
///
/// The floor is for services with few requests, and may not be saved up: beyond their share, no second sees more retries
/// than `min_retries_per_second`.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    granted: Padded<AtomicU64>,
    requests: History<16, 1_000>,
    retries: History<64, 250>,
    beyond: History<32, 50>,
}

/// All that were ever granted, in one word: two totals that change together, each modulo 2^32.
#[derive(Debug, Clone, Copy)]
struct Granted {
    all: u32,
    /// Those beyond the share, by the floor.
    beyond: u32,
}

impl Budget {
    /// Takes note of the requests so far. To be called about each second: without it only the floor is left.
    pub(crate) fn tick(&self, now: Moment, requests_total: u64) {
        self.requests.note(now, low(requests_total));
    }

    /// Takes one retry, if there is one.
    pub(crate) fn withdraw(&self, policy: &RetryPolicy, now: Moment, requests_total: u64) -> bool {
        self.tick(now, requests_total);
        let share = self.share(policy, now, requests_total);
        let mut word = self.granted.load(Relaxed);
        loop {
            let granted = Granted::of(word);
            self.retries.note(now, granted.all);
            self.beyond.note(now, granted.beyond);
            let used = self.retries(now, granted);
            let within_floor =
                || used < floor(policy) && self.beyond(now, granted) < policy.min_retries_per_second;
            let beyond = match used < share {
                true => 0,
                false if within_floor() => 1,
                false => return false,
            };
            // Nobody else was granted one since the totals were read, or it is all looked at again.
            match self.granted.compare_exchange_weak(word, granted.one_more(beyond), Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(newer) => word = newer,
            }
        }
    }

    /// Retries of the last 10 s, and how many there may be.
    pub(crate) fn used(&self, policy: &RetryPolicy, now: Moment, requests_total: u64) -> (u32, u32) {
        let granted = Granted::of(self.granted.load(Relaxed));
        (self.retries(now, granted), self.share(policy, now, requests_total).max(floor(policy)))
    }

    fn share(&self, policy: &RetryPolicy, now: Moment, requests_total: u64) -> u32 {
        let requests = self.requests.growth(now, 9, low(requests_total));
        low(u64::from(requests) * u64::from(policy.budget_percent) / 100)
    }

    fn retries(&self, now: Moment, granted: Granted) -> u32 {
        self.retries.growth(now, 40, granted.all)
    }

    /// Of the last second.
    fn beyond(&self, now: Moment, granted: Granted) -> u32 {
        self.beyond.growth(now, 20, granted.beyond)
    }
}

impl Granted {
    fn of(word: u64) -> Self {
        Self { all: low(word), beyond: high(word) }
    }

    fn one_more(self, beyond: u32) -> u64 {
        u64::from(self.beyond.wrapping_add(beyond)) << 32 | u64::from(self.all.wrapping_add(1))
    }
}

/// The least that all of the window may have.
fn floor(policy: &RetryPolicy) -> u32 {
    policy.min_retries_per_second.saturating_mul(low(WINDOW.as_secs()))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    fn policy(budget_percent: u32, min_retries_per_second: u32) -> RetryPolicy {
        RetryPolicy { budget_percent, min_retries_per_second, ..RetryPolicy::default() }
    }

    /// A budget that has seen `rate` requests a second for 20 s.
    fn warm(rate: u64) -> Budget {
        let budget = Budget::default();
        for second in 0..20 {
            budget.tick(at(second * 1_000), second * rate);
        }
        budget
    }

    /// How many of `tries` in that millisecond are granted.
    fn granted(budget: &Budget, policy: &RetryPolicy, millis: u64, total: u64, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(budget.withdraw(policy, at(millis), total))).sum()
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_repeated() {
        let budget = warm(100);
        assert_eq!(granted(&budget, &policy(20, 0), 20_000, 2_000, 1_000), 180, "those of 9 s");
        assert_eq!(granted(&budget, &policy(20, 0), 20_500, 2_050, 1_000), 10, "and of what came since");
        assert_eq!(budget.used(&policy(20, 0), at(20_500), 2_050), (190, 190));
        assert_eq!(budget.used(&policy(20, 50), at(20_500), 2_050), (190, 500));
    }

    #[test]
    fn the_floor_is_not_saved_up_in_quiet_times() {
        let budget = warm(0);
        let policy = policy(20, 10);
        assert_eq!(granted(&budget, &policy, 1_000_000, 0, 1_000), 10);
        assert_eq!(granted(&budget, &policy, 1_000_999, 0, 1_000), 0);
        assert_eq!(granted(&budget, &policy, 1_001_050, 0, 1_000), 10);
        let more: u32 = (11..200).map(|n| granted(&budget, &policy, 1_000_000 + n * 100, 0, 1_000)).sum();
        assert!((150..=180).contains(&more), "{more} of 10 for each of 18 seconds");
    }

    #[test]
    fn nothing_is_granted_where_nothing_is_allowed() {
        assert_eq!(granted(&warm(1_000), &policy(0, 0), 20_000, 20_000, 10), 0);
        assert_eq!(granted(&Budget::default(), &policy(100, 0), 0, 1 << 40, 10), 0, "it has seen no request");
    }

    #[test]
    fn many_threads_get_no_more_than_one() {
        for (rate, expected) in [(1_000, 1_800), (0, 10)] {
            let budget = warm(rate);
            let take = || granted(&budget, &policy(20, 10), 20_000, 20 * rate, 1_000);
            let all: u32 = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(all, expected);
        }
    }

    proptest! {
        #[test]
        fn no_ten_seconds_see_more_than_the_share_or_the_floor(
            rate in 0_u64..100,
            percent in 0_u32..=100,
            floor in 0_u32..30,
            steps in vec((0_u64..500, 0_u32..60), 0..200),
        ) {
            let (budget, policy) = (Budget::default(), policy(percent, floor));
            let (mut now, mut all) = (0, Vec::new());
            for (pause, tries) in steps {
                for millis in (now + 1..=now + pause).filter(|millis| millis % 1_000 == 0) {
                    budget.tick(at(millis), millis * rate / 1_000);
                }
                now += pause;
                let granted = granted(&budget, &policy, now, now * rate / 1_000, tries);
                all.extend((0..granted).map(|_| now));
            }
            let share = rate * 10 * u64::from(percent) / 100;
            for (i, first) in all.iter().enumerate() {
                let within = |millis| all[i..].partition_point(|time| *time < first + millis) as u64;
                prop_assert!(within(10_000) <= share.max(u64::from(floor) * 10));
                prop_assert!(within(1_000) <= share + u64::from(floor));
            }
        }

        #[test]
        fn clocks_and_totals_that_jump_do_no_harm(steps in vec(any::<(u64, u64)>(), 0..200)) {
            let budget = Budget::default();
            for (nanos, total) in steps {
                let now = Moment::from_nanos(nanos);
                budget.tick(now, total);
                budget.withdraw(&RetryPolicy::default(), now, total);
                budget.used(&RetryPolicy::default(), now, total);
            }
        }
    }
}
