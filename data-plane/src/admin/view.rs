//! The table in force, as `/config` shows it.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use weir_proto::{ListenerProtocol, ServiceProtocol};

use super::{
    Told,
    backends::{lease_word, operator_word},
};
use crate::{
    discovery::Link,
    explain::Condition,
    moment::Moment,
    objects::Position,
    table::{Applied, Member, ServiceEntry, Table},
    tls::InUse,
};

/// Everything at one moment, for people and tools.
#[derive(Debug, Serialize)]
pub(super) struct View {
    position: Option<PositionView>,
    control_plane: ControlPlane,
    /// Why what is in force is not on disk, while that is so.
    copy_failure: Option<String>,
    in_flight: u64,
    listeners: Vec<ListenerView>,
    routes: Vec<RouteView>,
    services: BTreeMap<String, ServiceView>,
    /// Backends that are gone from the configuration, with requests that have not ended.
    departed: BTreeMap<String, u64>,
    refused: Vec<RefusedView>,
}

#[derive(Debug, Serialize)]
struct PositionView {
    epoch: String,
    revision: u64,
    digest: String,
}

#[derive(Debug, Serialize)]
struct ControlPlane {
    connected_to: Option<String>,
    last_failure: Option<String>,
    seconds_since_last_word: Option<f64>,
    /// What was offered and not taken: `weir epoch accept` settles it.
    kept_out: Option<KeptOutView>,
}

#[derive(Debug, Serialize)]
struct KeptOutView {
    reason: String,
    epoch: String,
    revision: u64,
    objects: usize,
    objects_in_force: usize,
    backends: usize,
    backends_in_force: usize,
}

#[derive(Debug, Serialize)]
struct ListenerView {
    name: String,
    address: String,
    max_connections: u32,
    protocol: &'static str,
    tls: Option<TlsView>,
}

/// What is presented to the other side of TLS.
#[derive(Debug, Serialize)]
struct TlsView {
    certificates: Vec<CertificateView>,
    /// Why this is not what the files say now.
    reload_failure: Option<String>,
}

#[derive(Debug, Serialize)]
struct CertificateView {
    file: String,
    names: Vec<String>,
    not_after: String,
}

#[derive(Debug, Serialize)]
struct RouteView {
    name: String,
    host: String,
    path_prefix: String,
    /// Weights by service.
    services: BTreeMap<String, u32>,
    /// Nobody declared it: before those services it leads to the one that the host names.
    implicit: bool,
}

#[derive(Debug, Serialize)]
struct ServiceView {
    lb_policy: &'static str,
    protocol: &'static str,
    tls: Option<TlsView>,
    backends: BTreeMap<String, BackendView>,
}

#[derive(Debug, Serialize)]
struct BackendView {
    address: String,
    weight: u32,
    priority: u32,
    zone: String,
    operator_state: &'static str,
    lease_state: &'static str,
    routable: bool,
    health: &'static str,
    health_reason: String,
    /// Absent of one that nobody probes.
    health_seconds: Option<f64>,
    ejection: Option<EjectionView>,
    in_flight: u32,
}

#[derive(Debug, Serialize)]
struct EjectionView {
    state: &'static str,
    reason: &'static str,
    seconds: f64,
    seconds_left: f64,
}

#[derive(Debug, Serialize)]
struct RefusedView {
    object: String,
    field: String,
    reason: String,
}

impl View {
    pub(super) fn new(table: Option<&Table>, told: &Told, in_flight: u64) -> Self {
        let applied = &told.applied.borrow();
        let routes = table.iter().flat_map(|table| table.router.routes());
        let mut routes: Vec<_> = routes.map(RouteView::from).collect();
        routes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut departed: BTreeMap<String, u64> = BTreeMap::new();
        for endpoint in table.iter().flat_map(|table| &table.departed).filter(|e| e.in_flight() > 0) {
            *departed.entry(endpoint.key().to_string()).or_default() += u64::from(endpoint.in_flight());
        }
        let services = table.iter().flat_map(|table| &table.services);
        Self {
            position: table.map(|table| table.position.into()),
            control_plane: (&*told.link.borrow()).into(),
            copy_failure: told.no_copy.borrow().clone(),
            in_flight,
            listeners: listeners(applied),
            routes,
            services: services.map(|(name, entry)| (name.to_string(), (&**entry).into())).collect(),
            departed,
            refused: refused(applied),
        }
    }
}

