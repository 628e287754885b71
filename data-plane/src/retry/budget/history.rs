//! What a number that only grows was at the beginning of each recent span of time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::moment::Moment;

/// The last `SPANS` spans of `MILLIS` ms, in which somebody looked. Each is one word: the span's number and the total,
/// the low 32 bits of both.
#[derive(Debug)]
pub(super) struct History<const SPANS: usize, const MILLIS: u64>([AtomicU64; SPANS]);

impl<const SPANS: usize, const MILLIS: u64> Default for History<SPANS, MILLIS> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl<const SPANS: usize, const MILLIS: u64> History<SPANS, MILLIS> {
    /// Keeps the total as that of the beginning of this span, if it is the first to be told. Whoever adds to the total
    /// tells it first.
    pub(super) fn note(&self, now: Moment, total: u32) {
        let span = Self::span(now);
        let Some(place) = self.0.get(span as usize % SPANS) else { return };
        let kept = place.load(Relaxed);
        if high(kept) != span {
            let word = u64::from(span) << 32 | u64::from(total);
            // Another who was faster told the same, or less.
            let _ = place.compare_exchange(kept, word, Relaxed, Relaxed);
        }
    }

    /// How much the total, which is `total` now, has grown in this span and `before` before it.
    pub(super) fn growth(&self, now: Moment, before: u32, total: u32) -> u32 {
        let span = Self::span(now);
        let recent = |word: &u64| *word != 0 && span.wrapping_sub(high(*word)) <= before;
        // The number only grows, so the oldest is the least. What somebody has noted since `total` was read is more.
        let growth = |word| total.wrapping_sub(low(word)).cast_signed().max(0).cast_unsigned();
        self.0.iter().map(|place| place.load(Relaxed)).filter(recent).map(growth).max().unwrap_or(0)
    }

    /// The first is 1: a word of 0 is of no span.
    fn span(now: Moment) -> u32 {
        low(now.as_nanos() / (MILLIS * 1_000_000) + 1)
    }
}

/// The low half.
#[expect(
    clippy::cast_possible_truncation,
    reason = "that is what it is for; differences of numbers are small"
)]
pub(super) fn low(word: u64) -> u32 {
    word as u32
}

/// The high half.
pub(super) fn high(word: u64) -> u32 {
    low(word >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seconds = History<16, 1_000>;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn the_first_of_a_span_counts() {
        let history = Seconds::default();
        for (millis, total) in [(0, 5), (900, 7), (1_000, 8), (1_999, 20)] {
            history.note(at(millis), total);
        }
        assert_eq!(history.growth(at(1_999), 0, 21), 13);
        assert_eq!(history.growth(at(1_999), 1, 21), 16);
        assert_eq!(history.growth(at(2_000), 0, 21), 0, "nobody has looked in this second");
    }

    #[test]
    fn the_old_is_forgotten() {
        let history = Seconds::default();
        history.note(at(0), 0);
        assert_eq!(history.growth(at(9_999), 9, 100), 100);
        assert_eq!(history.growth(at(10_000), 9, 100), 0);
        assert_eq!(history.growth(at(1 << 40), 9, 100), 0);
    }

    #[test]
    fn totals_may_wrap_and_may_be_newer_than_the_one_that_asks() {
        let history = Seconds::default();
        history.note(at(0), u32::MAX - 1);
        assert_eq!(history.growth(at(0), 9, 3), 5);
        assert_eq!(history.growth(at(0), 9, u32::MAX - 2), 0);
    }
}
