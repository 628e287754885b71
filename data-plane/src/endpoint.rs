//! A backend as this proxy sees it: its live state, which outlasts the tables that name it.

mod connections;
mod health;
mod latency;
mod leave;
mod passive;
mod reported;
mod state;

use std::{
    net::SocketAddr,
    ops::DerefMut,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed},
            fence,
        },
    },
};

use weir_proto::BackendKey;

use self::state::State;
pub(crate) use self::{
    connections::{Connected, Connections},
    health::{Ejection, EjectionCause, Health, HealthRecord},
    latency::Latency,
    leave::{Leave, unless_retired},
    passive::Passive,
    reported::Reported,
    state::Marks,
};
use crate::{balance::Pick, health::Record, live::Live, moment::Moment, padded::Padded};

/// Shared by successive tables while the backend's address stays the same.
#[derive(Debug)]
pub(crate) struct Endpoint {
    id: EndpointId,
    key: BackendKey,
    address: SocketAddr,
    /// Of its service.
    live: Arc<Live>,
    state: State,
    /// Requests and tunnels that have this endpoint and have not ended, and what became of the others.
    passive: Padded<Passive>,
    latency: Padded<Latency>,
    reported: Padded<Reported>,
    /// Connections of all workers, idle ones too.
    connections: Padded<Connections>,
    /// When it was given less than its share last.
    ramp_began: AtomicU64,
    /// With `Marks::CLOSING`: when nothing may be in flight any more.
    close_by: AtomicU64,
    /// With `Marks::LIMITED`: when it takes its whole share again.
    limited_until: AtomicU64,
    /// Not for requests, but for those few that change something.
    record: Record,
}

/// Names an endpoint within this process; never used twice. A backend whose address changes is another endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EndpointId(u64);

impl Endpoint {
    /// The endpoint for a backend of the service that `live` is of, which was not known before, or has another address
    /// now. It begins with less than its share, where the service wants that.
    pub(crate) fn new(key: BackendKey, address: SocketAddr, live: &Arc<Live>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let endpoint = Self {
            id: EndpointId(NEXT.fetch_add(1, Relaxed)),
            key,
            address,
            live: Arc::clone(live),
            state: State::default(),
            passive: Padded::default(),
            latency: Padded::default(),
            reported: Padded::default(),
            connections: Padded::default(),
            ramp_began: AtomicU64::new(0),
            close_by: AtomicU64::new(0),
            limited_until: AtomicU64::new(0),
            record: Record::default(),
        };
        endpoint.ramp();
        Arc::new(endpoint)
    }

    pub(crate) fn id(&self) -> EndpointId {
        self.id
    }

