//! Messages as JSON values. An object has the shape that it has in a file, so that what is shown can be applied.

mod health_check;
mod lb_policy;
pub(super) mod limits;
mod service;

use std::time::Duration;

use serde_json::{Map, Value, json};
use weir_proto::{Digest, Epoch, LeaseId, ObjectKind, duration_read, v1};

use crate::{
    document::{CLIENT_CERTIFICATE_MODE, LISTENER_PROTOCOL, TLS_VERSION, written},
    units,
};

/// An object and what the control plane keeps beside it.
pub(crate) fn info(info: &v1::ObjectInfo) -> Value {
    let mut value = Map::new();
    if let Some((kind, object)) = info.resource.as_ref().and_then(resource) {
        value.insert(kind.as_str().to_owned(), object);
    }
    if let Some(m) = &info.meta {
        let owner = m.owner.as_ref().map(
            |owner| json!({ "kind": word(owner.kind().as_str_name(), "OWNER_KIND_"), "name": owner.name }),
        );
        let lease = m.lease.as_ref().map(|lease| {
            json!({
                "id": LeaseId(lease.id).to_string(),
                "ttl": units::duration_text(Duration::from_millis(lease.ttl_ms)),
                "deregister_after": units::duration_text(Duration::from_millis(lease.deregister_after_ms)),
                "remaining": remaining(info.lease_remaining.as_ref()),
            })
        });
        value.insert(
            "meta".to_owned(),
            json!({
                "created_revision": m.created_revision,
                "modified_revision": m.modified_revision,
                "created_at": timestamp(m.created_at.as_ref()),
                "modified_at": timestamp(m.modified_at.as_ref()),
                "owner": owner,
                "lease": lease,
                "implicit": m.implicit,
            }),
        );
    }
    if let Some(since) = timestamp(info.overdue_since.as_ref()) {
        value.insert("overdue_since".to_owned(), json!(since));
    }
    if !info.hold_reason.is_empty() {
        value.insert("hold_reason".to_owned(), json!(info.hold_reason));
    }
    Value::Object(value)
}

/// An object as it is written in a file; a backend also with its states.
pub(crate) fn resource(resource: &v1::Resource) -> Option<(ObjectKind, Value)> {
    use v1::resource::Resource;
    Some(match resource.resource.as_ref()? {
        Resource::Listener(listener) => (ObjectKind::Listener, self::listener(listener)),
        Resource::Service(service) => (ObjectKind::Service, service::service(service)),
        Resource::Backend(backend) => (ObjectKind::Backend, self::backend(backend)),
        Resource::Route(route) => (ObjectKind::Route, self::route(route)),
    })
}

/// Its name, a backend's as `service/id`.
pub(crate) fn resource_name(resource: &v1::Resource) -> String {
    use v1::resource::Resource;
    match &resource.resource {
        Some(Resource::Listener(listener)) => listener.name.clone(),
        Some(Resource::Service(service)) => service.name.clone(),
        Some(Resource::Backend(backend)) => format!("{}/{}", backend.service, backend.id),
        Some(Resource::Route(route)) => route.name.clone(),
        None => String::new(),
    }
}

/// `service web`.
pub(crate) fn reference(object: &v1::ObjectRef) -> String {
    format!("{} {}", word(object.kind().as_str_name(), "OBJECT_KIND_"), object.name)
}

/// Whether it is a change of the route that nobody declares.
pub(crate) fn is_implicit(change: &v1::Change) -> bool {
    let resource = change.after.as_ref().or(change.before.as_ref()).and_then(|r| r.resource.as_ref());
    matches!(resource, Some(v1::resource::Resource::Route(route)) if route.implicit)
}

/// A change of `apply` or `diff`.
pub(crate) fn change(change: &v1::Change) -> Value {
    let object = change.object.clone().unwrap_or_default();
    let side = |r: &Option<v1::Resource>| r.as_ref().and_then(resource).map(|(_, value)| value);
    json!({
        "change": word(change.kind().as_str_name(), "CHANGE_KIND_"),
        "kind": word(object.kind().as_str_name(), "OBJECT_KIND_"),
        "name": object.name,
        "before": side(&change.before),
        "after": side(&change.after),
    })
}

/// A proxy.
pub(crate) fn proxy(p: &v1::ProxyInfo) -> Value {
    json!({
        "id": p.id,
        "version": p.version,
        "zone": p.zone,
        "advertised_address": p.advertised_address,
        "peer_address": p.peer_address,
        "connected": p.connected,
        "connected_at": timestamp(p.connected_at.as_ref()),
        "disconnected_at": timestamp(p.disconnected_at.as_ref()),
        "epoch": Epoch(p.epoch).to_string(),
        "revision": p.revision,
        "digest": Digest(p.digest).to_string(),
        "behind_since": timestamp(p.behind_since.as_ref()),
        "refused": super::refusals(&p.refused),
        "state": word(p.state().as_str_name(), "PROXY_STATE_"),
        "in_flight": p.in_flight,
        "listeners": p.listeners.as_ref().map(|l| l.open.iter().map(open_listener).collect::<Vec<_>>()),
        "kept_out": p.kept_out.as_ref().map(kept_out),
    })
}

/// A traffic socket of a proxy.
fn open_listener(open: &v1::OpenListener) -> Value {
    json!({
        "name": open.name,
        "address": open.address,
        "protocol": word(open.protocol().as_str_name(), "LISTENER_PROTOCOL_"),
        "tls": open.tls,
        "reached_at": open.reached_at,
    })
}

