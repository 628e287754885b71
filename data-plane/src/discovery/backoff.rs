//! How long to wait before the next connection: exponential, with full jitter, so that a fleet spreads out.
//! ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)

use std::time::Duration;

/// The ceiling of the first wait.
const FIRST: Duration = Duration::from_millis(200);
/// The ceiling of all later ones. It holds after jitter.
const MOST: Duration = Duration::from_secs(10);

/// The waits between attempts that fail one after the other.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait: anything from nothing to the ceiling, which doubles with each call.
    pub(crate) fn next(&mut self) -> Duration {
        let ceiling = ceiling(self.failures);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(fastrand::f64())
    }

    /// An attempt succeeded.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

fn ceiling(failures: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(MOST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_cap_holds_after_jitter(failures in any::<u32>()) {
            let mut backoff = Backoff { failures };
            prop_assert!(backoff.next() <= MOST);
            prop_assert!(backoff.next() <= MOST);
        }

        #[test]
        fn the_ceiling_never_falls(failures in 0_u32..1000) {
            prop_assert!(ceiling(failures) <= ceiling(failures + 1));
        }
    }

    #[test]
    fn the_ceiling_doubles_from_the_first_to_the_cap() {
        let steps: Vec<_> = (0..7).map(|n| ceiling(n).as_millis()).collect();
        assert_eq!(steps, [200, 400, 800, 1600, 3200, 6400, 10_000]);
    }

    #[test]
    fn jitter_is_full() {
        let waits: Vec<_> = (0..1000).map(|_| Backoff { failures: 20 }.next()).collect();
        assert!(waits.iter().any(|w| *w < MOST / 10), "some waits are short");
        assert!(waits.iter().any(|w| *w > MOST / 10 * 9), "some waits are long");
    }

    #[test]
    fn success_starts_anew() {
        let mut backoff = Backoff { failures: 20 };
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
