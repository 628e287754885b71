//! What cannot stand beside each other, and what probably is not meant.

use std::{collections::HashMap, hash::Hash, net::SocketAddr};

use weir_proto::{HostMatch, Invalid, ObjectKey, ObjectKind, ServiceName, rate_limit_bytes, tables_warning};

use super::Paths;
use crate::{
    error::Error,
    snapshot::{Entry, Snapshot, Value},
};

/// Refuses two listeners on one address, and two routes with the same match.
pub(in crate::registry) fn check(next: &Snapshot, declared: &Paths) -> Result<(), Error> {
    unique(next, declared, ObjectKind::Listener, |entry| match &entry.object.value {
        Value::Listener(listener) => Some(listener.address),
        _ => None,
    })
    .map_err(|(path, address, other): (_, SocketAddr, _)| {
        Invalid::new(format!("{path}.address"), format_args!("{address} is the address of {other} already"))
    })?;
    unique(next, declared, ObjectKind::Route, |entry| match &entry.object.value {
        Value::Route(route) if !route.implicit => Some((route.host.clone(), route.path_prefix.to_string())),
        _ => None,
    })
    .map_err(|(path, (host, prefix), other): (_, (HostMatch, _), _)| {
        Invalid::new(format!("{path}.match"), format_args!("{host}{prefix} is what {other} matches already"))
    })?;
    Ok(())
}

/// A warning for each service that a declared route, or the mirror of a declared service, names and that does not exist.
pub(in crate::registry) fn missing_services(next: &Snapshot, declared: &Paths) -> Vec<String> {
    let is_missing =
        |name: &ServiceName| next.get(&ObjectKey::new(ObjectKind::Service, name.as_str())).is_none();
    let declared = |kind| next.list(kind, None).filter(|entry| declared.contains_key(&entry.object.key));
    let mut warnings = Vec::new();
    for entry in declared(ObjectKind::Route) {
        let route = entry.object.value.as_route();
        for to in route.into_iter().flat_map(|route| &route.services).filter(|to| is_missing(&to.name)) {
            warnings.push(format!(
                "{} names the service {}, which does not exist; its share is answered with 503",
                entry.object.key, to.name
            ));
        }
    }
    for entry in declared(ObjectKind::Service) {
        let Value::Service(service) = &entry.object.value else { continue };
        if let Some(mirror) = service.mirror.as_ref().filter(|mirror| is_missing(&mirror.service)) {
            warnings.push(format!(
                "{} mirrors to the service {}, which does not exist; nothing is mirrored",
                entry.object.key, mirror.service
            ));
        }
    }
    warnings
}

/// A warning if the lookup tables of all services and routes need more than proxies give them by default.
pub(in crate::registry) fn large_tables(next: &Snapshot) -> Option<String> {
    let services = next.list(ObjectKind::Service, None).filter_map(|entry| {
        let Value::Service(service) = &entry.object.value else { return None };
        let backends =
            next.backends_of(&service.name, None).filter_map(|entry| entry.object.value.as_backend());
        // Those who are asked for tables look through their backends.
        Some((entry.object.key.to_string(), service.table_bytes(backends, "")))
    });
    let routes = next.list(ObjectKind::Route, None).filter_map(|entry| match &entry.object.value {
        Value::Route(route) => Some((entry.object.key.to_string(), rate_limit_bytes(&route.rate_limits))),
        _ => None,
    });
    tables_warning(services.chain(routes))
}

/// Finds two objects of a kind for which `mark` is the same: the path of a declared one, what they share, and the
/// other one. Nothing to look for if none of that kind is declared.
fn unique<M: Eq + Hash + Clone>(
    next: &Snapshot,
    declared: &Paths,
    kind: ObjectKind,
    mark: impl Fn(&Entry) -> Option<M>,
) -> Result<(), (String, M, ObjectKey)> {
    if !declared.keys().any(|key| key.kind == kind) {
        return Ok(());
    }
    let mut seen: HashMap<M, ObjectKey> = HashMap::new();
    for entry in next.list(kind, None) {
        let key = entry.object.key.clone();
        let Some(mark) = mark(entry) else { continue };
        if let Some(other) = seen.insert(mark.clone(), key.clone()) {
            return Err(match (declared.get(&key), declared.get(&other)) {
                (Some(path), _) => (path.clone(), mark, other),
                (None, path) => (path.cloned().unwrap_or_default(), mark, key),
            });
        }
    }
    Ok(())
}
