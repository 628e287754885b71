//! From a service to a backend that has room for the request, now or soon.

use std::{rc::Rc, sync::Arc};

use tokio::time::Instant;

use crate::{
    admission::{Full, Gate, Turn},
    balance::{Among, Pick, Picked},
    endpoint::{Endpoint, EndpointId, InFlight, Marks},
    reason::Reason,
    table::ServiceEntry,
    worker::{InForce, Local},
};

/// Between a pick and its use others may take what was picked. So often it is tried again at once.
const RACES: usize = 8;

/// What the request wants of a pick.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    pub(super) tried: &'a [EndpointId],
    /// Whether it may decide about an endpoint on probation.
    pub(super) may_decide: bool,
    /// The hash of what the service's policy asks for.
    pub(super) key: u64,
    /// Whether it has waited its turn, and nobody who waits comes before it.
    pub(super) waited: bool,
    /// The line that it waits in if it must wait.
    pub(super) turn: Turn,
    /// The endpoint that its client has been with, if that may still have it: then no other is looked for.
    pub(super) pinned: Option<&'a Arc<Endpoint>>,
}

/// Why there is no backend.
#[derive(Debug)]
pub(super) enum Denied {
    Refused(Reason),
    /// There is none in the table that the request knows, and a newer one is in force.
    Outdated(Rc<InForce>),
}

/// What the request is told at once.
#[derive(Debug)]
pub(super) enum Admission {
    Made(InFlight),
    Denied(Denied),
    /// Nobody has room now.
    Full,
}

/// An endpoint with room, if there is one and nobody waits for it: nobody passes those who wait.
pub(super) fn now(
    local: &Local,
    table: &Rc<InForce>,
    service: &ServiceEntry,
    wanted: Wanted<'_>,
) -> Admission {
    if service.live.gate().has_line(wanted.turn) && !wanted.waited {
        return Admission::Full;
    }
    match enter(service, wanted) {
        Entry::Made(in_flight) => Admission::Made(in_flight),
        Entry::Refused(reason) => {
            Admission::Denied(outdated(local, table).unwrap_or(Denied::Refused(reason)))
        }
        Entry::Full => Admission::Full,
    }
}

/// An endpoint with room, after a while in the service's queue.
pub(super) async fn soon(
    local: &Local,
    table: &Rc<InForce>,
    service: &ServiceEntry,
    wanted: Wanted<'_>,
) -> Result<InFlight, Denied> {
    let breakers = &service.service.circuit_breakers;
    let deadline = Instant::now() + breakers.queue_timeout;
    let look = || match enter(service, wanted) {
        Entry::Made(in_flight) => Ok(Ok(in_flight)),
        Entry::Refused(reason) => Ok(Err(outdated(local, table).unwrap_or(Denied::Refused(reason)))),
        Entry::Full => outdated(local, table).map(Err).ok_or(Full),
    };
    let (most, gate) = (breakers.max_pending_requests, service.live.gate());
    match gate.wait(wanted.turn, most, deadline, wanted.waited, look).await {
        Ok(entered) => entered,
        Err(reason) => Err(Denied::Refused(reason)),
    }
}

/// An endpoint that has room now, for those that wait for nothing.
pub(super) fn at_once(service: &ServiceEntry, wanted: &Wanted<'_>) -> Option<InFlight> {
    if service.live.gate().has_line(Turn::Second) {
        return None;
    }
    match enter(service, *wanted) {
        Entry::Made(in_flight) => Some(in_flight),
        Entry::Refused(_) | Entry::Full => None,
    }
}

enum Entry {
    Made(InFlight),
    Refused(Reason),
    Full,
}

fn outdated(local: &Local, table: &Rc<InForce>) -> Option<Denied> {
    local.table().filter(|newest| !Rc::ptr_eq(newest, table)).map(Denied::Outdated)
}

/// Takes a place in the service, then one at the endpoint that is picked.
fn enter(service: &ServiceEntry, wanted: Wanted<'_>) -> Entry {
    let breakers = &service.service.circuit_breakers;
    let gate = service.live.gate();
    if service.members.is_empty() {
        return Entry::Refused(Reason::NoBackends);
    }
    if !gate.enter(service.max_requests()) {
        return Entry::Full;
    }
    let place = Place(gate);
    let mut pick = Pick {
        key: wanted.key,
        tried: wanted.tried,
        among: Among::Healthy,
        may_decide: wanted.may_decide,
        limit: breakers.max_requests_per_backend,
        load: gate.held(),
        slow_start: service.service.slow_start.as_ref(),
        spares: true,
    };
    if let Some(in_flight) = wanted.pinned.and_then(|endpoint| stay(endpoint, &pick)) {
        std::mem::forget(place);
        return Entry::Made(in_flight);
    }
    for _ in 0..RACES {
        match service.balance.pick(&pick) {
            Picked::Endpoint(endpoint, among) => {
                if let Some(in_flight) = endpoint.begin(&Pick { among, ..pick }) {
                    // It is the endpoint's now.
                    std::mem::forget(place);
                    return Entry::Made(in_flight);
                }
            }
            // All were tried: any of them again.
            Picked::Full if !pick.tried.is_empty() => pick.tried = &[],
            Picked::Full => break,
            Picked::Nobody => return Entry::Refused(Reason::NoRoutableBackend),
        }
    }
    Entry::Full
}

/// The endpoint that the request's client has been with, if nothing but draining speaks against it.
fn stay(endpoint: &Arc<Endpoint>, pick: &Pick<'_>) -> Option<InFlight> {
    may_stay(endpoint, pick).then(|| endpoint.begin(pick)).flatten()
}

/// Whether it is so, but for room.
pub(crate) fn may_stay(endpoint: &Endpoint, pick: &Pick<'_>) -> bool {
    let marks = endpoint.marks().without(Marks::DRAINING.and(Marks::RAMPING).and(Marks::LIMITED));
    marks.is_empty() && !pick.tried.contains(&endpoint.id())
}

/// A place in the service that is of no use until there is an endpoint.
struct Place<'a>(&'a Gate);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.turn_back();
    }
}
