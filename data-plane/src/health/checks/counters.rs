//! What became of a service's probes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::health::probe::Outcome;

/// Since the service has been known.
#[derive(Debug, Default)]
pub(crate) struct ProbeCounters {
    passed: AtomicU64,
    loaded: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
}

impl ProbeCounters {
    /// How many there were of each outcome, by name.
    pub(crate) fn by_outcome(&self) -> [(&'static str, u64); 4] {
        [
            ("passed", self.passed.load(Relaxed)),
            ("degraded", self.loaded.load(Relaxed)),
            ("failed", self.failed.load(Relaxed)),
            ("skipped", self.skipped.load(Relaxed)),
        ]
    }

    pub(super) fn count(&self, outcome: &Outcome) {
        let count = match outcome {
            Outcome::Passed => &self.passed,
            Outcome::Loaded(_) => &self.loaded,
            Outcome::Failed(_) => &self.failed,
            Outcome::Skipped(_) => &self.skipped,
        };
        count.fetch_add(1, Relaxed);
    }
}
