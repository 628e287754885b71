//! Which service a request goes to.

use std::sync::Arc;

use crate::{
    reason::Reason,
    table::{ServiceEntry, Table},
};

/// By the routes, or, while there is none: the service named like the host, else the only one.
pub(super) fn service<'a>(table: &'a Table, host: &str, path: &str) -> Result<&'a Arc<ServiceEntry>, Reason> {
    if !table.router.is_empty() {
        let route = table.router.route(host, path).ok_or(Reason::NoRoute)?;
        return table.services.get(route.service()).ok_or(Reason::NoService);
    }
    let mut services = table.services.values();
    match (table.services.get(host), services.next(), services.next()) {
        (Some(named), ..) | (None, Some(named), None) => Ok(named),
        (None, None, _) => Err(Reason::NothingConfigured),
        (None, Some(_), Some(_)) => Err(Reason::NoRoute),
    }
}
