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
    /// None while there is no route at all, and if none matches.
    pub(crate) route: Option<&'a Arc<CompiledRoute>>,
    pub(crate) service: Result<&'a Arc<ServiceEntry>, Reason>,
}

/// Where a request goes, which takes its turn where a route has several services.
pub(super) fn of<'a>(table: &'a Table, host: &str, path: &str) -> Found<'a> {
    find(table, host, path, CompiledRoute::service)
}

/// By the routes, or, while there is none: the service named like the host, else the only one. `turn` says which of a
/// route's services it is.
pub(crate) fn find<'a>(
    table: &'a Table,
    host: &str,
    path: &str,
    turn: impl FnOnce(&'a CompiledRoute) -> &'a ServiceName,
) -> Found<'a> {
    if table.router.is_empty() {
        return Found { route: None, service: without_routes(table, host) };
    }
    let route = table.router.route(host, path);
    let service = route
        .ok_or(Reason::NoRoute)
        .and_then(|route| table.services.get(turn(route)).ok_or(Reason::NoService));
    Found { route, service }
}

fn without_routes<'a>(table: &'a Table, host: &str) -> Result<&'a Arc<ServiceEntry>, Reason> {
    let mut services = table.services.values();
    match (table.services.get(host), services.next(), services.next()) {
        (Some(named), ..) | (None, Some(named), None) => Ok(named),
        (None, None, _) => Err(Reason::NothingConfigured),
        (None, Some(_), Some(_)) => Err(Reason::NoRoute),
    }
}
