//! Which endpoint of a service takes the next request.

mod affinity;
#[cfg(feature = "bench")]
pub mod bench;
mod bound;
mod client_side_weighted_round_robin;
mod cookie;
mod groups;
mod key;
mod least_request;
mod lookup;
mod maglev;
mod orca;
mod peak_ewma;
mod pick;
mod random;
mod ring_hash;
mod round_robin;
mod sequence;
mod shares;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod urn;

use std::{fmt, sync::Arc};

use weir_proto::LbPolicy;

pub(crate) use self::{
    affinity::Affinity,
    groups::{GroupMember, Groups},
    key::{HashKeys, Keyed, NewCookie},
    orca::LoadReport,
    pick::{Among, Pick, Picked},
};
use self::{
    client_side_weighted_round_robin::ClientSideWeightedRoundRobin, least_request::LeastRequest,
    maglev::Maglev, peak_ewma::PeakEwma, random::Random, ring_hash::RingHash, round_robin::RoundRobin,
};
use crate::{endpoint::Endpoint, moment::Moment};

/// An algorithm over a fixed set of endpoints; all workers share one.
pub(crate) trait Balance: Send + Sync + fmt::Debug {
    /// The endpoint for a request; never one that `pick` does not admit. None only if it admits none.
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>>;

    /// How many turns have been taken, where there are turns: what a balancer that replaces this one goes on from.
    fn turn(&self) -> Option<usize> {
        None
    }

    /// Whether a request's key decides. Then a pick changes nothing, and another one like it has the same outcome.
    fn is_by_key(&self) -> bool {
        false
    }

    /// Whether all that it looks up in is built. Until then something smaller or older stands in.
    fn is_finished(&self) -> bool {
        true
    }

    /// Builds what is not built. May take seconds.
    fn finish(&self) {}

    /// What another one may take over of it.
    fn ring(&self) -> Option<&RingHash> {
        None
    }

    /// The same.
    fn maglev(&self) -> Option<&Maglev> {
        None
    }

    /// The health of some endpoint may have changed. Off the request path.
    fn recount(&self) {}

    /// At least once a second, off the request path.
    fn refresh(&self, _now: Moment) {}
}

/// The balancer for these endpoints, all of them routable. It goes on where `previous`, the one that it replaces, stood.
fn build(
    policy: &LbPolicy,
    members: &Arc<[GroupMember]>,
    previous: Option<&dyn Balance>,
) -> Arc<dyn Balance> {
    // Where the turns begin is random, so that proxies do not move in step.
    let turn = previous.and_then(Balance::turn).unwrap_or_else(|| fastrand::usize(..usize::MAX / 2));
    match policy {
        LbPolicy::RoundRobin => Arc::new(RoundRobin::new(members, turn)),
        LbPolicy::LeastRequest(settings) => Arc::new(LeastRequest::new(*settings, members)),
        LbPolicy::PeakEwma(settings) => Arc::new(PeakEwma::new(*settings, members, turn)),
        LbPolicy::Random => Arc::new(Random::new(members)),
        LbPolicy::RingHash(settings) => {
            Arc::new(RingHash::new(settings, members, previous.and_then(Balance::ring)))
        }
        LbPolicy::Maglev(settings) => {
            Arc::new(Maglev::new(settings, members, previous.and_then(Balance::maglev)))
        }
        LbPolicy::ClientSideWeightedRoundRobin(settings) => {
            Arc::new(ClientSideWeightedRoundRobin::new(*settings, members, turn, Moment::now()))
        }
    }
}