fn listeners(applied: &Applied) -> Vec<ListenerView> {
    let open = applied.open.iter();
    open.map(|(address, terms)| ListenerView {
        name: terms.name.to_string(),
        address: address.to_string(),
        max_connections: terms.limits.max_connections,
        protocol: match terms.protocol {
            ListenerProtocol::Auto => "auto",
            ListenerProtocol::Http1 => "http1",
            ListenerProtocol::Http2 => "http2",
        },
        tls: terms.tls.as_ref().map(|server| InUse::Listener(Arc::clone(server)).into()),
    })
    .collect()
}

fn refused(applied: &Applied) -> Vec<RefusedView> {
    let refused = applied.refused.iter();
    refused
        .map(|(key, invalid)| RefusedView {
            object: key.to_string(),
            field: invalid.field.clone(),
            reason: invalid.reason.clone(),
        })
        .collect()
}

impl From<InUse> for TlsView {
    fn from(tls: InUse) -> Self {
        let certificates = tls.certificates();
        let certificates = certificates.iter().map(|certificate| CertificateView {
            file: certificate.file.display().to_string(),
            names: certificate.names.clone(),
            not_after: certificate.not_after.to_string(),
        });
        let reload_failure = tls.failure().map(|invalid| invalid.to_string());
        Self { certificates: certificates.collect(), reload_failure }
    }
}

impl From<Position> for PositionView {
    fn from(position: Position) -> Self {
        Self {
            epoch: position.epoch.to_string(),
            revision: position.revision.0,
            digest: position.digest.to_string(),
        }
    }
}

impl From<&Link> for ControlPlane {
    fn from(link: &Link) -> Self {
        Self {
            connected_to: link.connected_to.as_ref().map(ToString::to_string),
            last_failure: link.last_failure.clone(),
            seconds_since_last_word: link.last_word.map(|heard| heard.elapsed().as_secs_f64()),
            kept_out: link.kept_out.as_ref().map(|kept| KeptOutView {
                reason: kept.reason.as_str_name().trim_start_matches("KEPT_OUT_REASON_").to_ascii_lowercase(),
                epoch: kept.offered.epoch.to_string(),
                revision: kept.offered.revision.0,
                objects: kept.size.objects,
                objects_in_force: kept.size.objects_in_force,
                backends: kept.size.backends,
                backends_in_force: kept.size.backends_in_force,
            }),
        }
    }
}

impl From<&weir_proto::Route> for RouteView {
    fn from(route: &weir_proto::Route) -> Self {
        Self {
            name: route.name.to_string(),
            host: route.host.to_string(),
            path_prefix: route.path_prefix.to_string(),
            services: route.services.iter().map(|s| (s.name.to_string(), s.weight)).collect(),
            implicit: route.implicit,
        }
    }
}

impl From<&ServiceEntry> for ServiceView {
    fn from(entry: &ServiceEntry) -> Self {
        let now = Moment::now();
        let members = entry.members.iter();
        let backends = members.map(|(id, member)| (id.to_string(), BackendView::of(member, now)));
        Self {
            lb_policy: entry.service.lb_policy.as_str(),
            protocol: match entry.service.protocol {
                ServiceProtocol::Http1 => "http1",
                ServiceProtocol::Http2 => "http2",
            },
            tls: entry.tls.as_ref().map(|client| InUse::Service(Arc::clone(client)).into()),
            backends: backends.collect(),
        }
    }
}

impl BackendView {
    fn of(Member { backend, endpoint }: &Member, now: Moment) -> Self {
        let condition = Condition::of(endpoint, now);
        Self {
            address: backend.address.to_string(),
            weight: backend.weight_in_force(),
            priority: backend.priority,
            zone: backend.zone.clone(),
            operator_state: operator_word(backend.operator_state),
            lease_state: lease_word(backend.lease_state),
            routable: backend.is_routable(),
            health: condition.health_word(),
            health_seconds: condition.health_for.map(|time| time.as_secs_f64()),
            ejection: condition.ejection.map(|ejected| EjectionView {
                state: condition.ejection_word(),
                reason: ejected.cause.code(),
                seconds: ejected.since.as_secs_f64(),
                seconds_left: ejected.left.as_secs_f64(),
            }),
            in_flight: condition.in_flight,
            health_reason: condition.health_reason,
        }
    }
}
