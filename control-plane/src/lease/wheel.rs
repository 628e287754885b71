//! Leases in the order in which they are to be looked at, in steps of one tick.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;
use weir_proto::LeaseId;

/// How exact it is: nothing comes early, nothing later than this.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Numbers the filings of a lease, so that of several the last is known.
pub(super) type Filing = u32;

/// Buckets of leases, one for each tick that has any. Filing and taking cost O(log ticks), however many leases.
#[derive(Debug)]
pub(super) struct Wheel {
    origin: Instant,
    buckets: BTreeMap<u64, Vec<(Filing, LeaseId)>>,
}

impl Wheel {
    pub(super) fn new(origin: Instant) -> Self {
        Self { origin, buckets: BTreeMap::new() }
    }

    /// Files a lease under the first tick at or after `at`.
    pub(super) fn push(&mut self, at: Instant, number: Filing, id: LeaseId) {
        let ticks = at.saturating_duration_since(self.origin).as_nanos().div_ceil(TICK.as_nanos());
        self.buckets.entry(u64::try_from(ticks).unwrap_or(u64::MAX)).or_default().push((number, id));
    }

    /// Takes one that is filed under a tick that has come at `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Filing, LeaseId)> {
        let come = now.saturating_duration_since(self.origin).as_nanos() / TICK.as_nanos();
        loop {
            let mut first = self.buckets.first_entry().filter(|bucket| u128::from(*bucket.key()) <= come)?;
            match first.get_mut().pop() {
                Some(filed) => return Some(filed),
                None => _ = first.remove(),
            }
        }
    }
}
