//! What a peer may cost without asking for anything, or answering. Counts only; knows neither time nor network.

use std::time::Duration;

use super::frames::Frame;

/// Frames in a row that do nothing: half of what a flood may have.
const BURST: i32 = 500;

/// Such frames that are forgiven each second, for ever.
const RATE: u32 = 100;

/// Window updates that may be owed to data that was sent: so many frames of 16 KiB may be on their way.
const MOST_UPDATES: i32 = 16 * 1024;

/// What a request costs that cannot be served: more than it earned. Clients that do not know the limit yet may begin
/// some hundreds too many.
const REFUSED: i32 = 2;

/// What a client that cancels costs: more than its request earned.
const RESET: i32 = 2;

/// What a backend may say to a request besides the answer's data: an informational response or some, the head, trailers,
/// a reset.
const ANSWER: i32 = 12;

/// A frame of data that was sent allows updates for its stream and for the connection; long data is sent in frames of
/// this size at least.
const FRAME: usize = 16 * 1024;

/// Two accounts: one for what follows data that was sent, which may be much, and one for the rest. Both begin full, are
/// filled by useful work and by time, and end the connection when they are overdrawn.
#[derive(Debug)]
pub(crate) struct Budget {
    general: i32,
    updates: i32,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { general: BURST, updates: BURST }
    }

    /// A frame has come.
    pub(crate) fn received(&mut self, frame: Frame) {
        match frame {
            Frame::Data | Frame::Trailers { ends: true } => {}
            Frame::Open { .. } => self.earn(1),
            Frame::Reset => self.general = self.general.saturating_sub(RESET),
            Frame::WindowUpdate => self.updates = self.updates.saturating_sub(1),
            Frame::EmptyData
            | Frame::Trailers { ends: false }
            | Frame::Continuation { .. }
            | Frame::Control => {
                self.general = self.general.saturating_sub(1);
            }
        }
    }

    /// A frame has come from a backend.
    pub(crate) fn answered_with(&mut self, frame: Frame) {
        match frame {
            Frame::Open { .. } | Frame::Trailers { .. } => self.general = self.general.saturating_sub(1),
            frame => self.received(frame),
        }
    }

    /// A backend was sent a request.
    pub(crate) fn asked(&mut self) {
        self.sent(0);
        self.earn(ANSWER);
    }

    /// Requests came that could not be served.
    pub(crate) fn refused(&mut self, requests: u32) {
        let cost = i32::try_from(requests).unwrap_or(i32::MAX).saturating_mul(REFUSED);
        self.general = self.general.saturating_sub(cost);
    }

    /// Data was sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        let frames = i32::try_from(bytes / FRAME).unwrap_or(i32::MAX).saturating_add(1);
        self.updates = self.updates.saturating_add(frames.saturating_mul(2)).min(MOST_UPDATES);
        self.earn(1);
    }

    /// A response was sent to its end.
    pub(crate) fn answered(&mut self) {
        self.earn(1);
    }

    /// Whether nothing is left, even with what time has earned. Looks at the clock only when it must: `passed` tells the
    /// time since the last look.
    pub(crate) fn is_overdrawn(&mut self, passed: impl FnOnce() -> Duration) -> bool {
        if self.is_empty() {
            self.refill(passed());
        }
        self.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.general < 0 || self.updates < 0
    }

    /// Time has passed.
    fn refill(&mut self, passed: Duration) {
        let earned = passed.as_millis().saturating_mul(u128::from(RATE)) / 1000;
        let earned = i32::try_from(earned).unwrap_or(BURST).min(2 * BURST);
        self.earn(earned);
        if self.updates < BURST {
            self.updates = self.updates.saturating_add(earned).min(BURST);
        }
    }

    fn earn(&mut self, n: i32) {
        self.general = self.general.saturating_add(n).min(BURST);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many frames a client gets through with that repeats these.
    fn lasts(frames: &[Frame]) -> usize {
        let mut budget = Budget::new();
        let mut n = 0;
        for frame in frames.iter().cycle().take(10_000) {
            budget.received(*frame);
            n += 1;
            if budget.is_empty() {
                return n;
            }
        }
        usize::MAX
    }

    const OPEN: Frame = Frame::Open { ends: true };

    #[test]
    fn every_flood_ends_within_a_thousand_frames() {
        for flood in [
            &[Frame::Control][..],
            &[Frame::EmptyData],
            &[Frame::WindowUpdate],
            &[Frame::Reset],
            &[Frame::Continuation { ends: false }],
            &[OPEN, Frame::Reset],
            &[OPEN, Frame::Control, Frame::Control, Frame::Control],
            &[OPEN, Frame::WindowUpdate, Frame::WindowUpdate],
            &[Frame::Trailers { ends: false }, Frame::Continuation { ends: true }],
            &[Frame::Data, Frame::Control],
        ] {
            assert!(lasts(flood) <= 1002, "{flood:?} lasts {}", lasts(flood));
        }
    }

    #[test]
    fn honest_clients_go_on_for_ever() {
        for honest in [&[OPEN][..], &[OPEN, Frame::Data], &[OPEN, Frame::Control], &[Frame::Data]] {
            assert_eq!(lasts(honest), usize::MAX, "{honest:?}");
        }
    }

    #[test]
    fn who_is_sent_data_may_update_windows_and_ping() {
        let mut budget = Budget::new();
        for _ in 0..10_000 {
            budget.sent(10);
            for frame in [Frame::WindowUpdate, Frame::WindowUpdate, Frame::Control] {
                budget.received(frame);
            }
        }
        budget.sent(64 * 1024 * 1024);
        for _ in 0..8192 {
            budget.received(Frame::WindowUpdate);
        }
        assert!(!budget.is_empty());
    }

    #[test]
    fn floods_of_backends_end_within_a_thousand_frames() {
        for flood in [
            Frame::Control,
            Frame::EmptyData,
            Frame::WindowUpdate,
            Frame::Reset,
            Frame::Open { ends: true },
            Frame::Trailers { ends: true },
            Frame::Continuation { ends: false },
        ] {
            let mut budget = Budget::new();
            budget.asked();
            let lasts = (1..2000).find(|_| {
                budget.answered_with(flood);
                budget.is_empty()
            });
            assert!(lasts.is_some_and(|n| n <= 1000), "{flood:?} lasts {lasts:?}");
        }
    }

    #[test]
    fn backends_that_answer_go_on_for_ever() {
        let head = Frame::Trailers { ends: true };
        let large = Frame::Trailers { ends: false };
        for answer in [
            &[head, Frame::Data][..],
            &[head, Frame::Data, Frame::EmptyData, head],
            &[head, head, head, large, Frame::Continuation { ends: true }, Frame::Reset],
            &[Frame::WindowUpdate, Frame::WindowUpdate, Frame::Control, head],
        ] {
            let mut budget = Budget::new();
            for _ in 0..10_000 {
                budget.asked();
                for frame in answer {
                    budget.answered_with(*frame);
                }
            }
            assert!(!budget.is_empty(), "{answer:?}");
        }
    }

    #[test]
    fn half_of_all_requests_may_be_cancelled() {
        let mut budget = Budget::new();
        for _ in 0..10_000 {
            budget.received(OPEN);
            budget.answered();
            budget.received(OPEN);
            budget.received(Frame::Reset);
        }
        assert!(!budget.is_empty());
    }

    #[test]
    fn requests_that_cannot_be_served_end_the_connection_when_they_are_repeated() {
        let mut budget = Budget::new();
        let mut n = 0;
        while !budget.is_empty() {
            budget.received(OPEN);
            budget.refused(1);
            n += 1;
        }
        assert!((BURST..=2 * BURST).contains(&n), "{n}");
    }

    #[test]
    fn time_forgives_slowly() {
        let mut budget = Budget::new();
        for second in 0..1000 {
            for _ in 0..RATE {
                budget.received(Frame::Control);
            }
            budget.refill(Duration::from_secs(1));
            assert!(!budget.is_empty(), "after {second} s");
        }
        // No client saves up for a flood.
        budget.refill(Duration::from_hours(1));
        for _ in 0..=BURST {
            budget.received(Frame::Control);
        }
        assert!(budget.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_done_no_flood_lasts_longer_afterwards(
            works in prop::collection::vec((0..4u8, 0..100_000usize), 0..50)
        ) {
            let mut budget = Budget::new();
            for (what, n) in works {
                match what {
                    0 => budget.sent(n),
                    1 => budget.answered(),
                    2 => budget.refill(Duration::from_millis(n as u64)),
                    _ => budget.received(OPEN),
                }
            }
            for _ in 0..=BURST {
                budget.received(Frame::Control);
            }
            prop_assert!(budget.is_empty());
            let mut updates = 0;
            while budget.updates >= 0 {
                budget.received(Frame::WindowUpdate);
                updates += 1;
            }
            prop_assert!(updates <= MOST_UPDATES + 1);
        }
    }
}
