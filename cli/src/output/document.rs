//! Objects as the document that declares them: what `weir apply` takes.

use serde_json::{Map, Value, json};
use weir_proto::{Route, v1};

use super::object::{compact, limits, resource};

/// Some of what is declared.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub(crate) listeners: Vec<v1::Listener>,
    pub(crate) services: Vec<v1::Service>,
    pub(crate) backends: Vec<v1::Backend>,
    pub(crate) routes: Vec<v1::Route>,
}

impl Declared {
    /// Whether it is nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { listeners, services, backends, routes } = self;
        listeners.is_empty() && services.is_empty() && backends.is_empty() && routes.is_empty()
    }

    /// The document in its shortest form. A service that only its backends speak of has an entry for them.
    pub(crate) fn document(self) -> Value {
        use v1::resource::Resource as R;
        let Self { listeners, services, backends, routes } = self;
        let mut entries: Map<String, Value> = Map::new();
        for service in services {
            entries.insert(service.name.clone(), shown(R::Service(service)));
        }
        for backend in backends {
            let entry =
                entries.entry(backend.service.clone()).or_insert_with(|| json!({ "name": backend.service }));
            match entry.get_mut("backends").and_then(Value::as_array_mut) {
                Some(backends) => backends.push(self::backend(&backend)),
                None => entry["backends"] = json!([self::backend(&backend)]),
            }
        }
        let sections = [
            ("listeners", listeners.into_iter().map(|listener| shown(R::Listener(listener))).collect()),
            ("services", entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>()),
            ("routes", routes.into_iter().map(route).collect()),
        ];
        let sections = sections.into_iter().filter(|(_, entries)| !entries.is_empty());
        Value::Object(sections.map(|(name, entries)| (name.to_owned(), Value::Array(entries))).collect())
    }
}

fn shown(object: v1::resource::Resource) -> Value {
    resource(&v1::Resource { resource: Some(object) }).map_or(Value::Null, |(_, value)| value)
}

/// Its address alone, if it has nothing else to say. What operators did to it is not declared.
fn backend(backend: &v1::Backend) -> Value {
    let id = (backend.id != backend.address).then_some(&backend.id);
    let entry = compact(json!({
        "id": id,
        "address": backend.address,
        "weight": backend.weight.filter(|weight| *weight != 1),
        "zone": (!backend.zone.is_empty()).then_some(&backend.zone),
        "priority": backend.priority.filter(|priority| *priority > 0),
        "metadata": (!backend.metadata.is_empty()).then_some(&backend.metadata),
    }));
    match &entry {
        Value::Object(fields) if fields.len() == 1 => json!(backend.address),
        _ => entry,
    }
}

/// Without the name that it would have anyway.
fn route(mut route: v1::Route) -> Value {
    let unnamed = Route::try_from(v1::Route { name: String::new(), ..route.clone() });
    let is_derived = unnamed.is_ok_and(|unnamed| unnamed.name.as_str() == route.name);
    let rate_limits = limits::rate_limits(&std::mem::take(&mut route.rate_limits));
    let matching = route.r#match.as_ref().map(|m| {
        let prefix = m.path.as_ref().map(|v1::route_match::Path::PathPrefix(prefix)| prefix);
        compact(json!({ "host": (!m.host.is_empty()).then_some(&m.host), "path_prefix": prefix }))
    });
    let (one, many) = match route.services.as_slice() {
        [v1::WeightedService { name, weight: None }] => (Some(name), None),
        services => {
            let weighted = |s: &v1::WeightedService| compact(json!({ "name": s.name, "weight": s.weight }));
            (None, Some(services.iter().map(weighted).collect::<Vec<_>>()))
        }
    };
    compact(json!({
        "name": (!is_derived).then_some(&route.name),
        "match": matching,
        "service": one,
        "services": many,
        "rate_limits": rate_limits,
    }))
}
