//! The consequences of a change, what it takes out of service and what it leads elsewhere: said before it is made and
//! afterwards.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use weir_proto::{HostMatch, ObjectKey, ObjectKind, Route, ServiceName, v1};

use super::{Change, OwnAddresses, Registered, Registration, backends, work::Step};
use crate::{
    error::Error,
    snapshot::{Entry, Snapshot, Value},
};

/// Hosts, services and routes of which each is named; of more only the number is.
const MOST_NAMED: usize = 10;

/// Warnings of what `changes`, which lead from `base` to `next`, take out of service. `own_addresses` are those of
/// proxies that a first listener closes.
pub(super) fn of(
    base: &Snapshot,
    next: &Snapshot,
    changes: &[Change],
    own_addresses: &OwnAddresses,
) -> Vec<String> {
    let touches = |kind| changes.iter().any(|c| c.key.kind == kind && c.kind != v1::ChangeKind::Unchanged);
    let mut warnings = Vec::new();
    if touches(ObjectKind::Listener) {
        warnings.extend(addresses(base, next, own_addresses));
    }
    if touches(ObjectKind::Route) {
        warnings.extend(hosts(base, next));
    }
    if touches(ObjectKind::Service) {
        warnings.extend(lost_services(next, changes));
    }
    if touches(ObjectKind::Backend) {
        warnings.extend(lost_backends(base, next, changes));
    }
    if touches(ObjectKind::Route) || touches(ObjectKind::Service) {
        warnings.extend(elsewhere(base, next));
    }
    warnings
}

/// As [`backends::register`]. A service that this makes is probably a mistyped one, if there are others and nothing leads
/// to it.
pub(super) fn register(step: &mut Step<'_>, wanted: Registration) -> Result<Registered, Error> {
    let service = wanted.backend.key.service.clone();
    let exists = |step: &Step<'_>| {
        let key = ObjectKey::new(ObjectKind::Service, service.as_str());
        step.draft.view().get(&key).is_some()
    };
    let existed = exists(step);
    let mut registered = backends::register(step, wanted)?;
    if !existed && exists(step) {
        registered.warnings.extend(unreached(step.draft.view(), &service));
    }
    Ok(registered)
}

/// The warning about a service that is new, if there is one.
fn unreached(view: &Snapshot, service: &ServiceName) -> Option<String> {
    let leads = |route: &&Route| route.services.iter().any(|to| to.name == *service);
    if view.count(ObjectKind::Service) < 2 || routes(view).any(|route| leads(&route)) {
        return None;
    }
    let implicit = view.implicit_route().and_then(|entry| entry.object.value.as_route());
    Some(match implicit.filter(|route| !route.off) {
        Some(route) => format!(
            "the service {service} is new, and no route names it: only requests with `Host: {service}` go to it, and all \
             others where they did ({})",
            leads_to(route)
        ),
        None => format!("the service {service} is new, and no route names it: no request goes to it"),
    })
}

fn addresses(base: &Snapshot, next: &Snapshot, own: &OwnAddresses) -> Vec<String> {
    let (before, after) = (listeners(base), listeners(next));
    let mut warnings = Vec::new();
    if before.is_empty() && !after.is_empty() {
        for (address, proxies) in own.iter().filter(|(address, _)| !after.contains_key(*address)) {
            let serve =
                if *proxies == 1 { "1 proxy serves".to_owned() } else { format!("{proxies} proxies serve") };
            warnings.push(format!(
                "closes the proxies' own address {address} (--listen), which is open only while there is no listener: \
                 {serve} there now"
            ));
        }
    }
    for (address, name) in before.iter().filter(|(address, _)| !after.contains_key(*address)) {
        let moved = after.iter().find(|(_, other)| *other == name).map(|(to, _)| to);
        warnings.push(match moved {
            Some(to) => format!("{address} goes out of service: listener {name} moves to {to}"),
            None => format!("{address} goes out of service, with the listener {name}"),
        });
    }
    if !before.is_empty() && after.is_empty() {
        warnings
            .push("no listener is left: proxies accept on their own addresses (--listen) again".to_owned());
    }
    warnings
}

/// Hosts that were routed and are not any more.
fn hosts(base: &Snapshot, next: &Snapshot) -> Vec<String> {
    let named = |view: &Snapshot| -> BTreeSet<String> {
        let hosts = routes(view).map(|route| &route.host).filter(|host| **host != HostMatch::Any);
        hosts.map(ToString::to_string).collect()
    };
    let after = named(next);
    let lost: Vec<_> = named(base).into_iter().filter(|host| !after.contains(host)).collect();
    let said = lost.iter().take(MOST_NAMED).map(|host| {
        let to = taker(next, host)
            .map_or_else(|| "are answered 404".to_owned(), |route| format!("go to {}", leads_to(route)));
        format!("host {host} is no longer routed: its requests {to}")
    });
    said.chain(more(lost.len(), "hosts are no longer routed")).collect()
}

