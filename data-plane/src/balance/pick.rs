//! What the algorithms know of a request, and which endpoints they may give it.

use std::sync::Arc;

use weir_proto::SlowStart;

use crate::{
    endpoint::{Endpoint, EndpointId, Marks},
    moment::Moment,
};

/// A request that wants an endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pick<'a> {
    /// The hash of what the policy asks for; random where the request has nothing of it.
    pub(crate) key: u64,
    /// Endpoints that had it already.
    pub(crate) tried: &'a [EndpointId],
    pub(crate) among: Among,
    /// Whether it may decide about an endpoint on probation: a failure would do no harm.
    pub(crate) may_decide: bool,
    /// Requests in flight that one endpoint may have.
    pub(crate) limit: u32,
    /// Requests in flight to the service, for bounded load.
    pub(crate) load: u32,
    /// How endpoints that are new or back begin. None: with their full share.
    pub(crate) slow_start: Option<&'a SlowStart>,
    /// Whether endpoints that have said that they have enough are spared.
    pub(crate) spares: bool,
}

/// Of so many requests that fall on an endpoint that has enough, one goes there.
const SPARED: u32 = 4;

/// Which endpoints come into question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Among {
    /// Those that nothing speaks against, and those on probation whose turn it is.
    Healthy,
    /// Those that ask for less, because the healthy ones do not suffice.
    Degraded,
    /// All that are routable, whatever health says.
    All,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Picked<'a> {
    /// This one, picked among these: what `Endpoint::begin` wants to know.
    Endpoint(&'a Arc<Endpoint>, Among),
    /// There are some, and none has room now, or their first probes are awaited.
    Full,
    /// None is routable.
    Nobody,
}

impl Pick<'_> {
    /// Whether the request may have this endpoint. Costs next to nothing while nothing speaks against it.
    pub(crate) fn admits(&self, endpoint: &Endpoint) -> bool {
        let marks = endpoint.marks();
        (if marks.is_empty() { self.among != Among::Degraded } else { self.admits_with(marks, endpoint) })
            && endpoint.in_flight() < self.limit
            && !self.tried.contains(&endpoint.id())
    }

    /// Health fails open: only the operator, the lease and limits count.
    pub(crate) fn ignores_health(&self) -> bool {
        self.among == Among::All
    }

    /// Whether these marks let it pass.
    fn admits_with(&self, marks: Marks, endpoint: &Endpoint) -> bool {
        if marks.has(Marks::RETIRED) {
            return false;
        }
        if self.ignores_health() {
            return true;
        }
        if marks.has(Marks::UNKNOWN.and(Marks::UNHEALTHY)) {
            return false;
        }
        if marks.has(Marks::EJECTED) {
            return self.may_decide && marks.has(Marks::PROBATION) && !marks.has(Marks::PROBED);
        }
        marks.has(Marks::DEGRADED) == (self.among == Among::Degraded)
            && (!marks.has(Marks::RAMPING) || self.ramps(endpoint))
            && (!marks.has(Marks::LIMITED) || self.troubles(endpoint))
    }

    /// Whether one that has enough takes this one all the same.
    fn troubles(&self, endpoint: &Endpoint) -> bool {
        !self.spares || fastrand::u32(..SPARED) == 0 || Moment::now() >= endpoint.limited_until()
    }

    /// Whether one that takes less than its share takes this one.
    fn ramps(&self, endpoint: &Endpoint) -> bool {
        let Some(slow_start) = self.slow_start else { return true };
        fastrand::f64() < share(slow_start, endpoint.ramp_began(), Moment::now())
    }
}

/// What an endpoint's marks make of it, apart from limits and how fast it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// By operator or lease.
    Retired,
    /// Its first probe is awaited.
    Unknown,
    Healthy,
    Degraded,
    /// By its health.
    Out,
}

impl Standing {
    pub(super) fn of(marks: Marks) -> Self {
        if marks.has(Marks::RETIRED) {
            Self::Retired
        } else if marks.has(Marks::UNHEALTHY.and(Marks::EJECTED)) {
            Self::Out
        } else if marks.has(Marks::UNKNOWN) {
            Self::Unknown
        } else if marks.has(Marks::DEGRADED) {
            Self::Degraded
        } else {
            Self::Healthy
        }
    }
}

/// What part of its share an endpoint takes that began at `began`: Envoy's slow start.
pub(crate) fn share(slow_start: &SlowStart, began: Moment, now: Moment) -> f64 {
    let time = now.since(began).as_secs_f64() / slow_start.window.as_secs_f64();
    if time >= 1.0 {
        return 1.0;
    }
    let least = f64::from(slow_start.min_weight_percent) / 100.0;
    time.powf(1000.0 / f64::from(slow_start.aggression.max(1))).max(least)
}

impl Default for Pick<'_> {
    /// A request like most: it has tried nobody, and every healthy endpoint will do.
    fn default() -> Self {
        Self {
            key: 0,
            tried: &[],
            among: Among::Healthy,
            may_decide: true,
            limit: u32::MAX,
            load: 0,
            slow_start: None,
            spares: true,
        }
    }
}
