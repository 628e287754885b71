//! Makes a table out of the forms in force, taking over from the previous one all that did not change.

use std::{collections::BTreeMap, sync::Arc};

use weir_proto::{Service, ServiceName};

use super::{
    Here, ServiceEntry, Table,
    forms::{Forms, Touched},
};
use crate::{
    endpoint::{Endpoint, Marks},
    objects::Position,
    router::Router,
};

/// A table, and what its coming into force means for endpoints.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) table: Table,
    /// They are routable again: to be told before the swap.
    pub(super) returned: Vec<Arc<Endpoint>>,
    /// They must get no new request any more, or only of clients that they have: to be told after the swap.
    pub(super) retired: Vec<(Arc<Endpoint>, Marks)>,
}

/// Compiles what was touched, for a proxy that is here. O(touched) but for a copy of the map of services and, if a route
/// was touched, the router.
pub(super) fn compile(
    position: Position,
    forms: &Forms,
    touched: &Touched,
    previous: Option<&Table>,
    here: &Arc<Here>,
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
        let now = entry(name, forms, before.as_deref(), here);
        let members = |entry: Option<&ServiceEntry>| entry.map(|e| e.members.clone()).unwrap_or_default();
        let kept = members(now.as_deref());
        for (id, member) in members(before.as_deref()) {
            if kept.get(&id).is_none_or(|k| k.endpoint.id() != member.endpoint.id()) {
                departed.push(Arc::clone(&member.endpoint));
                retired.push((member.endpoint, Marks::GONE));
            }
        }
        for member in kept.into_values() {
            match member.retired() {
                None => returned.push(member.endpoint),
                Some(marks) => retired.push((member.endpoint, marks)),
            }
        }
        services.extend(now.map(|entry| (name.clone(), entry)));
    }
    Compiled { table: Table { position, router, services, departed }, returned, retired }
}

/// The entry of a service that exists: one that is declared, or has backends and is not refused.
fn entry(
    name: &ServiceName,
    forms: &Forms,
    before: Option<&ServiceEntry>,
    here: &Arc<Here>,
) -> Option<Arc<ServiceEntry>> {
    let backends = forms.backends.get(name);
    let (service, tls) = match forms.services.get(name) {
        Some(service) => (Arc::clone(service), forms.clients.get(name).cloned()),
        None if backends.is_none() => return None,
        // Its policy is not known here: it goes on as it was, if it was there, and not by defaults that nobody wants.
        None if forms.refuses_service(name) => (Arc::clone(&before?.service), before?.tls.clone()),
        None => (Arc::new(Service::with_defaults(name.clone())), None),
    };
    let backends = backends.into_iter().flat_map(BTreeMap::values).cloned();
    Some(Arc::new(ServiceEntry::new(service, tls, backends, before, here)))
}

#[cfg(test)]
mod tests {
    use weir_proto::{Digest, Epoch, Revision, v1};

    use super::*;
    use crate::{
        balance::{Pick, Picked},
        objects::Objects,
        testing::{Object, backend, backend_in_state, insert, route, service},
    };

    /// Forms that follow a list of objects, and the tables made of them.
    #[derive(Default)]
    struct Fixture {
        objects: Objects,
        forms: Forms,
        table: Option<Table>,
    }

    impl Fixture {
        fn set(&mut self, list: &[Object]) -> Compiled {
            let mut next = Objects::default();
            for object in list {
                insert(&mut next, object.clone());
            }
            let touched = self.forms.update(&self.objects, &next, &self.objects.changed(&next));
            self.objects = next;
            let position = Position { epoch: Epoch(1), revision: Revision(1), digest: Digest::default() };
            compile(position, &self.forms, &touched, self.table.as_ref(), &Arc::default())
        }

        /// As `set`, and the table is in force.
        fn force(&mut self, list: &[Object]) -> &Table {
            let compiled = self.set(list);
            self.table.insert(compiled.table)
        }
    }

    fn endpoint(table: &Table, service: &str, id: &str) -> Arc<Endpoint> {
        Arc::clone(&table.services[service].members[id].endpoint)
    }

