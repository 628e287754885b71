//! What answers are made of: taken once for each question, without a lock and without asking anybody.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use weir_proto::{ObjectKey, ObjectKind, ServiceName};

use super::{health, node::Endpoint};
use crate::{
    fleet::{Fleet, Routable},
    registry::Registry,
    snapshot::Snapshot,
};

/// Names of backends, each as `service/id`.
pub(super) type Backends = HashSet<String>;

/// Where views come from; cheap to clone. There are none until the store is loaded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source(Arc<OnceLock<Known>>);

#[derive(Debug)]
struct Known {
    registry: Registry,
    fleet: Fleet,
    unhealthy: Arc<ArcSwap<Backends>>,
}

/// The newest revision, and who can take traffic.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub snapshot: Arc<Snapshot>,
    pub proxies: Arc<Vec<Arc<Routable>>>,
    /// Those that every connected proxy finds unhealthy.
    pub unhealthy: Arc<Backends>,
}

impl Source {
    /// The store is loaded. What is known of health follows the proxies for as long as the answer is polled.
    pub(crate) fn ready(&self, registry: Registry, fleet: Fleet) -> impl Future<Output = ()> + use<> {
        let unhealthy = Arc::<ArcSwap<Backends>>::default();
        // There is one load in a process; another one would find the same.
        let _ = self.0.set(Known { registry, fleet: fleet.clone(), unhealthy: Arc::clone(&unhealthy) });
        health::follow(fleet, unhealthy)
    }

    /// How things are now. None until the store is loaded.
    pub(super) fn view(&self) -> Option<View> {
        let known = self.0.get()?;
        Some(View {
            snapshot: known.registry.current(),
            proxies: known.fleet.routable(),
            unhealthy: known.unhealthy.load_full(),
        })
    }
}

impl View {
    /// The backends of a service that take traffic: those that are routable, without those that no proxy can reach
    /// unless that is all of them. None if there is no such service.
    pub(super) fn backends(&self, service: &str) -> Option<Vec<Endpoint>> {
        let service = ServiceName::try_from(service).ok()?;
        self.snapshot.get(&ObjectKey::new(ObjectKind::Service, service.as_str()))?;
        let entries = self.snapshot.backends_of(&service, None);
        let routable = entries.filter_map(|entry| {
            let backend = entry.object.value.as_backend().filter(|backend| backend.is_routable())?;
            let endpoint = Endpoint {
                priority: u16::try_from(backend.priority).unwrap_or(u16::MAX),
                ip: backend.address.ip(),
                port: backend.address.port(),
                weight: u16::try_from(backend.weight_in_force()).unwrap_or(u16::MAX),
            };
            Some((endpoint, self.unhealthy.contains(&*entry.object.key.name)))
        });
        let routable: Vec<_> = routable.collect();
        let all_down = routable.iter().all(|(_, down)| *down);
        Some(routable.into_iter().filter(|(_, down)| all_down || !down).map(|(backend, _)| backend).collect())
    }

    /// The proxies that take traffic: of a zone, or all if that is empty. None if there are none in that zone.
    pub(super) fn proxies(&self, zone: &str) -> Option<Vec<Endpoint>> {
        let of_zone = |proxy: &&Arc<Routable>| zone.is_empty() || proxy.zone.eq_ignore_ascii_case(zone);
        let found: Vec<_> = self.proxies.iter().filter(of_zone).flat_map(|proxy| endpoints(proxy)).collect();
        (zone.is_empty() || !found.is_empty()).then_some(found)
    }

    /// Whether the name of a service ends so.
    pub(super) fn has_service_below(&self, suffix: &str) -> bool {
        self.snapshot.list(ObjectKind::Service, None).any(|entry| entry.object.key.name.ends_with(suffix))
    }

    /// Whether the name of a zone with a proxy ends so.
    pub(super) fn has_zone_below(&self, suffix: &str) -> bool {
        self.proxies.iter().any(|proxy| proxy.zone.to_ascii_lowercase().ends_with(suffix))
    }
}

fn endpoints(proxy: &Routable) -> impl Iterator<Item = Endpoint> {
    let endpoint =
        |address: &SocketAddr| Endpoint { priority: 0, ip: address.ip(), port: address.port(), weight: 1 };
    proxy.addresses.iter().map(endpoint)
}
