//! When a drain does what.

use std::time::Duration;

use tokio::time::Instant;

/// The last part of the time is for closing, and no more than this.
const MOST_CLOSING: Duration = Duration::from_secs(10);
/// How long after the time the proxies may take to say that all is closed.
const LAST_WORD: Duration = Duration::from_secs(1);

/// The moments of one drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schedule {
    /// From here on, what is in flight is closed.
    close_at: Instant,
    /// Here the last of it is to be closed: early enough for the word of it to arrive in time.
    closed_by: Instant,
    /// Here nobody is waited for any more.
    end: Instant,
}

impl Schedule {
    /// Of a drain that begins now and may last so long.
    pub(super) fn new(now: Instant, within: Duration) -> Self {
        let closing = (within / 10).min(MOST_CLOSING);
        let close_at = now + within.saturating_sub(closing);
        Self { close_at, closed_by: close_at + closing * 4 / 5, end: now + within + LAST_WORD }
    }

    /// In how much time the last request is to be closed; None while requests may run.
    pub(super) fn closing(&self, now: Instant) -> Option<Duration> {
        (now >= self.close_at).then(|| self.closed_by.saturating_duration_since(now))
    }

    /// Whether it is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.end
    }

    /// The next moment.
    pub(super) fn next(&self, now: Instant) -> Instant {
        if now < self.close_at { self.close_at } else { self.end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tenth_is_for_closing_and_never_more_than_10_s() {
        let now = Instant::now();
        for (within, closing) in [(60_000, 6_000), (1_000, 100), (0, 0), (3_600_000, 10_000)] {
            let (within, closing) = (Duration::from_millis(within), Duration::from_millis(closing));
            let schedule = Schedule::new(now, within);
            let begin = now + within - closing;
            assert_eq!(schedule.closing(begin), Some(closing * 4 / 5));
            assert_eq!(schedule.closing(now + within), Some(Duration::ZERO));
            if let Some(before) = begin.checked_sub(Duration::from_millis(1)).filter(|b| *b >= now) {
                assert_eq!((schedule.closing(before), schedule.next(before)), (None, begin));
            }
            assert!(!schedule.is_over(now + within) && schedule.is_over(now + within + LAST_WORD));
        }
    }
}
