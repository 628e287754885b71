//! Which route takes a request: by host, then by the longest path prefix. Knows no sockets.

mod paths;
mod split;

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use weir_proto::{HostMatch, RateLimit, Route, RouteName, ServiceName};

use self::{paths::Paths, split::Split};
use crate::admission::Limits;

/// All routes, compiled: a look-up costs the same for one as for ten thousand.
#[derive(Debug, Default)]
pub(crate) struct Router {
    exact: HashMap<Arc<str>, Paths, RandomState>,
    /// Under `.shop.example`.
    suffixes: HashMap<Arc<str>, Paths, RandomState>,
    any: Paths,
    by_name: HashMap<RouteName, Arc<CompiledRoute>, RandomState>,
    /// Whether there was a route that takes no request.
    is_off: bool,
}

/// A route and where its shares stand.
#[derive(Debug)]
pub(crate) struct CompiledRoute {
    route: Route,
    split: Split,
    limits: Limits,
}

impl Router {
    /// Routes that `previous` has in the same form are taken over as they are, with the state of their shares.
    pub(crate) fn compile<'a>(
        routes: impl IntoIterator<Item = &'a Route>,
        previous: Option<&Router>,
    ) -> Router {
        let mut all = Router::default();
        for route in routes {
            if route.off {
                all.is_off = true;
                continue;
            }
            let before = previous.and_then(|p| p.by_name.get(&route.name));
            let known = before.filter(|known| known.route == *route).cloned();
            let compiled = known.unwrap_or_else(|| {
                let before = before.map(|before| &**before);
                Arc::new(CompiledRoute::new(route.clone(), before))
            });
            let paths = match &route.host {
                HostMatch::Any => &mut all.any,
                HostMatch::Exact(host) => all.exact.entry(Arc::clone(host)).or_default(),
                HostMatch::Suffix(suffix) => all.suffixes.entry(Arc::clone(suffix)).or_default(),
            };
            paths.insert(&route.path_prefix, Arc::clone(&compiled));
            all.by_name.insert(route.name.clone(), compiled);
        }
        all
    }

    /// The most specific route: an exact host before a wildcard (the longer suffix first) before none, then the longer
    /// prefix. `host` in lower case and without a port, `path` without the query.
    pub(crate) fn route(&self, host: &str, path: &str) -> Option<&Arc<CompiledRoute>> {
        let exact = || self.exact.get(host)?.longest(path);
        let suffix = || {
            if self.suffixes.is_empty() {
                return None;
            }
            // At least one label stands before the suffix.
            let dots = host.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'.');
            dots.filter_map(|(dot, _)| self.suffixes.get(&host[dot..])).find_map(|paths| paths.longest(path))
        };
        exact().or_else(suffix).or_else(|| self.any.longest(path))
    }

    /// Every route, in no order.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.by_name.values().map(|compiled| &compiled.route)
    }

    /// Whether there is no route at all, and nobody said that there is to be none.
    pub(crate) fn knows_none(&self) -> bool {
        self.by_name.is_empty() && !self.is_off
    }
}

impl CompiledRoute {
    /// Limits that `previous` had too go on with what has been used.
    fn new(route: Route, previous: Option<&Self>) -> Self {
        let split = Split::new(route.services.iter().map(|service| service.weight));
        let none = Limits::default();
        let limits = Limits::new(&route.rate_limits, previous.map_or(&none, |previous| &previous.limits));
        Self { route, split, limits }
    }

    /// What all of its requests must be within.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The service whose turn it is; it need not exist. Never of a route that is off.
    pub(crate) fn service(&self) -> &ServiceName {
        &self.route.services[self.split.next()].name
    }

    /// The same, and its turn stays.
    pub(crate) fn next_service(&self) -> &ServiceName {
        &self.route.services[self.split.peek()].name
    }

    /// Whether the service comes first that the host names.
    pub(crate) fn is_by_host(&self) -> bool {
        self.route.by_host
    }

    /// How many services have shares of it.
    pub(crate) fn shares(&self) -> usize {
        self.route.services.len()
    }

    /// The settings that `limits` are made of.
    pub(crate) fn rate_limits(&self) -> &[RateLimit] {
        &self.route.rate_limits
    }

    pub(crate) fn name(&self) -> &RouteName {
        &self.route.name
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::v1;

    use super::*;

    fn route(host: &str, prefix: &str) -> Route {
        let wire = v1::Route {
            name: String::new(),
            r#match: Some(v1::RouteMatch {
                host: host.into(),
                path: Some(v1::route_match::Path::PathPrefix(prefix.into())),
            }),
            services: vec![v1::WeightedService { name: "web".into(), weight: None }],
            ..Default::default()
        };
        Route::try_from(wire).unwrap()
    }

    fn found<'a>(all: &'a Router, host: &str, path: &str) -> Option<&'a str> {
        all.route(host, path).map(|compiled| compiled.route.name.as_str())
    }

    #[test]
    fn the_most_specific_route_decides() {
        let routes = [
            route("shop.example", "/a"),
            route("shop.example", "/a/b"),
            route("*.example", "/"),
            route("*.shop.example", "/x"),
            route("", "/any"),
        ];
        let all = Router::compile(&routes, None);
        for (host, path, expected) in [
            ("shop.example", "/a/b/c", Some("shop.example/a/b")),
            ("shop.example", "/a/bc", Some("shop.example/a")),
            ("shop.example", "/ab", Some("*.example/")),
            ("eu.shop.example", "/x", Some("*.shop.example/x")),
            ("eu.shop.example", "/y", Some("*.example/")),
            ("example", "/any/thing", Some("*/any")),
            ("example", "/", None),
            (".example", "/", None),
        ] {
            assert_eq!(found(&all, host, path), expected, "{host} {path}");
        }
    }

    #[test]
    fn an_unchanged_route_keeps_its_state() {
        let (kept, old, new) = (route("a", "/"), route("b", "/"), route("c", "/"));
        let before = Router::compile([&kept, &old], None);
        let after = Router::compile([&kept, &new], Some(&before));
        let same = |host| before.route(host, "/").zip(after.route(host, "/")).map(|(a, b)| Arc::ptr_eq(a, b));
        assert_eq!(same("a"), Some(true));
        assert_eq!(found(&after, "b", "/"), None);
        assert_eq!(found(&after, "c", "/"), Some("c/"));
    }
}
