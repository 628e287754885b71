//! What no object may share with another, over all files.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
};

use weir_proto::{Backend, HostMatch, Listener, Route};

use crate::document::{Documents, Problem};

/// Finds what is declared twice. What is not valid by itself is left out: it was refused already.
pub(super) fn duplicates(documents: &Documents, problems: &mut Vec<Problem>) {
    let mut names = Seen::new(documents);
    let mut addresses = Seen::new(documents);
    let mut matches = Seen::<(HostMatch, std::sync::Arc<str>)>::new(documents);
    for (d, document) in documents.wire.iter().enumerate() {
        for (i, wire) in document.listeners.iter().enumerate() {
            let Ok(listener) = Listener::try_from(wire.clone()) else { continue };
            let path = format!("documents[{d}].listeners[{i}]");
            let text = format!("listener {}", listener.name);
            if names.add(
                text.clone(),
                format!("{path}.name"),
                &format!("{text} is declared twice, first"),
                problems,
            ) {
                let reason = format!("{} is another listener's address already,", listener.address);
                addresses.add(listener.address, format!("{path}.address"), &reason, problems);
            }
        }
        for (i, service) in document.services.iter().enumerate() {
            let text = format!("service {}", service.name);
            let path = format!("documents[{d}].services[{i}].name");
            names.add(text.clone(), path, &format!("{text} is declared twice, first"), problems);
        }
        for (i, wire) in document.backends.iter().enumerate() {
            let Ok(backend) = Backend::try_from(wire.clone()) else { continue };
            let text = format!("backend {}", backend.key);
            let field = if wire.id.is_empty() { "address" } else { "id" };
            let path = format!("documents[{d}].backends[{i}].{field}");
            names.add(text.clone(), path, &format!("{text} is declared twice, first"), problems);
        }
        for (i, wire) in document.routes.iter().enumerate() {
            let Ok(route) = Route::try_from(wire.clone()) else { continue };
            let path = format!("documents[{d}].routes[{i}]");
            let text = format!("route {}", route.name);
            let reason = format!("{text} takes the same requests as the one");
            if matches.add((route.host, route.path_prefix), format!("{path}.match"), &reason, problems) {
                names.add(
                    text.clone(),
                    format!("{path}.name"),
                    &format!("{text} is declared twice, first"),
                    problems,
                );
            }
        }
    }
}

/// What was seen, and where.
struct Seen<'a, K> {
    documents: &'a Documents,
    first: HashMap<K, String>,
}

impl<'a, K: Hash + Eq> Seen<'a, K> {
    fn new(documents: &'a Documents) -> Self {
        Self { documents, first: HashMap::new() }
    }

    /// Whether it is new; else a problem at `path` with `reason` and the first place.
    fn add(&mut self, key: K, path: String, reason: &str, problems: &mut Vec<Problem>) -> bool {
        match self.first.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(path);
                true
            }
            Entry::Occupied(entry) => {
                let first = self.documents.places.find(entry.get()).map_or_else(String::new, |(place, _)| {
                    let name = &self.documents.sources[place.file].name;
                    format!(" at {name}:{}:{}", place.at.line, place.at.column)
                });
                problems.push(self.documents.problem(&path, &format!("{reason}{first}")));
                false
            }
        }
    }
}
