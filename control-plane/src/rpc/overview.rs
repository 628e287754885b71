//! How things stand: the proxies, and the control plane itself.

use weir_proto::{ObjectKind, v1};

use super::Api;

impl Api {
    pub(super) fn proxies(&self) -> v1::ListProxiesResponse {
        let position = self.registry.current().position();
        v1::ListProxiesResponse {
            proxies: self.fleet.list(),
            epoch: position.epoch.0,
            revision: position.revision.0,
            digest: position.digest.0,
        }
    }

    pub(super) fn overview(&self) -> v1::GetStatusResponse {
        let snapshot = self.registry.current();
        let position = snapshot.position();
        let count = |kind| snapshot.count(kind) as u64;
        v1::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: position.epoch.0,
            epoch_accepted: snapshot.epoch_accepted(),
            revision: position.revision.0,
            digest: position.digest.0,
            started_at: Some(self.started_at.into()),
            store: self.registry.store().to_owned(),
            listeners: count(ObjectKind::Listener),
            services: count(ObjectKind::Service),
            backends: count(ObjectKind::Backend),
            routes: count(ObjectKind::Route),
            live_leases: self.registry.live_leases() as u64,
            overdue_leases: self.registry.overdue_leases() as u64,
            self_preservation: self.registry.is_preserving(),
            held_back_backends: self.registry.held_back_backends() as u64,
            connected_proxies: self.fleet.count().0 as u64,
            kept_out_proxies: self.fleet.kept_out().values().map(|count| *count as u64).sum(),
            alarms: self.fleet.alarms(),
            dns_address: self.dns_address.map(|address| address.to_string()).unwrap_or_default(),
        }
    }
}
