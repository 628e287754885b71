//! A backend as this proxy sees it: its live state, which outlasts the tables that name it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use weir_proto::BackendKey;

use crate::padded::Padded;

/// Shared by successive tables while the backend's address stays the same.
#[derive(Debug)]
pub(crate) struct Endpoint {
    id: EndpointId,
    key: BackendKey,
    address: SocketAddr,
    retired: AtomicBool,
    in_flight: Padded<AtomicU64>,
}

/// Names an endpoint within this process; never used twice. A backend whose address changes is another endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EndpointId(u64);

impl Endpoint {
    /// The endpoint for a backend that was not known before, or has another address now.
    pub(crate) fn new(key: BackendKey, address: SocketAddr) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: EndpointId(NEXT.fetch_add(1, Relaxed)),
            key,
            address,
            retired: AtomicBool::new(false),
            in_flight: Padded::default(),
        })
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

    /// Says whether new requests must stay away. Set to true, between the swap and `Workers::barrier`, for what is gone
    /// or not routable any more, it also reaches requests that hold an older table: they look again right before they
    /// send. Set to false, before the swap, for what is routable again.
    pub(crate) fn set_retired(&self, retired: bool) {
        self.retired.store(retired, Relaxed);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// Requests and tunnels that have this endpoint and have not ended.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Counts one more in flight.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }
}

/// One request or tunnel in flight, from the pick to the end of the response's body.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Endpoint>);

impl InFlight {
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
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
        Endpoint::new(key, address)
    }

    #[test]
    fn a_guard_counts_while_it_lives() {
        let endpoint = endpoint(([127, 0, 0, 1], 1).into());
        let (first, second) = (endpoint.begin(), endpoint.begin());
        assert_eq!(endpoint.in_flight(), 2);
        drop(first);
        assert_eq!(endpoint.in_flight(), 1);
        drop(second);
        assert_eq!(endpoint.in_flight(), 0);
    }
}
