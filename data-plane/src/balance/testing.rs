//! What tests of the algorithms share: endpoints, requests in flight, and whether counts fit what is expected.

use std::{net::Ipv4Addr, sync::Arc};

use super::{Balance, GroupMember, Pick};
use crate::endpoint::{Endpoint, InFlight, tests::endpoint};

/// Endpoints of these weights, in one group.
pub(super) fn members(weights: &[u32]) -> Arc<[GroupMember]> {
    (0u32..).zip(weights).map(|(n, weight)| member(n, *weight)).collect()
}

/// The endpoint of this number, which gives it its address.
pub(super) fn member(n: u32, weight: u32) -> GroupMember {
    let address = (Ipv4Addr::from(0x0a00_0000 + n), 80).into();
    GroupMember { endpoint: endpoint(address), weight, priority: 0, is_near: false }
}

pub(super) fn index_of(members: &[GroupMember], picked: &Endpoint) -> usize {
    members.iter().position(|m| m.endpoint.id() == picked.id()).unwrap()
}

/// How often each is picked by requests like most, each of a key of its own.
pub(super) fn counts(balance: &dyn Balance, members: &[GroupMember], picks: u32) -> Vec<u64> {
    let mut counts = vec![0; members.len()];
    for _ in 0..picks {
        let picked = balance.pick(&Pick { key: fastrand::u64(..), ..Pick::default() }).unwrap();
        counts[index_of(members, picked)] += 1;
    }
    counts
}

/// Whether counts are what these proportions lead to expect: Pearson's chi-square test, at 0.1 %. What has no share must
/// not occur at all.
pub(super) fn fits(counts: &[u64], proportions: &[f64]) -> bool {
    let counts = counts.iter().map(|count| f64::from(u32::try_from(*count).unwrap()));
    let (total, sum) = (counts.clone().sum::<f64>(), proportions.iter().sum::<f64>());
    let (mut square, mut freedom) = (0.0, -1.0);
    for (count, proportion) in counts.zip(proportions) {
        let expected = total * proportion / sum;
        if expected == 0.0 {
            if count > 0.0 {
                return false;
            }
            continue;
        }
        square += (count - expected).powi(2) / expected;
        freedom += 1.0;
    }
    // The quantile by Wilson and Hilferty's approximation.
    let ninth = 2.0 / (9.0 * f64::max(freedom, 1.0));
    square <= f64::max(freedom, 1.0) * (1.0 - ninth + 3.09 * ninth.sqrt()).powi(3)
}

/// So many requests in flight, until they are dropped.
pub(super) fn in_flight(member: &GroupMember, n: u32) -> Vec<InFlight> {
    (0..n).map(|_| begin(&member.endpoint, &Pick::default()).unwrap()).collect()
}

fn begin(endpoint: &Arc<Endpoint>, pick: &Pick<'_>) -> Option<InFlight> {
    assert!(endpoint.live().gate().enter(u32::MAX));
    let begun = endpoint.begin(pick);
    if begun.is_none() {
        endpoint.live().gate().leave();
    }
    begun
}

/// Requests that begin and end when the test says so.
pub(super) struct Simulation {
    members: Arc<[GroupMember]>,
    /// The oldest first: which endpoint, when it ends.
    requests: Vec<(usize, u64, InFlight)>,
}

impl Simulation {
    pub(super) fn new(members: &Arc<[GroupMember]>) -> Self {
        Self { members: Arc::clone(members), requests: Vec::new() }
    }

    /// One more: to whom, if there is anybody.
    pub(super) fn begin(&mut self, balance: &dyn Balance, pick: &Pick<'_>) -> Option<usize> {
        let picked = balance.pick(pick)?;
        let in_flight = begin(picked, pick)?;
        let index = index_of(&self.members, picked);
        self.requests.push((index, u64::MAX, in_flight));
        Some(index)
    }

    /// Says when the last one ends.
    pub(super) fn ends_at(&mut self, time: u64) {
        self.requests.last_mut().unwrap().1 = time;
    }

    pub(super) fn load(&self) -> u32 {
        u32::try_from(self.requests.len()).unwrap()
    }

    /// Ends the last one of this endpoint.
    pub(super) fn end(&mut self, index: usize) {
        let at = self.requests.iter().rposition(|request| request.0 == index).unwrap();
        self.requests.remove(at);
    }

    /// Ends the oldest one of these endpoints, if there is any.
    pub(super) fn end_oldest_of(&mut self, indices: &[usize]) {
        if let Some(at) = self.requests.iter().position(|request| indices.contains(&request.0)) {
            self.requests.remove(at);
        }
    }

    /// Ends those whose time has come: of which endpoints.
    pub(super) fn end_at(&mut self, now: u64) -> Vec<usize> {
        let ended = self.requests.extract_if(.., |request| request.1 <= now);
        ended.map(|(index, ..)| index).collect()
    }
}
