//! What this proxy has under way to a service and has learned of it: outlasts the tables, whatever its policy becomes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use crate::admission::Gate;

/// Shared by all workers, and by all endpoints of the service.
#[derive(Debug, Default)]
pub(crate) struct Live {
    gate: Gate,
    /// Something about the health of its endpoints has changed.
    changed: AtomicBool,
    /// Endpoints that are ejected or on probation.
    ejected: AtomicU32,
}

impl Live {
    /// Who counts, and holds back, requests.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Something about the health of an endpoint has changed: who waits may look again, and shares are to be computed anew.
    pub(crate) fn changed(&self) {
        self.changed.store(true, Relaxed);
        self.gate.look_again();
    }

    /// Whether anything changed since this was asked last.
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Relaxed)
    }

    /// Endpoints that are ejected or on probation.
    pub(crate) fn ejected(&self) -> &AtomicU32 {
        &self.ejected
    }
}
