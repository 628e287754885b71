//! What became of ejections, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::endpoint::EjectionCause;

/// Of one service, since it has been known.
#[derive(Debug, Default)]
pub(crate) struct EjectionCounts {
    by_cause: [AtomicU64; EjectionCause::ALL.len()],
    prevented: AtomicU64,
}

impl EjectionCounts {
    pub(super) fn ejected(&self, cause: EjectionCause) {
        self.by_cause[cause as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn prevented(&self) {
        self.prevented.fetch_add(1, Relaxed);
    }

    /// Ejections, those that went on after a probation included.
    pub(crate) fn by_cause(&self) -> impl Iterator<Item = (EjectionCause, u64)> {
        let count = |cause: EjectionCause| (cause, self.by_cause[cause as usize].load(Relaxed));
        EjectionCause::ALL.into_iter().map(count)
    }

    /// Failures that would have ejected, had not as many been out as may be.
    pub(crate) fn total_prevented(&self) -> u64 {
        self.prevented.load(Relaxed)
    }
}
