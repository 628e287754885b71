//! How things stand: the proxies, and the control plane itself.

use weir_proto::{ObjectKind, v1};

use super::Api;
use crate::fleet::Member;

impl Api {
    pub(super) fn proxies(&self) -> v1::ListProxiesResponse {
        let position = self.registry.current().position();
        v1::ListProxiesResponse {
            proxies: self.fleet.members().into_iter().map(proxy).collect(),
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
            dns_address: self.dns_address.map(|address| address.to_string()).unwrap_or_default(),
            ..Default::default()
        }
    }
}

fn proxy(member: Member) -> v1::ProxyInfo {
    let connected = member.is_connected();
    let acknowledged = member.acknowledged.unwrap_or_default();
    let (state, in_flight) = member.report.map_or_else(Default::default, |r| (r.state, r.in_flight));
    v1::ProxyInfo {
        id: member.identity.id.to_string(),
        version: member.identity.version,
        zone: member.identity.zone,
        advertised_address: member.identity.advertised_address,
        peer_address: member.identity.peer_address,
        connected,
        connected_at: Some(member.connected_at.into()),
        disconnected_at: member.disconnected_at.map(|at| at.wall.into()),
        epoch: acknowledged.epoch.0,
        revision: acknowledged.revision.0,
        digest: acknowledged.digest.0,
        behind_since: member.behind_since.map(Into::into),
        refused: member.refused,
        state: state as i32,
        in_flight,
    }
}
