//! What requests to an endpoint met, counted where all workers see it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// On one line of the cache: whoever ends a request has touched it already.
#[derive(Debug, Default)]
pub(crate) struct Passive {
    in_flight: AtomicU32,
    /// In a row, without a success between.
    consecutive_5xx: AtomicU32,
    /// The same, of those that are a gateway's.
    consecutive_gateway: AtomicU32,
    /// Since the start; whoever wants those of an interval takes the difference.
    successes: AtomicU64,
    failures: AtomicU64,
}

impl Passive {
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// One more, if there are less than `limit`.
    pub(super) fn begin(&self, limit: u32) -> bool {
        let begin = |in_flight| (in_flight < limit).then_some(in_flight + 1);
        self.in_flight.fetch_update(Relaxed, Relaxed, begin).is_ok()
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// A request succeeded.
    pub(crate) fn succeed(&self) {
        self.begin_well();
        self.end_well();
    }

    /// A request has a good answer so far: its body is still to come.
    pub(crate) fn begin_well(&self) {
        self.successes.fetch_add(1, Relaxed);
    }

    /// The body came to its end.
    pub(crate) fn end_well(&self) {
        // Mostly they are 0, and need not be written.
        if self.consecutive_5xx.load(Relaxed) > 0 {
            self.forgive();
        }
    }

    /// A request failed. Failures in a row, this one included: of any kind, and those that are a gateway's.
    pub(crate) fn fail(&self, gateway: bool) -> (u32, u32) {
        self.failures.fetch_add(1, Relaxed);
        let any = self.consecutive_5xx.fetch_add(1, Relaxed) + 1;
        if !gateway {
            self.consecutive_gateway.store(0, Relaxed);
            return (any, 0);
        }
        (any, self.consecutive_gateway.fetch_add(1, Relaxed) + 1)
    }

    /// Failures so far do not count towards the next ejection.
    pub(crate) fn forgive(&self) {
        self.consecutive_5xx.store(0, Relaxed);
        self.consecutive_gateway.store(0, Relaxed);
    }

    /// Failures in a row up to now.
    pub(crate) fn consecutive_failures(&self) -> u32 {
        self.consecutive_5xx.load(Relaxed)
    }

    /// Successes and failures since the start.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.successes.load(Relaxed), self.failures.load(Relaxed))
    }
}
