//! Counts the frames of an HTTP/2 connection that ask for an answer and bring nothing (RFC 9113 section 10.5), so that a
//! flood of them ends before it costs more than finding their ends.

use std::time::Duration;

use tokio::time::Instant;

/// Such frames at once. Clients that measure a connection by pings send a few for each window of data.
const BURST: u32 = 1_000;
/// From then on, one in this time.
const EVERY: Duration = Duration::from_millis(5);
/// Length, kind, flags and stream (section 4.1).
const HEAD: usize = 9;
/// The kind of a frame that begins a request (section 6.2).
const HEADERS: u8 = 1;

/// Where a connection is in its frames, and what it may still send.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes until the next frame's head.
    skip: usize,
    head: [u8; HEAD],
    /// Bytes of the head that are there.
    got: usize,
    budget: u32,
    /// When the budget was counted.
    at: Instant,
    /// Whether a request has begun.
    asked: bool,
}

impl Frames {
    /// A connection of which so many bytes come before the first frame.
    pub(super) fn after(skip: usize, now: Instant) -> Self {
        Self { skip, head: [0; HEAD], got: 0, budget: BURST, at: now, asked: false }
    }

    /// Whether these bytes may follow. Once they may not, nothing may.
    pub(super) fn admit(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        let mut idle = 0_u32;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            let wanted = (HEAD - self.got).min(bytes.len() - skipped);
            self.head[self.got..self.got + wanted].copy_from_slice(&bytes[skipped..skipped + wanted]);
            self.got += wanted;
            bytes = &bytes[skipped + wanted..];
            if self.got < HEAD || self.skip > 0 {
                break;
            }
            let [a, b, c, kind, ..] = self.head;
            (self.got, self.skip) = (0, usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c));
            idle += u32::from(asks_only(kind));
            self.asked |= kind == HEADERS;
        }
        idle == 0 || self.spend(idle, now)
    }

    /// Whether the client has begun a request.
    pub(super) fn has_asked(&self) -> bool {
        self.asked
    }

    fn spend(&mut self, frames: u32, now: Instant) -> bool {
        let fresh = now.saturating_duration_since(self.at).as_nanos() / EVERY.as_nanos();
        let fresh = u32::try_from(fresh).unwrap_or(u32::MAX);
        if fresh > 0 {
            self.budget = self.budget.saturating_add(fresh).min(BURST);
            self.at = now;
        }
        let left = self.budget.checked_sub(frames);
        self.budget = left.unwrap_or(0);
        left.is_some()
    }
}

/// PRIORITY, SETTINGS, PING, and what nobody knows. Resets and header blocks in pieces are counted by the library.
fn asks_only(kind: u8) -> bool {
    matches!(kind, 2 | 4 | 6 | 10..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [.., a, b, c] = length.to_be_bytes();
        let mut frame = vec![a, b, c, kind, 0, 0, 0, 0, 0];
        frame.resize(HEAD + length, 0xff);
        frame
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_pings_ends_and_a_few_of_them_never_do() {
        let ping = frame(6, 8);
        let mut frames = Frames::after(0, Instant::now());
        assert!(frames.admit(&ping.repeat(1_000), Instant::now()));
        assert!(!frames.admit(&ping, Instant::now()));
        let mut frames = Frames::after(0, Instant::now());
        for _ in 0..10_000 {
            assert!(frames.admit(&ping.repeat(10), Instant::now()));
            tokio::time::advance(10 * EVERY).await;
        }
    }

    #[test]
    fn data_is_never_too_much() {
        let (now, mut frames) = (Instant::now(), Frames::after(24, Instant::now()));
        assert!(frames.admit(&[0; 24], now));
        for _ in 0..100_000 {
            assert!(frames.admit(&frame(0, 10), now) && frames.admit(&frame(8, 4), now));
        }
    }

    proptest! {
        #[test]
        fn however_the_bytes_come_the_same_frames_are_counted(
            kinds in proptest::collection::vec((0_u8..12, 0_usize..40), 0..40), piece in 1_usize..64,
        ) {
            let now = Instant::now();
            let bytes: Vec<u8> = kinds.iter().flat_map(|(kind, length)| frame(*kind, *length)).collect();
            let (mut whole, mut pieces) = (Frames::after(0, now), Frames::after(0, now));
            prop_assert!(whole.admit(&bytes, now));
            for piece in bytes.chunks(piece) {
                prop_assert!(pieces.admit(piece, now));
            }
            let asked: u32 = kinds.iter().map(|(kind, _)| u32::from(asks_only(*kind))).sum();
            prop_assert_eq!((whole.budget, pieces.budget), (BURST - asked, BURST - asked));
        }
    }
}
