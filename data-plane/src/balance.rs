//! Which endpoint of a service takes the next request.

mod pick;
mod round_robin;

use std::{fmt, sync::Arc};

use weir_proto::{LbPolicy, Service};

pub(crate) use self::pick::{Among, Pick, Picked};
use self::round_robin::RoundRobin;
use crate::endpoint::Endpoint;

/// An algorithm over a fixed set of endpoints; all workers share one.
pub(crate) trait Balance: Send + Sync + fmt::Debug {
    /// The endpoint for a request; never one that `pick` does not admit. None if it admits none.
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>>;

    /// How many turns have been taken: what a balancer that replaces this one goes on from.
    fn turn(&self) -> usize {
        0
    }
}

/// The routable endpoints of a service, by priority and zone, each group with its algorithm.
#[derive(Debug)]
pub(crate) struct Groups {
    endpoints: Box<[Arc<Endpoint>]>,
    balance: Arc<dyn Balance>,
}

impl Groups {
    /// Over these endpoints, all of them routable. It goes on where `previous`, the one that it replaces, stood.
    pub(crate) fn new(service: &Service, members: &[GroupMember], previous: Option<&Self>) -> Self {
        let endpoints: Vec<_> = members.iter().map(|m| (Arc::clone(&m.endpoint), m.weight)).collect();
        let balance = build(&service.lb_policy, &endpoints, previous.map(|groups| &*groups.balance));
        Self { endpoints: endpoints.into_iter().map(|(endpoint, _)| endpoint).collect(), balance }
    }

    /// One group, by an algorithm of a test's own.
    #[cfg(test)]
    pub(crate) fn by(balance: Arc<dyn Balance>, endpoints: Vec<Arc<Endpoint>>) -> Self {
        Self { endpoints: endpoints.into(), balance }
    }

    /// The endpoint for a request.
    pub(crate) fn pick(&self, pick: &Pick<'_>) -> Picked<'_> {
        if self.endpoints.is_empty() {
            return Picked::Nobody;
        }
        self.balance.pick(pick).map_or(Picked::Full, |endpoint| Picked::Endpoint(endpoint, pick.among))
    }

    /// Computes what follows from the health of the endpoints anew.
    #[expect(clippy::unused_self, reason = "soon")]
    pub(crate) fn recount(&self) {}
}

/// A routable backend, as the algorithms want it.
#[derive(Debug, Clone)]
pub(crate) struct GroupMember {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) weight: u32,
    pub(crate) priority: u32,
    /// Whether it is in the proxy's own zone.
    pub(crate) is_near: bool,
}

/// The balancer for these endpoints, all of them routable, with their weights. It goes on where `previous`, the one
/// that it replaces, stood.
fn build(
    policy: &LbPolicy,
    endpoints: &[(Arc<Endpoint>, u32)],
    previous: Option<&dyn Balance>,
) -> Arc<dyn Balance> {
    let turn = previous.map_or_else(|| fastrand::usize(..usize::MAX / 2), Balance::turn);
    match policy {
        LbPolicy::RoundRobin => Arc::new(RoundRobin::new(endpoints, turn)),
        _ => Arc::new(RoundRobin::new(endpoints, turn)),
    }
}