/// The state that a proxy keeps out, for programs.
fn kept_out(kept: &v1::KeptOutState) -> Value {
    json!({
        "reason": word(kept.reason().as_str_name(), "KEPT_OUT_REASON_"),
        "epoch": Epoch(kept.epoch).to_string(),
        "revision": kept.revision,
        "own_epoch": Epoch(kept.own_epoch).to_string(),
        "own_revision": kept.own_revision,
        "objects": kept.objects,
        "objects_in_force": kept.objects_in_force,
        "backends": kept.backends,
        "backends_in_force": kept.backends_in_force,
        "since": timestamp(kept.since.as_ref()),
        "message": kept.message,
    })
}

/// RFC 3339, to the millisecond.
pub(crate) fn timestamp(time: Option<&prost_types::Timestamp>) -> Option<String> {
    let time = time?;
    jiff::Timestamp::new(time.seconds, time.nanos).ok().map(|t| format!("{t:.3}"))
}

/// The lower-case word of an enum's value without its prefix.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

fn listener(listener: &v1::Listener) -> Value {
    let limits = listener.limits.as_ref().map(|l| {
        compact(json!({
            "max_connections": l.max_connections,
            "max_header_bytes": l.max_header_bytes.map(|n| units::size_text(n.into())),
            "max_headers": l.max_headers,
            "header_timeout": duration(l.header_timeout.as_ref()),
            "idle_timeout": duration(l.idle_timeout.as_ref()),
            "body_idle_timeout": duration(l.body_idle_timeout.as_ref()),
            "max_concurrent_streams": l.max_concurrent_streams,
            "max_request_body_bytes": l.max_request_body_bytes.map(units::size_text),
            "min_request_body_rate": l.min_request_body_rate.map(|n| units::size_text(n.into())),
            "send_timeout": duration(l.send_timeout.as_ref()),
            "max_request_line_bytes": l.max_request_line_bytes.map(|n| units::size_text(n.into())),
        }))
    });
    compact(json!({
        "name": listener.name,
        "address": listener.address,
        "protocol": written(&LISTENER_PROTOCOL, listener.protocol()),
        "tls": listener.tls.as_ref().map(listener_tls),
        "limits": limits,
    }))
}

fn listener_tls(tls: &v1::ListenerTls) -> Value {
    let certificates: Vec<_> = tls
        .certificates
        .iter()
        .map(|files| json!({ "certificate": files.certificate_file, "private_key": files.private_key_file }))
        .collect();
    let client = tls.client_certificate.as_ref().map(|client| {
        compact(json!({ "ca": client.ca_file, "mode": written(&CLIENT_CERTIFICATE_MODE, client.mode()) }))
    });
    compact(json!({
        "certificates": certificates,
        "min_version": written(&TLS_VERSION, tls.min_version()),
        "client_certificate": client,
    }))
}

fn backend(backend: &v1::Backend) -> Value {
    let zone = (!backend.zone.is_empty()).then_some(&backend.zone);
    let metadata = (!backend.metadata.is_empty()).then_some(&backend.metadata);
    compact(json!({
        "service": backend.service,
        "id": backend.id,
        "address": backend.address,
        "weight": backend.weight.unwrap_or(1),
        "zone": zone,
        "priority": backend.priority.filter(|priority| *priority > 0),
        "metadata": metadata,
        "operator_weight": backend.operator_weight,
        "operator_state": word(backend.operator_state().as_str_name(), "OPERATOR_STATE_"),
        "lease_state": word(backend.lease_state().as_str_name(), "LEASE_STATE_"),
    }))
}

fn route(route: &v1::Route) -> Value {
    let matching = route.r#match.as_ref().map(|m| {
        let prefix = m.path.as_ref().map(|path| match path {
            v1::route_match::Path::PathPrefix(prefix) => prefix,
        });
        compact(json!({ "host": (!m.host.is_empty()).then_some(&m.host), "path_prefix": prefix }))
    });
    let services: Vec<_> =
        route.services.iter().map(|s| json!({ "name": s.name, "weight": s.weight.unwrap_or(1) })).collect();
    compact(json!({
        "name": route.name,
        "match": matching,
        "services": services,
        "rate_limits": limits::rate_limits(&route.rate_limits),
        "implicit": route.implicit.then_some(true),
        "by_host": route.by_host.then_some(true),
        "off": route.off.then_some(true),
    }))
}

fn duration(duration: Option<&prost_types::Duration>) -> Option<String> {
    duration_read(*duration?).map(units::duration_text)
}

/// To the millisecond: it has changed before anybody reads it.
fn remaining(left: Option<&prost_types::Duration>) -> Option<String> {
    let left = duration_read(*left?)?;
    let millis = u64::try_from(left.as_millis()).ok()?;
    Some(units::duration_text(Duration::from_millis(millis)))
}

/// A text, unless it is empty: that is how messages leave it out.
fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Without what is absent, as one would write it.
pub(super) fn compact(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        let time = prost_types::Timestamp { seconds: 0, nanos: 500_000_000 };
        assert_eq!(timestamp(Some(&time)).as_deref(), Some("1970-01-01T00:00:00.500Z"));
        assert_eq!(timestamp(None), None);
    }
}
