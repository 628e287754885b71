//! When to publish: pure bookkeeping, time passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Changes that follow each other closer than this are published together.
const QUIET: Duration = Duration::from_millis(50);

/// No change waits longer than this.
const AT_MOST: Duration = Duration::from_secs(1);

/// Decides when what was offered is published.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    last: Option<Instant>,
    waiting: Option<Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: Instant,
    due: Instant,
}

impl Debounce {
    /// Takes note of a change. The first one after a quiet time and urgent ones are due at once.
    pub(super) fn offer(&mut self, now: Instant, urgent: bool) {
        let quiet = self.last.is_none_or(|last| now >= last + QUIET);
        self.last = Some(now);
        self.waiting = Some(match self.waiting {
            _ if urgent => Waiting { since: now, due: now },
            Some(Waiting { since, due }) if due > now => {
                Waiting { since, due: (now + QUIET).min(since + AT_MOST) }
            }
            Some(overdue) => overdue,
            None if quiet => Waiting { since: now, due: now },
            None => Waiting { since: now, due: now + QUIET },
        });
    }

    /// When to publish, if anything waits for it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.map(|waiting| waiting.due)
    }

    /// Takes note that what waited was published.
    pub(super) fn done(&mut self) {
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_first_change_after_quiet_does_not_wait() {
        let (mut debounce, t0) = (Debounce::default(), Instant::now());
        debounce.offer(t0, false);
        assert_eq!(debounce.due(), Some(t0));
        debounce.done();
        debounce.offer(t0 + ms(50), false);
        assert_eq!(debounce.due(), Some(t0 + ms(50)));
    }

    #[test]
    fn further_changes_wait_for_quiet() {
        let (mut debounce, t0) = (Debounce::default(), Instant::now());
        debounce.offer(t0, false);
        debounce.done();
        debounce.offer(t0 + ms(10), false);
        debounce.offer(t0 + ms(40), false);
        assert_eq!(debounce.due(), Some(t0 + ms(90)));
    }

    #[test]
    fn no_change_waits_longer_than_a_second() {
        let (mut debounce, t0) = (Debounce::default(), Instant::now());
        debounce.offer(t0, false);
        debounce.done();
        for n in 1..=33 {
            debounce.offer(t0 + ms(30 * n), false);
        }
        assert_eq!(debounce.due(), Some(t0 + ms(1030)));
    }

    #[test]
    fn an_urgent_change_takes_the_waiting_ones_along() {
        let (mut debounce, t0) = (Debounce::default(), Instant::now());
        debounce.offer(t0, false);
        debounce.done();
        debounce.offer(t0 + ms(10), false);
        debounce.offer(t0 + ms(20), true);
        assert_eq!(debounce.due(), Some(t0 + ms(20)));
        debounce.offer(t0 + ms(21), false);
        assert_eq!(debounce.due(), Some(t0 + ms(20)), "a later change does not hold it back");
    }
}
