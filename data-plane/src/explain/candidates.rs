//! Which backends of a service a request may get, and why the others not.

use std::{collections::HashSet, sync::Arc};

use weir_proto::{BackendKey, LbPolicy, LeaseState, OperatorState, Service, duration_to_wire, v1};

use super::{condition::Condition, request::Asked};
use crate::{
    balance::Pick,
    endpoint::{Endpoint, EndpointId, Marks},
    moment::Moment,
    proxy::admit,
    reason::Reason,
    table::{Member, ServiceEntry},
};

/// Candidates in one explanation.
const MOST_CANDIDATES: usize = 1_000;

/// The backends of a service, and what a pick would make of each.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    entry: &'a ServiceEntry,
    judged: Vec<Judged<'a>>,
    certain: Option<&'a BackendKey>,
}

#[derive(Debug)]
struct Judged<'a> {
    member: &'a Member,
    usable: bool,
    why: &'static str,
}

impl<'a> Candidates<'a> {
    pub(super) fn of(entry: &'a ServiceEntry, asked: &Asked) -> Self {
        let keyed = entry.hash_keys.key(&asked.head, asked.client);
        let pick = Pick {
            key: keyed.hash,
            may_decide: asked.may_be_repeated(&entry.service),
            limit: entry.service.circuit_breakers.max_requests_per_backend,
            load: entry.live.gate().held(),
            spares: false,
            ..Pick::default()
        };
        let mut admitted: HashSet<EndpointId> = entry.balance.admitted(&pick).map(|e| e.id()).collect();
        let pinned = pinned(entry, asked)
            .filter(|endpoint| admit::may_stay(endpoint, &pick) && endpoint.in_flight() < pick.limit);
        // A key that is made up decides for this once only.
        let peeked = entry.balance.peek(&pick).filter(|_| keyed.lasts || admitted.len() == 1);
        admitted.extend(pinned.map(|endpoint| endpoint.id()));
        let groups = Traffic::of(entry);
        let judged = entry.members.values().map(|member| Judged {
            member,
            usable: admitted.contains(&member.endpoint.id()),
            why: why(member, &entry.service, &pick, &groups),
        });
        let certain = pinned.or(peeked).map(|endpoint| endpoint.key());
        Self { entry, judged: judged.collect(), certain }
    }

    /// The backend that takes the request, if there can be no other.
    pub(super) fn certain(&self) -> Option<&BackendKey> {
        self.certain
    }

    /// Refuses the request if no backend takes requests.
    pub(super) fn check(&self) -> Result<(), Reason> {
        if self.judged.is_empty() {
            return Err(Reason::NoBackends);
        }
        if self.judged.iter().all(|judged| !judged.usable && judged.member.retired().is_some()) {
            return Err(Reason::NoRoutableBackend);
        }
        Ok(())
    }

    /// Whether there are backends that take requests, and none now.
    pub(super) fn is_full(&self) -> bool {
        !self.judged.iter().any(|judged| judged.usable)
            || self.entry.live.gate().held() >= self.entry.max_requests()
    }

    /// As the contract has them, the usable ones first if there are too many; and how many are left out.
    pub(super) fn wire(&self) -> (Vec<v1::Candidate>, u32) {
        let now = Moment::now();
        let omitted = self.judged.len().saturating_sub(MOST_CANDIDATES);
        let mut shown: Vec<_> = self.judged.iter().collect();
        if omitted > 0 {
            shown.sort_by_key(|judged| !judged.usable);
            shown.truncate(MOST_CANDIDATES);
        }
        let candidates = shown.into_iter().map(|judged| self.candidate(judged, now));
        (candidates.collect(), u32::try_from(omitted).unwrap_or(u32::MAX))
    }

    fn candidate(&self, judged: &Judged<'_>, now: Moment) -> v1::Candidate {
        let Member { backend, endpoint } = judged.member;
        let decay = match &self.entry.service.lb_policy {
            LbPolicy::PeakEwma(policy) => Some(policy.decay),
            _ => None,
        };
        v1::Candidate {
            condition: Some(Condition::of(endpoint, now).wire(backend.key.to_string())),
            usable: judged.usable,
            why: judged.why.to_owned(),
            weight: backend.weight_in_force(),
            priority: backend.priority,
            zone: backend.zone.clone(),
            latency: decay.and_then(|decay| endpoint.latency().get(now, decay)).map(duration_to_wire),
        }
    }
}

/// The endpoint that the request's cookie names.
fn pinned<'a>(entry: &'a ServiceEntry, asked: &Asked) -> Option<&'a Arc<Endpoint>> {
    let affinity = entry.affinity.as_ref()?;
    affinity.find(affinity.wanted(&asked.head)?)
}

/// Which groups of a service take its traffic now.
#[derive(Debug)]
struct Traffic {
    /// Endpoints whose group takes any.
    taking: HashSet<EndpointId>,
    /// Priorities of which any group takes some.
    priorities: HashSet<u32>,
}

impl Traffic {
    fn of(entry: &ServiceEntry) -> Self {
        let taking = || entry.balance.candidates().filter(|candidate| candidate.share > 0.0);
        Self {
            taking: taking().map(|candidate| candidate.member.endpoint.id()).collect(),
            priorities: taking().map(|candidate| candidate.member.priority).collect(),
        }
    }
}

/// What speaks against a backend, or takes a part of its share.
fn why(member: &Member, service: &Service, pick: &Pick<'_>, traffic: &Traffic) -> &'static str {
    let Member { backend, endpoint } = member;
    let marks = endpoint.marks();
    match backend.operator_state {
        OperatorState::Disabled => return "disabled",
        _ if backend.lease_state == LeaseState::Expired => return "expired",
        OperatorState::Draining => return "draining",
        OperatorState::Enabled => {}
    }
    let said = [
        (Marks::PROBATION, "probation"),
        (Marks::EJECTED, "ejected"),
        (Marks::UNHEALTHY, "unhealthy"),
        (Marks::UNKNOWN, "unknown"),
        (Marks::DEGRADED, "degraded"),
    ];
    if let Some((_, word)) = said.iter().find(|(mark, _)| marks.has(*mark)) {
        return word;
    }
    if endpoint.in_flight() >= pick.limit {
        return "at_limit";
    }
    if !traffic.taking.contains(&endpoint.id()) {
        let same = traffic.priorities.contains(&backend.priority);
        return if same { "other_zone" } else { "other_priority" };
    }
    match () {
        () if marks.has(Marks::LIMITED) => "limited",
        () if marks.has(Marks::RAMPING) && service.slow_start.is_some() => "slow_start",
        () => "",
    }
}
