//! Moments as numbers, so that thousands of tasks can note them without a lock.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

/// A moment that is noted again and again; at first there is none.
#[derive(Debug, Default)]
pub(crate) struct Noted(AtomicU64);

impl Noted {
    /// It is now.
    pub(crate) fn now(&self) {
        self.0.store(nanoseconds(Instant::now()), Relaxed);
    }

    /// There is none any more.
    pub(crate) fn never(&self) {
        self.0.store(0, Relaxed);
    }

    /// The last one.
    pub(crate) fn get(&self) -> Option<Instant> {
        let noted = self.0.load(Relaxed);
        (noted > 0).then(|| first() + Duration::from_nanos(noted))
    }
}

/// Has moments count from now on; nothing may be noted of earlier ones.
pub(crate) fn start() {
    first();
}

fn nanoseconds(at: Instant) -> u64 {
    u64::try_from((at - first()).as_nanos()).unwrap_or(u64::MAX).max(1)
}

fn first() -> Instant {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    *FIRST.get_or_init(Instant::now)
}
