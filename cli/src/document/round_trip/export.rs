//! Whatever is declared is exported in a form that declares the same.

use std::collections::BTreeMap;

use proptest::{collection::vec, option::of, prelude::*, sample::select};
use weir_proto::{
    Backend, Listener, Route,
    v1::{self, document::Owner::FileSet, resource::Resource},
};

use super::{Source, rate_limits, read, service, text};
use crate::{output::Declared, yaml};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_exported_declares_the_same(
        services in vec(service(), 0..=2),
        backends in vec(backend(), 0..=3),
        routes in vec(route(), 0..=3),
        limits in vec(of(listener_limits()), 0..=2),
        file_set in select(vec!["default", "tls", "1.10"]),
    ) {
        // As the control plane keeps them: one of each name, and in its own spelling.
        let services = named(services, |s| &mut s.name, "web");
        let listeners = limits.into_iter().enumerate().map(|(i, limits)| {
            let (name, address) = (format!("edge-{i}"), format!("0.0.0.0:{}", 80 + i));
            let listener = v1::Listener { name, address, limits, ..Default::default() };
            v1::Listener::from(&Listener::try_from(listener).expect("valid"))
        }).collect::<Vec<_>>();
        let backends = backends.into_iter().enumerate().map(|(i, mut backend)| {
            backend.address = format!("10.0.0.{i}:80");
            if i > 0 && !backend.id.is_empty() {
                backend.id += &i.to_string();
            }
            backend.service = services.first().map_or_else(|| "only-backends".to_owned(), |s| s.name.clone());
            let backend = v1::Backend { operator_state: 0, ..backend };
            v1::Backend::from(&Backend::try_from(backend).expect("valid"))
        }).collect::<Vec<_>>();
        let routes = routes.into_iter().enumerate().map(|(i, mut route)| {
            route.r#match.get_or_insert_default().host = format!("h{i}.example");
            if i > 0 && !route.name.is_empty() {
                route.name += &i.to_string();
            }
            kept(route)
        }).collect::<Vec<_>>();

        let owner = v1::Owner { kind: v1::OwnerKind::FileSet as i32, name: file_set.to_owned() };
        let mut declared = Declared::default();
        let all = listeners.iter().cloned().map(Resource::Listener);
        let all = all.chain(services.iter().cloned().map(Resource::Service));
        let all = all.chain(backends.iter().cloned().map(Resource::Backend));
        for object in all.chain(routes.iter().cloned().map(Resource::Route)) {
            declared.add(owner.clone(), object);
        }
        let documents = declared.documents();
        let [document] = &documents[..] else { return Err(TestCaseError::fail(format!("{documents:?}"))) };
        for text in [yaml::to_string(document).expect("serializes"), document.to_string()] {
            let documents = read(vec![Source { name: "f".to_owned(), text: text.clone() }]);
            let documents = documents.map_err(|problems| TestCaseError::fail(format!("{problems:?}\n{text}")))?;
            let again = documents.wire.into_iter().next().unwrap_or_default();
            prop_assert_eq!(&again.services, &services, "backends declare no service: {}", text);
            let is_empty = services.is_empty() && backends.is_empty() && routes.is_empty() && listeners.is_empty();
            let named = (file_set != "default" && !is_empty).then(|| FileSet(file_set.to_owned()));
            prop_assert_eq!(&again.owner, &named, "{}", text);
            let registered = |b: v1::Backend| v1::Backend::from(&Backend::try_from(b).expect("valid"));
            let registered: Vec<_> = again.backends.into_iter().map(registered).collect();
            prop_assert_eq!(&registered, &backends, "{}", text);
            let bound = |l: v1::Listener| v1::Listener::from(&Listener::try_from(l).expect("valid"));
            let bound: Vec<_> = again.listeners.into_iter().map(bound).collect();
            prop_assert_eq!(&bound, &listeners, "{}", text);
            let kept: Vec<_> = again.routes.into_iter().map(kept).collect();
            prop_assert_eq!(&kept, &routes, "{}", text);
        }
    }
}

fn named<T>(mut all: Vec<T>, name: impl Fn(&mut T) -> &mut String, prefix: &str) -> Vec<T> {
    for (i, one) in all.iter_mut().enumerate() {
        *name(one) = format!("{prefix}-{i}");
    }
    all
}

/// A route with the name that the control plane gives it.
fn kept(route: v1::Route) -> v1::Route {
    let name = Route::try_from(route.clone()).expect("valid").name.to_string();
    v1::Route { name, ..route }
}

prop_compose! {
    fn backend()(
        id in select(vec!["", "one", "1.10", "[::1]:80", "null"]),
        weight in of(1u32..=256),
        zone in select(vec!["", "b", "1.10", "true"]),
        priority in of(0u32..=15),
        metadata in prop::collection::btree_map("[a-z][a-z0-9_-]{0,8}", text(), 0..=2),
    ) -> v1::Backend {
        let metadata: BTreeMap<_, _> = metadata.into_iter().collect();
        let (id, zone) = (id.to_owned(), zone.to_owned());
        v1::Backend { id, weight, zone, priority, metadata, ..Default::default() }
    }
}

prop_compose! {
    fn route()(
        name in select(vec!["", "all", "1.10"]),
        prefix in of(select(vec!["/", "/cart", "/a/b"])),
        weights in vec(of(1u32..=100), 1..=3),
        rate_limits in rate_limits(),
    ) -> v1::Route {
        let path = prefix.map(|prefix| v1::route_match::Path::PathPrefix(prefix.to_owned()));
        let services = weights.into_iter().enumerate();
        v1::Route {
            name: name.to_owned(),
            r#match: Some(v1::RouteMatch { host: String::new(), path }),
            services: services.map(|(i, weight)| v1::WeightedService { name: format!("s{i}"), weight }).collect(),
            rate_limits,
            ..Default::default()
        }
    }
}

prop_compose! {
    fn listener_limits()(
        max_connections in of(1u32..=1_000_000),
        (max_header_bytes, max_request_line_bytes) in (of(1u32 << 10..=1 << 20), of(1u32 << 8..=1 << 20)),
        max_request_body_bytes in of(0u64..=1 << 40),
    ) -> v1::ListenerLimits {
        v1::ListenerLimits {
            max_connections, max_header_bytes, max_request_body_bytes, max_request_line_bytes, ..Default::default()
        }
    }
}
