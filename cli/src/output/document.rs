//! Objects as the document that declares them: what `weir apply` takes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use weir_proto::{Route, v1};

use super::object::{compact, limits, resource};

/// The file set of documents that name none.
const DEFAULT_FILE_SET: &str = "default";

/// Some of what is declared, by its owners.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    by_owner: BTreeMap<(i32, String), Section>,
}

/// What one of them declares.
#[derive(Debug, Default)]
struct Section {
    listeners: Vec<v1::Listener>,
    services: Vec<v1::Service>,
    backends: Vec<v1::Backend>,
    routes: Vec<v1::Route>,
}

impl Declared {
    /// Adds one object.
    pub(crate) fn add(&mut self, owner: v1::Owner, object: v1::resource::Resource) {
        use v1::resource::Resource as R;
        let section = self.by_owner.entry((owner.kind, owner.name)).or_default();
        match object {
            R::Listener(listener) => section.listeners.push(listener),
            R::Service(service) => section.services.push(service),
            R::Backend(backend) => section.backends.push(backend),
            R::Route(route) => section.routes.push(route),
        }
    }

    /// Whether nobody declares anything of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_owner.is_empty()
    }

    /// A document for each owner, in its shortest form; an empty one if nobody declares anything.
    pub(crate) fn documents(self) -> Vec<Value> {
        let documents: Vec<_> =
            self.by_owner.into_iter().map(|((kind, name), section)| section.document(kind, &name)).collect();
        if documents.is_empty() { vec![json!({})] } else { documents }
    }
}

impl Section {
    /// Backends of services that somebody else declares, or nobody, stand by themselves.
    fn document(self, kind: i32, owner: &str) -> Value {
        use v1::resource::Resource as R;
        let Self { listeners, services, backends, routes } = self;
        let mut entries: Map<String, Value> = Map::new();
        for service in services {
            entries.insert(service.name.clone(), shown(R::Service(service)));
        }
        let mut alone = Vec::new();
        for backend in backends {
            let Some(entry) = entries.get_mut(&backend.service) else {
                alone.push(of_service(&backend));
                continue;
            };
            match entry.get_mut("backends").and_then(Value::as_array_mut) {
                Some(backends) => backends.push(self::backend(&backend)),
                None => entry["backends"] = json!([self::backend(&backend)]),
            }
        }
        let mut document = Map::new();
        match v1::OwnerKind::try_from(kind) {
            Ok(v1::OwnerKind::Operator) => _ = document.insert("operator".to_owned(), json!(owner)),
            _ if owner == DEFAULT_FILE_SET => {}
            _ => _ = document.insert("file_set".to_owned(), json!(owner)),
        }
        let sections = [
            ("listeners", listeners.into_iter().map(|listener| shown(R::Listener(listener))).collect()),
            ("services", entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>()),
            ("backends", alone),
            ("routes", routes.into_iter().map(route).collect()),
        ];
        let sections = sections.into_iter().filter(|(_, entries)| !entries.is_empty());
        document.extend(sections.map(|(name, entries)| (name.to_owned(), Value::Array(entries))));
        Value::Object(document)
    }
}

fn shown(object: v1::resource::Resource) -> Value {
    resource(&v1::Resource { resource: Some(object) }).map_or(Value::Null, |(_, value)| value)
}

/// Its address alone, if it has nothing else to say.
fn backend(backend: &v1::Backend) -> Value {
    let entry = traits(backend);
    match &entry {
        Value::Object(fields) if fields.len() == 1 => json!(backend.address),
        _ => entry,
    }
}

/// The same with its service.
fn of_service(backend: &v1::Backend) -> Value {
    let mut entry = json!({ "service": backend.service });
    if let (Value::Object(entry), Value::Object(traits)) = (&mut entry, traits(backend)) {
        entry.extend(traits);
    }
    entry
}

/// What operators did to it is not declared.
fn traits(backend: &v1::Backend) -> Value {
    let id = (backend.id != backend.address).then_some(&backend.id);
    compact(json!({
        "id": id,
        "address": backend.address,
        "weight": backend.weight.filter(|weight| *weight != 1),
        "zone": (!backend.zone.is_empty()).then_some(&backend.zone),
        "priority": backend.priority.filter(|priority| *priority > 0),
        "metadata": (!backend.metadata.is_empty()).then_some(&backend.metadata),
    }))
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
