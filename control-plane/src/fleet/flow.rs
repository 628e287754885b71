//! How many changes of backends' conditions are told one by one: what flaps must not push everything else out of the
//! memory of events.

use std::time::Duration;

use tokio::time::Instant;

/// Changes that may be told at once, a twentieth of the events that are remembered.
const BURST: u32 = 500;
/// From then on one in this time.
const EVERY: Duration = Duration::from_secs(1);
/// At most so often it is said how many were not told.
const SUMMARY_EVERY: Duration = Duration::from_secs(10);

/// A bucket of tokens for the whole fleet.
#[derive(Debug)]
pub(super) struct Flow {
    tokens: u32,
    /// When the tokens were counted.
    at: Instant,
    untold: u64,
    summed_up: Option<Instant>,
}

impl Default for Flow {
    fn default() -> Self {
        Self { tokens: BURST, at: Instant::now(), untold: 0, summed_up: None }
    }
}

impl Flow {
    /// Whether one more may be told. One that may not is counted.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let fresh = now.saturating_duration_since(self.at).as_nanos() / EVERY.as_nanos();
        let fresh = u32::try_from(fresh).unwrap_or(u32::MAX);
        if fresh > 0 {
            self.tokens = self.tokens.saturating_add(fresh).min(BURST);
            self.at += EVERY.saturating_mul(fresh);
        }
        let admitted = self.tokens > 0;
        self.tokens -= u32::from(admitted);
        self.untold += u64::from(!admitted);
        admitted
    }

    /// How many were not told since the last time, if it is time to say so.
    pub(super) fn sum_up(&mut self, now: Instant) -> Option<u64> {
        let due = self.summed_up.is_none_or(|last| now.saturating_duration_since(last) >= SUMMARY_EVERY);
        if !due || self.untold == 0 {
            return None;
        }
        self.summed_up = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_summed_up() {
        let mut flow = Flow::default();
        let start = flow.at;
        let (mut told, mut summaries, mut untold) = (0, 0, 0);
        // 10,000 backends change every second for a minute.
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            told += (0..10_000).filter(|_| flow.admits(now)).count();
            let summary = flow.sum_up(now);
            summaries += usize::from(summary.is_some());
            untold += summary.unwrap_or(0);
        }
        assert_eq!(told, 500 + 59);
        assert_eq!(summaries, 6, "every 10 s");
        let now = start + Duration::from_mins(2);
        untold += flow.sum_up(now).unwrap_or(0);
        assert_eq!((told as u64 + untold, flow.sum_up(now)), (600_000, None), "nothing is lost from the sum");
        assert!(flow.admits(now));
    }
}
