//! Which service a request goes to.

use std::sync::Arc;

use weir_proto::ServiceName;

use crate::{
    reason::Reason,
    router::CompiledRoute,
    table::{ServiceEntry, Table},
};

/// Where the way of a request leads.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// None if none matches.
    pub(crate) route: Option<&'a Arc<CompiledRoute>>,
    pub(crate) service: Result<&'a Arc<ServiceEntry>, Reason>,
}

/// Where a request goes, which takes its turn where a route has several services.
pub(super) fn of<'a>(table: &'a Table, host: &str, path: &str) -> Found<'a> {
    find(table, host, path, CompiledRoute::service)
}

/// By the routes. `turn` says which of a route's services it is.
pub(crate) fn find<'a>(
    table: &'a Table,
    host: &str,
    path: &str,
    turn: impl FnOnce(&'a CompiledRoute) -> &'a ServiceName,
) -> Found<'a> {
    let Some(route) = table.router.route(host, path) else {
        return Found { route: None, service: without_route(table, host) };
    };
    let named = if route.is_by_host() { table.services.get(host) } else { None };
    let service = named.or_else(|| table.services.get(turn(route))).ok_or(Reason::NoService);
    Found { route: Some(route), service }
}

/// Where no route matches. If there is none at all, the control plane has no service, or it is an older one, which leaves
/// it to its proxies: then it is the service named like the host, else the only one.
fn without_route<'a>(table: &'a Table, host: &str) -> Result<&'a Arc<ServiceEntry>, Reason> {
    if !table.router.knows_none() {
        return Err(Reason::NoRoute);
    }
    let mut services = table.services.values();
    match (table.services.get(host), services.next(), services.next()) {
        (Some(named), ..) | (None, Some(named), None) => Ok(named),
        (None, None, _) => Err(Reason::NothingConfigured),
        (None, Some(_), Some(_)) => Err(Reason::NoRoute),
    }
}
