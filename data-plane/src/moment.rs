//! A point in time as one number, so that threads can share it in an atomic.

use std::sync::OnceLock;

use tokio::time::{Duration, Instant};

/// Nanoseconds since the first one that this process asked for. Enough for 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) fn now() -> Self {
        Self::of(Instant::now())
    }

    /// What is before the first one is the first one.
    pub(crate) fn of(instant: Instant) -> Self {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        // Never 0, which in an atomic stands for "not yet".
        let first = *FIRST.get_or_init(|| instant.checked_sub(Duration::from_nanos(1)).unwrap_or(instant));
        Self::from_nanos(nanos(instant.saturating_duration_since(first)))
    }

    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) fn as_nanos(self) -> u64 {
        self.0
    }

    /// Nothing if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

/// Longer than 584 years is cut to that.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn moments_are_as_far_apart_as_instants() {
        let (start, second) = (Moment::now(), Duration::from_secs(1));
        tokio::time::advance(second).await;
        assert_eq!(Moment::now().since(start), second);
        assert_eq!(start.since(Moment::now()), Duration::ZERO);
        assert_eq!(start.plus(second), Moment::now());
    }
}
