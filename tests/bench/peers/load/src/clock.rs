//! The clock that all processes of a machine share, so that what they note down can be put in one order.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Since a moment that is the same for every process, whatever it is (`CLOCK_MONOTONIC`).
#[must_use]
pub fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}
