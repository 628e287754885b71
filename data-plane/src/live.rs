//! What this proxy has under way to a service and has learned of it: outlasts the tables, whatever its policy becomes.

use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Relaxed},
};

use weir_proto::Service;

use crate::{
    admission::{Breaker, Gate, Permit},
    health::{EjectionCounts, ProbeCounters, Verdict},
    moment::Moment,
    retry::Budget,
};

/// Shared by all workers, and by all endpoints of the service.
#[derive(Debug, Default)]
pub(crate) struct Live {
    gate: Gate,
    /// Something about the health of its endpoints has changed.
    changed: AtomicBool,
    /// Endpoints that are ejected or on probation.
    ejected: AtomicU32,
    ejections: EjectionCounts,
    panics: AtomicU64,
    probes: ProbeCounters,
    budget: Budget,
    breaker: Breaker,
}

impl Live {
    /// Who counts, and holds back, requests.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Who spares the service when it has failed too often.
    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Tells the circuit what became of a request that had its leave; nothing, if that says nothing about the service.
    pub(crate) fn settle(&self, permit: Permit, verdict: Option<Verdict>, service: &Service) {
        match verdict {
            Some(Verdict::Success | Verdict::GoodSoFar | Verdict::Limited) => {
                self.breaker.succeed(permit, service, Moment::now());
            }
            Some(_) => self.breaker.fail(permit, service, Moment::now()),
            None => {}
        }
    }

    /// For retries and hedges.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
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
    pub(crate) fn ejected(&self) -> u32 {
        self.ejected.load(Relaxed)
    }

    /// Takes a place among the ejected, if there are less than `most` taken. For `Endpoint` alone, as the next one.
    pub(crate) fn take_ejection(&self, most: u32) -> bool {
        let take = |ejected| (ejected < most).then_some(ejected + 1);
        self.ejected.fetch_update(AcqRel, Relaxed, take).is_ok()
    }

    /// Gives it back.
    pub(crate) fn end_ejection(&self) {
        self.ejected.fetch_sub(1, AcqRel);
    }

    /// What became of probes.
    pub(crate) fn probes(&self) -> &ProbeCounters {
        &self.probes
    }

    /// What became of ejections.
    pub(crate) fn ejections(&self) -> &EjectionCounts {
        &self.ejections
    }

    /// From now on health is ignored, because too few backends are usable.
    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    /// How often that was so.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Relaxed)
    }
}
