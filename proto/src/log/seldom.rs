//! A bound on lines that others can cause.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

/// The pace that lines of one kind are held to.
const PERIOD: Duration = Duration::from_secs(1);

/// Lines of one kind at once after a quiet time: a few that belong together are all told.
const BURST: u32 = 10;

/// A line of the log that others can cause: `seldom!(warn, "..")` is `tracing::warn!("..")` ten times at once, then once
/// a second, and tells how many were left out.
#[macro_export]
macro_rules! seldom {
    ($level:ident, $($line:tt)+) => {{
        static TURNS: $crate::log::Seldom = $crate::log::Seldom::new();
        if let Some(turn) = TURNS.turn() {
            tracing::$level!(untold = turn.untold, $($line)+);
        }
    }};
}

/// The turns of one kind of line.
#[derive(Debug, Default)]
pub struct Seldom {
    /// In nanoseconds, when all turns so far will have been due (GCRA, ITU-T I.371).
    due: AtomicU64,
    untold: AtomicU64,
}

/// Leave for one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// How many lines had none since the last one, if there were any: a field of the line.
    pub untold: Option<u64>,
}

impl Seldom {
    /// One whose next turn is at once.
    #[must_use]
    pub const fn new() -> Self {
        Self { due: AtomicU64::new(0), untold: AtomicU64::new(0) }
    }

    /// None if it is no line's turn.
    pub fn turn(&self) -> Option<Turn> {
        let (now, period) = (nanos(now()), nanos(PERIOD));
        let taken = self.due.fetch_update(Relaxed, Relaxed, |due| {
            let next = due.max(now) + period;
            (next <= now + period * u64::from(BURST)).then_some(next)
        });
        if taken.is_err() {
            self.untold.fetch_add(1, Relaxed);
            return None;
        }
        Some(Turn { untold: Some(self.untold.swap(0, Relaxed)).filter(|untold| *untold > 0) })
    }
}

/// Since the first turn of any line.
fn now() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    now.saturating_duration_since(*FIRST.get_or_init(|| now))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_gets_ten_lines_and_one_a_second_which_tells_how_many_are_missing() {
        let seldom = Seldom::new();
        let turns = || (0..1_000).filter_map(|_| seldom.turn()).map(|turn| turn.untold).collect::<Vec<_>>();
        assert_eq!(turns(), [None; 10]);
        tokio::time::advance(PERIOD).await;
        assert_eq!(turns(), [Some(990)]);
        tokio::time::advance(3 * PERIOD).await;
        assert_eq!(turns(), [Some(999), None, None]);
        tokio::time::advance(100 * PERIOD).await;
        assert_eq!(turns().len(), 10);
    }
}
