//! How long to wait before the next try: exponential with full jitter, so that a fleet does not come back at once.

use std::time::Duration;

/// The first ceiling; each further one is twice as high.
const FIRST: Duration = Duration::from_millis(200);
/// No ceiling is higher.
const CAP: Duration = Duration::from_secs(10);

/// Counts the tries.
#[derive(Debug)]
pub(crate) struct Backoff {
    tries: u32,
    cap: Duration,
}

impl Backoff {
    /// For a lease of this ttl. The waits stay below a third of it: after a restart of the control plane a lease has one
    /// ttl to be renewed in.
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { tries: 0, cap: CAP.min(ttl / 3) }
    }

    /// Anything from nothing to the present ceiling.
    pub(crate) fn next(&mut self) -> Duration {
        let ceiling = FIRST.saturating_mul(2u32.saturating_pow(self.tries)).min(self.cap);
        self.tries = self.tries.saturating_add(1);
        ceiling.mul_f64(fastrand::f64())
    }

    /// It went well: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_cap_and_spread() {
        for _ in 0..100 {
            let mut backoff = Backoff::new(Duration::from_mins(10));
            assert!(backoff.next() <= FIRST);
            let later: Vec<_> = (0..1_000).map(|_| backoff.next()).collect();
            assert!(later.iter().all(|wait| *wait <= CAP));
            assert!(later.iter().any(|wait| *wait > CAP / 2));
            assert!(later[10..].iter().any(|wait| *wait < CAP / 2));
            backoff.reset();
            assert!(backoff.next() <= FIRST);
        }
    }

    #[test]
    fn a_short_lease_is_not_slept_through() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        assert!((0..100).all(|_| backoff.next() <= Duration::from_secs(1) / 3));
    }
}
