//! Makes a table out of the forms in force, taking over from the previous one all that did not change.

use std::{collections::BTreeMap, sync::Arc};

use weir_proto::{Service, ServiceName};

use super::{
    Member, ServiceEntry, Table,
    forms::{Forms, Touched},
};
use crate::{balance, endpoint::Endpoint, objects::Position, router::Router};

/// A table, and what its coming into force means for endpoints.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) table: Table,
    /// They are routable again: to be told before the swap.
    pub(super) returned: Vec<Arc<Endpoint>>,
    /// They must get no new request any more: to be told after the swap.
    pub(super) retired: Vec<Arc<Endpoint>>,
}

/// Compiles what was touched. O(touched) but for a copy of the map of services and, if a route was touched, the router.
pub(super) fn compile(
    position: Position,
    forms: &Forms,
    touched: &Touched,
    previous: Option<&Table>,
) -> Compiled {
    let router = match previous {
        Some(table) if !touched.routes => Arc::clone(&table.router),
        _ => {
            let before = previous.map(|table| &*table.router);
            Arc::new(Router::compile(forms.routes.values().map(|route| &**route), before))
        }
    };
    let mut services = previous.map(|table| table.services.clone()).unwrap_or_default();
    let mut departed: Vec<_> = previous.map(|table| table.departed.clone()).unwrap_or_default();
    departed.retain(|endpoint| endpoint.in_flight() > 0);
    let (mut returned, mut retired) = (Vec::new(), Vec::new());
    for name in &touched.services {
        let before = services.remove(name);
        let now = entry(name, forms, before.as_deref());
        let members = |entry: Option<&ServiceEntry>| entry.map(|e| e.members.clone()).unwrap_or_default();
        let kept = members(now.as_deref());
        for (id, member) in members(before.as_deref()) {
            if kept.get(&id).is_none_or(|k| k.endpoint.id() != member.endpoint.id()) {
                departed.push(Arc::clone(&member.endpoint));
                retired.push(member.endpoint);
            }
        }
        for member in kept.into_values() {
            let list = if member.backend.is_routable() { &mut returned } else { &mut retired };
            list.push(member.endpoint);
        }
        services.extend(now.map(|entry| (name.clone(), entry)));
    }
    let listeners = forms.listeners.clone();
    Compiled { table: Table { position, router, services, listeners, departed }, returned, retired }
}

/// The entry of a service that exists: one that is declared, or has backends and is not refused.
fn entry(name: &ServiceName, forms: &Forms, before: Option<&ServiceEntry>) -> Option<Arc<ServiceEntry>> {
    let backends = forms.backends.get(name);
    let service = match forms.services.get(name) {
        Some(service) => Arc::clone(service),
        None if backends.is_none() => return None,
        // Its policy is not known here: it goes on as it was, if it was there, and not by defaults that nobody wants.
        None if forms.refuses_service(name) => Arc::clone(&before?.service),
        None => Arc::new(Service::with_defaults(name.clone())),
    };
    let members: BTreeMap<_, _> = backends
        .into_iter()
        .flatten()
        .map(|(id, backend)| {
            let known = before.and_then(|entry| entry.members.get(id)).map(|member| &member.endpoint);
            let same = known.filter(|endpoint| endpoint.address() == backend.address).cloned();
            let endpoint = same.unwrap_or_else(|| Endpoint::new(backend.key.clone(), backend.address));
            (id.clone(), Member { backend: Arc::clone(backend), endpoint })
        })
        .collect();
    let routable: Vec<_> = members
        .values()
        .filter(|member| member.backend.is_routable())
        .map(|member| (Arc::clone(&member.endpoint), member.backend.weight))
        .collect();
    let balance = balance::build(&service.lb_policy, &routable, before.map(|entry| &*entry.balance));
    Some(Arc::new(ServiceEntry { service, balance, members }))
}