/// Routes that name a service which goes.
fn lost_services(next: &Snapshot, changes: &[Change]) -> Vec<String> {
    let of_kind = |kind| changes.iter().filter(move |change| change.key.kind == kind);
    let deleted = of_kind(ObjectKind::Service).filter(|change| change.kind == v1::ChangeKind::Deleted);
    let gone: HashSet<&str> = deleted.map(|change| &*change.key.name).collect();
    // Of those that are declared now it is said anyway that a service is missing.
    let declared: HashSet<&str> = of_kind(ObjectKind::Route).map(|change| &*change.key.name).collect();
    if gone.is_empty() {
        return Vec::new();
    }
    let lost: Vec<_> = routes(next)
        .filter(|route| !route.implicit)
        .filter(|route| !declared.contains(route.name.as_str()))
        .flat_map(|route| route.services.iter().map(move |to| (route, &to.name)))
        .filter(|(_, service)| gone.contains(service.as_str()))
        .collect();
    let said = lost.iter().take(MOST_NAMED).map(|(route, service)| {
        format!(
            "route {} names the service {service}, which goes; its share is answered with 503",
            route.name
        )
    });
    said.chain(more(lost.len(), "routes name services that go")).collect()
}

/// Services that lose the last backend that takes requests.
fn lost_backends(base: &Snapshot, next: &Snapshot, changes: &[Change]) -> Vec<String> {
    let touched = changes.iter().filter(|change| change.kind != v1::ChangeKind::Unchanged);
    let services: BTreeSet<_> = touched
        .filter_map(|change| Some(&change.before.as_ref()?.object.value.as_backend()?.key.service))
        .collect();
    let serves = |view: &Snapshot, service: &ServiceName| {
        let mut backends =
            view.backends_of(service, None).filter_map(|entry| entry.object.value.as_backend());
        backends.any(weir_proto::Backend::is_routable)
    };
    let lost: Vec<_> = services
        .into_iter()
        .filter(|service| serves(base, service) && !serves(next, service))
        .filter(|service| next.get(&ObjectKey::new(ObjectKind::Service, service.as_str())).is_some())
        .collect();
    let said = lost.iter().take(MOST_NAMED).map(|service| {
        format!(
            "the service {service} loses its last backend that takes requests: they are answered with 503"
        )
    });
    said.chain(more(lost.len(), "services lose their last backend")).collect()
}

/// The warning that requests which no other route takes go elsewhere, if they do.
fn elsewhere(base: &Snapshot, next: &Snapshot) -> Option<String> {
    let (before, after) = (catch_all(base)?, catch_all(next));
    let services =
        |route: &Route| -> Vec<_> { route.services.iter().map(|to| (to.name.clone(), to.weight)).collect() };
    match after {
        None if next.count(ObjectKind::Service) == 0 => None,
        None => Some(format!(
            "requests that no other route takes are answered 404: they went to {}",
            leads_to(before)
        )),
        Some(after) if services(after) == services(before) => None,
        Some(after) => Some(format!(
            "requests that no other route takes go to {}: they went to {}",
            leads_to(after),
            leads_to(before)
        )),
    }
}

fn more(count: usize, what: &str) -> Option<String> {
    count.checked_sub(MOST_NAMED).filter(|more| *more > 0).map(|more| format!("{more} more {what}"))
}

/// The addresses of listeners, each with its name.
fn listeners(view: &Snapshot) -> BTreeMap<String, String> {
    let listener = |entry: &Arc<Entry>| match &entry.object.value {
        Value::Listener(listener) => Some((listener.address.to_string(), listener.name.to_string())),
        _ => None,
    };
    view.list(ObjectKind::Listener, None).filter_map(listener).collect()
}

/// All routes that take requests.
fn routes(view: &Snapshot) -> impl Iterator<Item = &Route> {
    let routes = view.list(ObjectKind::Route, None).filter_map(|entry| entry.object.value.as_route());
    routes.filter(|route| !route.off)
}

/// The route that takes the root of a host which no route names: a wildcard, the longest first, or what takes every
/// host.
fn taker<'a>(view: &'a Snapshot, host: &str) -> Option<&'a Route> {
    let host = host.trim_start_matches('*');
    let wild =
        routes(view).filter(|route| &*route.path_prefix == "/").filter_map(|route| match &route.host {
            HostMatch::Suffix(suffix) if host.ends_with(&**suffix) && host.len() > suffix.len() => {
                Some((suffix.len(), route))
            }
            _ => None,
        });
    wild.max_by_key(|(length, _)| *length).map(|(_, route)| route).or_else(|| catch_all(view))
}

/// The route that takes what no other route does.
fn catch_all(view: &Snapshot) -> Option<&Route> {
    let key = view.declared_catch_all();
    let declared = key.and_then(|key| view.get(key)?.object.value.as_route());
    let implicit = || view.implicit_route()?.object.value.as_route();
    declared.or_else(|| implicit().filter(|route| !route.off))
}

/// For people: `route default, to web`.
fn leads_to(route: &Route) -> String {
    let services: Vec<_> = route.services.iter().map(|to| to.name.as_str()).collect();
    format!("route {}, to {}", route.name, services.join(" and "))
}
