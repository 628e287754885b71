//! The wait before the next connection: exponential, with full jitter, so that a fleet spreads out.
//! ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)

use std::time::Duration;

/// The ceiling of the first wait.
const FIRST: Duration = Duration::from_millis(200);
/// The life of a stream that was well, after which the next wait is short again. That a stream begins well says nothing:
/// one that begins well and ends at once, each time, would be opened nine times a second.
const LASTED: Duration = Duration::from_secs(30);

/// The waits between attempts that fail one after the other.
#[derive(Debug)]
pub struct Backoff {
    failures: u32,
    most: Duration,
}

impl Backoff {
    /// No wait is longer than `most`, after jitter.
    #[must_use]
    pub fn new(most: Duration) -> Self {
        Self { failures: 0, most }
    }

    /// The next wait: anything from nothing to the ceiling, which doubles with each call.
    pub fn next_wait(&mut self) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(fastrand::f64())
    }

    /// What was opened lasted for so long before it ended: after 30 s the waits begin anew.
    pub fn lasted(&mut self, time: Duration) {
        if time >= LASTED {
            self.failures = 0;
        }
    }

    fn ceiling(&self) -> Duration {
        FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: Duration = Duration::from_secs(10);

    fn after(failures: u32) -> Backoff {
        Backoff { failures, most: MOST }
    }

    proptest! {
        #[test]
        fn the_cap_holds_after_jitter(failures in any::<u32>(), most in 0_u64..100_000) {
            let most = Duration::from_millis(most);
            let mut backoff = Backoff { failures, most };
            prop_assert!(backoff.next_wait() <= most);
            prop_assert!(backoff.next_wait() <= most);
        }

        #[test]
        fn the_ceiling_never_falls(failures in 0_u32..1000) {
            prop_assert!(after(failures).ceiling() <= after(failures + 1).ceiling());
        }
    }

    #[test]
    fn the_ceiling_doubles_from_the_first_to_the_cap() {
        let steps: Vec<_> = (0..7).map(|n| after(n).ceiling().as_millis()).collect();
        assert_eq!(steps, [200, 400, 800, 1600, 3200, 6400, 10_000]);
    }

    #[test]
    fn jitter_is_full() {
        let waits: Vec<_> = (0..1000).map(|_| after(20).next_wait()).collect();
        assert!(waits.iter().any(|w| *w < MOST / 10), "some waits are short");
        assert!(waits.iter().any(|w| *w > MOST / 10 * 9), "some waits are long");
    }

    #[test]
    fn only_what_lasted_starts_the_waits_anew() {
        let mut backoff = after(20);
        backoff.lasted(LASTED.saturating_sub(Duration::from_millis(1)));
        assert_eq!(backoff.ceiling(), MOST);
        backoff.lasted(LASTED);
        assert!(backoff.next_wait() <= FIRST);
    }
}
