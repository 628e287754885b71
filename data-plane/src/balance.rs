//! Which endpoint of a service takes the next request.

mod round_robin;

use std::{fmt, sync::Arc};

use weir_proto::LbPolicy;

use self::round_robin::RoundRobin;
use crate::endpoint::{Endpoint, EndpointId};

/// An algorithm over a fixed set of endpoints; all workers share one.
pub(crate) trait Balance: Send + Sync + fmt::Debug {
    /// The endpoint for a request that has already tried `tried`; never one of those, never a retired one.
    fn pick(&self, tried: &[EndpointId]) -> Option<&Arc<Endpoint>>;

    /// How many turns have been taken: what a balancer that replaces this one goes on from.
    fn turn(&self) -> usize;
}

/// The balancer for these endpoints, all of them routable, with their weights. It goes on where `previous`, the one
/// that it replaces, stood.
pub(crate) fn build(
    policy: &LbPolicy,
    endpoints: &[(Arc<Endpoint>, u32)],
    previous: Option<&dyn Balance>,
) -> Arc<dyn Balance> {
    let turn = previous.map_or_else(|| fastrand::usize(..usize::MAX / 2), Balance::turn);
    match policy {
        LbPolicy::RoundRobin => Arc::new(RoundRobin::new(endpoints, turn)),
    }
}
