//! What the benches see of the algorithms: services of many backends, and picks as requests make them.

use std::{net::Ipv4Addr, time::Duration};

use weir_proto::{BackendId, BackendKey, LbPolicy, PeakEwma, Service, ServiceName};

use super::{GroupMember, Groups, Pick, Picked};
use crate::{
    endpoint::{Endpoint, Marks},
    moment::Moment,
};

/// A service, all of whose backends are well.
#[derive(Debug)]
pub struct Backends(Groups);

impl Backends {
    /// So many, balanced by this policy. They have weights of 1 to 4 and have answered in 1 to 10 ms. None would mean that
    /// names are not what they were.
    #[must_use]
    pub fn new(lb_policy: LbPolicy, n: u32) -> Option<Self> {
        let name = ServiceName::try_from("web").ok()?;
        let live = std::sync::Arc::default();
        let member = |n: u32| {
            let address = (Ipv4Addr::from(0x0a00_0000 + n), 80).into();
            let id = BackendId::try_from(format!("{n}").as_str()).ok()?;
            let endpoint = Endpoint::new(BackendKey { service: name.clone(), id }, address, &live);
            endpoint.mark(Marks::RAMPING, Marks::default());
            let latency = Duration::from_millis(u64::from(n % 10 + 1));
            endpoint.latency().observe(latency, Moment::now(), PeakEwma::default().decay);
            Some(GroupMember { endpoint, weight: n % 4 + 1, priority: 0, is_near: false })
        };
        let members = (0..n).map(member).collect::<Option<Vec<_>>>()?;
        Some(Self(Groups::new(&Service { lb_policy, ..Service::with_defaults(name) }, &members, None)))
    }

    /// The port of the backend for a request of this key; what matters is the time that it takes.
    #[must_use]
    pub fn pick(&self, key: u64) -> u16 {
        match self.0.pick(&Pick { key, limit: 1024, ..Pick::default() }) {
            Picked::Endpoint(endpoint, _) => endpoint.address().port(),
            Picked::Full | Picked::Nobody => 0,
        }
    }
}
