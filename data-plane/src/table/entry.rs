//! A service as requests see it: its policy, and what is compiled from it.

use std::{collections::BTreeMap, sync::Arc};

use weir_proto::{Backend, BackendId, LbPolicy, LeaseState, OperatorState, Service};

use super::Here;
use crate::{
    admission::{Adaptive, Limits, Shares},
    balance::{Affinity, GroupMember, Groups, HashKeys},
    counters::ServiceCounters,
    endpoint::{Endpoint, Marks},
    health,
    live::Live,
    moment::Moment,
    retry, tls,
};

/// The same one in successive tables while nothing about it changes.
#[derive(Debug)]
pub(crate) struct ServiceEntry {
    pub(crate) service: Arc<Service>,
    /// Over the routable members.
    pub(crate) balance: Groups,
    /// How to speak TLS to the backends; in the clear without it.
    pub(crate) tls: Option<Arc<tls::Client>>,
    /// How many of the members are routable.
    pub(crate) routable: u32,
    /// All backends, routable or not.
    pub(crate) members: BTreeMap<BackendId, Member>,
    /// What is under way and was learned.
    pub(crate) live: Arc<Live>,
    /// What became of its requests, since it has been known.
    pub(crate) counters: Arc<ServiceCounters>,
    /// Whether it asks for what few do: trouble on purpose, or copies.
    pub(crate) has_extras: bool,
    /// Whether an answer may be worth another attempt.
    pub(crate) looks_at_answers: bool,
    /// Who finds how many requests it can have in flight, where it wants that.
    pub(crate) adaptive: Option<Arc<Adaptive>>,
    /// What all of its requests must be within.
    pub(crate) limits: Limits,
    /// What each client address has of it, where that is bounded.
    pub(crate) shares: Option<Arc<Shares>>,
    /// What of a request its policy wants to know.
    pub(crate) hash_keys: HashKeys,
    /// How clients stay with their backend, where they do.
    pub(crate) affinity: Option<Affinity>,
    /// What must not be dialled from here.
    pub(crate) here: Arc<Here>,
}

/// A backend of a service, and its live state. The endpoint outlasts every change but that of the address.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) backend: Arc<Backend>,
    pub(crate) endpoint: Arc<Endpoint>,
}

impl ServiceEntry {
    /// Whether anybody wants to know how long answers take.
    pub(crate) fn wants_latency(&self) -> bool {
        self.adaptive.is_some() || matches!(self.service.lb_policy, LbPolicy::PeakEwma(_))
    }

    /// Whether anybody wants to know what backends report of their load.
    pub(crate) fn wants_reports(&self) -> bool {
        matches!(self.service.lb_policy, LbPolicy::ClientSideWeightedRoundRobin(_))
    }

    /// Requests that may be in flight to it now.
    pub(crate) fn max_requests(&self) -> u32 {
        let most = self.service.circuit_breakers.max_requests;
        self.adaptive.as_ref().map_or(most, |adaptive| most.min(adaptive.limit()))
    }

    /// For a proxy that is here. What was learned comes from `before`, the entry that this one replaces.
    pub(crate) fn new(
        service: Arc<Service>,
        tls: Option<Arc<tls::Client>>,
        backends: impl IntoIterator<Item = Arc<Backend>>,
        before: Option<&Self>,
        here: &Arc<Here>,
    ) -> Self {
        // Connections that speak something else must not be used any more.
        let speaks_the_same = before.is_some_and(|entry| {
            entry.service.protocol == service.protocol
                && entry.tls.as_ref().map(Arc::as_ptr) == tls.as_ref().map(Arc::as_ptr)
        });
        let live = before.map(|entry| Arc::clone(&entry.live)).unwrap_or_default();
        let member = |backend: Arc<Backend>| {
            let known = before.and_then(|entry| entry.members.get(&backend.key.id)).map(|m| &m.endpoint);
            let same = known.filter(|e| speaks_the_same && e.address() == backend.address).cloned();
            let endpoint = same.unwrap_or_else(|| {
                let new = Endpoint::new(backend.key.clone(), backend.address, &live);
                let before = known.filter(|endpoint| endpoint.address() == backend.address);
                health::begin(&new, before.map(|endpoint| &**endpoint), &service);
                new
            });
            (backend.key.id.clone(), Member { backend, endpoint })
        };
        let members: BTreeMap<_, _> = backends.into_iter().map(member).collect();
        let routable = members.values().filter(|member| member.backend.is_routable());
        let routable: Vec<_> = routable.map(|member| member.in_group(&here.zone)).collect();
        let balance = Groups::new(&service, &routable, before.map(|entry| &entry.balance));
        let counters = before.map(|entry| Arc::clone(&entry.counters)).unwrap_or_default();
        let routable = u32::try_from(routable.len()).unwrap_or(u32::MAX);
        let hash_keys = HashKeys::new(service.lb_policy.hash_keys());
        let affinity = service.session_affinity.as_ref().map(|settings| {
            let may_stay = |member: &&Member| member.retired().is_none_or(|marks| marks == Marks::DRAINING);
            Affinity::new(settings, members.values().filter(may_stay).map(|member| &member.endpoint))
        });
        let adaptive = adaptive(&service, before);
        let none = Limits::default();
        let limits = Limits::new(&service.rate_limits, before.map_or(&none, |entry| &entry.limits));
        let shares = before.and_then(|entry| entry.shares.as_ref());
        let shares = Shares::new(&service.circuit_breakers, shares);
        Self {
            adaptive,
            limits,
            shares,
            hash_keys,
            affinity,
            has_extras: service.fault_injection.is_some()
                || service.mirror.is_some()
                || service.hedge_policy.is_some(),
            looks_at_answers: retry::looks_at_answers(&service.retry_policy),
            service,
            balance,
            tls,
            routable,
            members,
            live,
            counters,
            here: Arc::clone(here),
        }
    }
}

/// Goes on with what was found, also where the settings have changed.
fn adaptive(service: &Service, before: Option<&ServiceEntry>) -> Option<Arc<Adaptive>> {
    let settings = service.adaptive_concurrency?;
    let known = before.and_then(|entry| entry.adaptive.as_ref());
    match known {
        Some(known) if *known.settings() == settings => Some(Arc::clone(known)),
        _ => Some(Arc::new(Adaptive::new(settings, known.map(|known| &**known), Moment::now()))),
    }
}

impl Member {
    /// What keeps new requests away, if anything does.
    pub(crate) fn retired(&self) -> Option<Marks> {
        if self.backend.is_routable() {
            return None;
        }
        let drains = self.backend.operator_state == OperatorState::Draining
            && self.backend.lease_state != LeaseState::Expired;
        Some(if drains { Marks::DRAINING } else { Marks::GONE })
    }

    fn in_group(&self, zone: &str) -> GroupMember {
        GroupMember {
            endpoint: Arc::clone(&self.endpoint),
            weight: self.backend.weight_in_force(),
            priority: self.backend.priority,
            is_near: !zone.is_empty() && self.backend.zone == zone,
        }
    }
}
