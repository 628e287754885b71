//! The story of an endpoint's health, behind a lock: for those few who change it, and those who show it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::endpoint::HealthRecord;

/// Of one endpoint. A request opens it only when it ejects the endpoint or readmits it; what picks ask for stands in the
/// endpoint's marks.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<HealthRecord>);

impl Record {
    /// Whoever writes writes all at once, so that one that panicked leaves nothing half done.
    pub(crate) fn open(&self) -> MutexGuard<'_, HealthRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