    #[test]
    fn what_did_not_change_is_the_same() {
        let mut fixture = Fixture::default();
        let mut list = vec![
            service("a"),
            backend("a", "1.1.1.1:1"),
            service("b"),
            backend("b", "1.1.1.1:2"),
            route("x", "/", "a"),
        ];
        let (a, b, router, live) = {
            let table = fixture.force(&list);
            let services = &table.services;
            let kept = (Arc::clone(&services["a"]), Arc::clone(&services["b"]));
            (kept.0, kept.1, Arc::clone(&table.router), endpoint(table, "b", "1.1.1.1:2"))
        };
        list.push(backend("b", "1.1.1.1:3"));
        let table = fixture.force(&list);
        assert!(Arc::ptr_eq(&a, &table.services["a"]), "an untouched service");
        assert!(Arc::ptr_eq(&router, &table.router), "untouched routes");
        assert!(!Arc::ptr_eq(&b, &table.services["b"]));
        assert!(Arc::ptr_eq(&live, &endpoint(table, "b", "1.1.1.1:2")), "the neighbour of a new backend");
        assert!(Arc::ptr_eq(&b.counters, &table.services["b"].counters));
    }

    #[test]
    fn a_backend_that_moves_is_another_endpoint() {
        let at = |address: &str| {
            let wire = v1::Backend {
                service: "a".into(),
                id: "one".into(),
                address: address.into(),
                ..Default::default()
            };
            let body = prost::Message::encode_to_vec(&wire);
            crate::testing::raw(weir_proto::ObjectKind::Backend, "a/one", &body, 0)
        };
        let mut fixture = Fixture::default();
        let before = endpoint(fixture.force(&[at("1.1.1.1:1")]), "a", "one");
        let compiled = fixture.set(&[at("1.1.1.1:2")]);
        assert_eq!(endpoint(&compiled.table, "a", "one").address(), ([1, 1, 1, 1], 2).into());
        assert!(compiled.retired.iter().any(|(e, marks)| Arc::ptr_eq(e, &before) && *marks == Marks::GONE));
        assert!(compiled.table.departed.iter().any(|e| Arc::ptr_eq(e, &before)));
    }

    #[test]
    fn a_draining_backend_keeps_its_endpoint_and_may_return() {
        let draining = backend_in_state("a", "1.1.1.1:1", v1::OperatorState::Draining);
        let mut fixture = Fixture::default();
        let live = endpoint(fixture.force(&[service("a"), backend("a", "1.1.1.1:1")]), "a", "1.1.1.1:1");
        let compiled = fixture.set(&[service("a"), draining]);
        assert!(Arc::ptr_eq(&compiled.retired[0].0, &live) && compiled.returned.is_empty());
        assert_eq!(compiled.retired[0].1, Marks::DRAINING);
        assert!(matches!(compiled.table.services["a"].balance.pick(&Pick::default()), Picked::Nobody));
        assert_eq!(compiled.table.unroutable().count(), 1);
        fixture.table = Some(compiled.table);
        let compiled = fixture.set(&[service("a"), backend("a", "1.1.1.1:1")]);
        assert!(Arc::ptr_eq(&compiled.returned[0], &live) && compiled.retired.is_empty());
    }

    #[test]
    fn the_departed_are_kept_until_they_are_idle() {
        let mut fixture = Fixture::default();
        let list = [service("a"), backend("a", "1.1.1.1:1")];
        let endpoint = endpoint(fixture.force(&list), "a", "1.1.1.1:1");
        assert!(endpoint.live().gate().enter(1));
        let request = endpoint.begin(&Pick::default());
        assert_eq!(fixture.force(&[service("a")]).departed.len(), 1);
        assert_eq!(fixture.force(&[service("a"), service("b")]).departed.len(), 1);
        drop(request);
        assert_eq!(fixture.force(&[service("a")]).departed.len(), 0);
    }

    #[test]
    fn a_service_that_is_refused_goes_on_as_it_was_or_not_at_all() {
        let bad = |name| crate::testing::raw(weir_proto::ObjectKind::Service, name, b"\xff", 0);
        let mut fixture = Fixture::default();
        let table = fixture.force(&[bad("a"), backend("a", "1.1.1.1:1"), backend("b", "1.1.1.1:1")]);
        assert!(!table.services.contains_key("a"), "nobody knows its policy");
        assert!(table.services.contains_key("b"), "it came with its first backend");
        let list = [bad("b"), backend("b", "1.1.1.1:1"), backend("b", "1.1.1.1:2")];
        assert_eq!(fixture.force(&list).services["b"].members.len(), 2);
    }
}