    pub(crate) fn key(&self) -> &BackendKey {
        &self.key
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What this proxy has under way to its service.
    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    pub(crate) fn marks(&self) -> Marks {
        self.state.load()
    }

    /// Says whether new requests must stay away. Set between the swap and `Workers::barrier`, for what is gone or not
    /// routable any more, it also reaches requests that hold an older table: they look again right before they send.
    /// Taken away before the swap, for what is routable again.
    pub(crate) fn set_retired(&self, retired: Marks) {
        // Whoever takes new requests need not end those that it has.
        let off = if retired.is_empty() { Marks::RETIRED.and(Marks::CLOSING) } else { Marks::RETIRED };
        let before = self.change(off, retired);
        if before.has(Marks::RETIRED) && retired.is_empty() {
            self.ramp();
        }
        self.live.changed();
    }

    /// `pinned`: the request is of a client that it has already.
    pub(crate) fn is_retired(&self, pinned: bool) -> bool {
        self.marks().has(if pinned { Marks::LEFT } else { Marks::RETIRED })
    }

    /// Has what is in flight here end by then, or sooner if it was to end sooner. False where new requests may come: then
    /// nothing has to end. The tasks of those requests are to be woken afterwards (`Workers::wake`).
    pub(crate) fn close(&self, by: Moment) -> bool {
        let sooner = if self.marks().has(Marks::CLOSING) { by.min(self.close_by()) } else { by };
        self.close_by.store(sooner.as_nanos(), Relaxed);
        self.state.claim(Marks::RETIRED, Marks::CLOSING) || self.marks().has(Marks::CLOSING)
    }

    /// When nothing may be in flight any more. Only with `Marks::CLOSING`.
    fn close_by(&self) -> Moment {
        // What was written before the mark that was seen.
        fence(Acquire);
        Moment::from_nanos(self.close_by.load(Relaxed))
    }

    /// Requests and tunnels that have this endpoint and have not ended.
    pub(crate) fn in_flight(&self) -> u32 {
        self.passive.in_flight()
    }

    pub(crate) fn passive(&self) -> &Passive {
        &self.passive
    }

    pub(crate) fn latency(&self) -> &Latency {
        &self.latency
    }

    pub(crate) fn reported(&self) -> &Reported {
        &self.reported
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Changes marks of health or ejection; those before. For `health/` alone.
    pub(crate) fn mark(&self, off: Marks, on: Marks) -> Marks {
        let before = self.change(off, on);
        self.live.changed();
        before
    }

    /// Takes it out, if that leaves no more than `most` of its service out. Whether it did: not what is out already.
    pub(crate) fn eject(&self, most: u32) -> bool {
        // The place first: however many try at once, there are never more out than places taken.
        if !self.live.take_ejection(most) {
            return false;
        }
        let ejected = self.state.eject();
        if !ejected {
            self.live.end_ejection();
        }
        self.live.changed();
        ejected
    }

    /// How it is ejected, if it is.
    pub(crate) fn ejection(&self) -> Option<Ejection> {
        let record = self.health();
        record.ejection.filter(|_| self.marks().has(Marks::EJECTED))
    }

    /// What probes found last.
    pub(crate) fn health(&self) -> impl DerefMut<Target = HealthRecord> + '_ {
        self.record.open()
    }

    /// Gives it less than its share from now on, for the window of its service.
    pub(crate) fn ramp(&self) {
        self.ramp_began.store(Moment::now().as_nanos(), Relaxed);
        self.state.change(Marks::default(), Marks::RAMPING);
    }

    /// When that began. Only with `Marks::RAMPING`.
    pub(crate) fn ramp_began(&self) -> Moment {
        Moment::from_nanos(self.ramp_began.load(Relaxed))
    }

    /// Gives it a part of its share until then, or later if it was to be later. On request threads.
    pub(crate) fn limit(&self, until: Moment) {
        self.limited_until.fetch_max(until.as_nanos(), Relaxed);
        if !self.marks().has(Marks::LIMITED) {
            self.state.change(Marks::default(), Marks::LIMITED);
        }
    }

    /// When that ends. Only with `Marks::LIMITED`.
    pub(crate) fn limited_until(&self) -> Moment {
        Moment::from_nanos(self.limited_until.load(Relaxed))
    }

    /// Counts one more in flight, if there is room, and if it may be sent here. Of those that come while the endpoint is
    /// on probation, one may: it decides. The caller holds a place in the service's `Gate`, which goes over to what is
    /// returned.
    pub(crate) fn begin(self: &Arc<Self>, pick: &Pick<'_>) -> Option<InFlight> {
        if !self.passive.begin(pick.limit) {
            return None;
        }
        let decides = self.marks().has(Marks::PROBATION) && !pick.ignores_health();
        if decides && !self.state.claim(Marks::PROBATION, Marks::PROBED) {
            self.passive.end();
            return None;
        }
        Some(InFlight { endpoint: Arc::clone(self), decides })
    }

    /// Whoever ends an ejection, by whatever it does, gives its place back.
    fn change(&self, off: Marks, on: Marks) -> Marks {
        let (before, after) = self.state.change(off, on);
        if before.has(Marks::EJECTED) && !after.has(Marks::EJECTED) {
            self.live.end_ejection();
        }
        before
    }
}

/// One request or tunnel in flight, from the pick to the end of the response's body. Holds a place in the service's
/// `Gate`.
#[derive(Debug)]
pub(crate) struct InFlight {
    endpoint: Arc<Endpoint>,
    /// Whether it is the one request of a probation.
    decides: bool,
}

impl InFlight {
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Whether it is the one request of a probation, whose outcome has not been told. Asked once.
    pub(crate) fn take_decision(&mut self) -> bool {
        std::mem::take(&mut self.decides)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.decides {
            // It ended without saying anything about the backend: another one may decide.
            self.endpoint.state.change(Marks::PROBED, Marks::default());
        }
        self.endpoint.passive.end();
        self.endpoint.live.gate().leave();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use weir_proto::{BackendId, ServiceName};

    use super::*;

    /// An endpoint of the service `web`.
    pub(crate) fn endpoint(address: SocketAddr) -> Arc<Endpoint> {
        let id = address.to_string();
        let key = BackendKey {
            service: ServiceName::try_from("web").unwrap(),
            id: BackendId::try_from(id.as_str()).unwrap(),
        };
        let endpoint = Endpoint::new(key, address, &Arc::default());
        endpoint.state.change(Marks::RAMPING, Marks::default());
        endpoint
    }

    /// As a request that nothing keeps away.
    fn begin(endpoint: &Arc<Endpoint>, pick: &Pick<'_>) -> Option<InFlight> {
        assert!(endpoint.live.gate().enter(u32::MAX));
        let begun = endpoint.begin(pick);
        if begun.is_none() {
            endpoint.live.gate().leave();
        }
        begun
    }

    #[test]
    fn a_guard_counts_while_it_lives() {
        let endpoint = endpoint(([127, 0, 0, 1], 1).into());
        let pick = Pick { limit: 2, ..Pick::default() };
        let (first, second) = (begin(&endpoint, &pick), begin(&endpoint, &pick));
        assert_eq!((endpoint.in_flight(), endpoint.live.gate().held()), (2, 2));
        assert!(begin(&endpoint, &pick).is_none(), "there is room for two");
        drop(first);
        assert_eq!((endpoint.in_flight(), endpoint.live.gate().held()), (1, 1));
        drop(second);
        assert_eq!((endpoint.in_flight(), endpoint.live.gate().held()), (0, 0));
    }

    #[test]
    fn on_probation_one_request_decides_and_another_may_if_it_says_nothing() {
        let endpoint = endpoint(([127, 0, 0, 1], 1).into());
        assert!(endpoint.eject(1));
        endpoint.mark(Marks::default(), Marks::PROBATION);
        let mut first = begin(&endpoint, &Pick::default()).unwrap();
        assert!(begin(&endpoint, &Pick::default()).is_none());
        assert_eq!(endpoint.in_flight(), 1);
        assert!(first.take_decision() && !first.take_decision());
        drop(first);
        assert!(
            begin(&endpoint, &Pick::default()).is_none(),
            "it was told, and nobody has drawn the conclusion"
        );
        endpoint.mark(Marks::PROBED, Marks::default());
        drop(begin(&endpoint, &Pick::default()).unwrap());
        assert!(begin(&endpoint, &Pick::default()).is_some());
    }
}
