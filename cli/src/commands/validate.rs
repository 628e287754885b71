//! `weir validate`: checks files without a control plane.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use clap::Args;
use serde_json::json;
use weir_proto::{Backend, Route, Service, rate_limit_bytes, tables_warning, v1};

use crate::{Error, Exit, commands::Global, document, output};

/// Which files.
#[derive(Debug, Args)]
pub(super) struct Validate {
    /// Files or directories in YAML or JSON; - is standard input
    #[arg(short, long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
}

pub(super) fn run(global: &Global, validate: &Validate) -> Result<Exit, Error> {
    let wire = document::load(&validate.files)?.wire;
    let count = |of: fn(&v1::Document) -> usize| wire.iter().map(of).sum::<usize>();
    let (listeners, services) = (count(|d| d.listeners.len()), count(|d| d.services.len()));
    let (backends, routes) = (count(|d| d.backends.len()), count(|d| d.routes.len()));
    let mut warnings = missing_services(&wire);
    warnings.extend(tables_warning(tables(&wire)));
    for warning in &warnings {
        output::note(&format!("warning: {warning}"));
    }
    let value = json!({
        "valid": true,
        "listeners": listeners,
        "services": services,
        "backends": backends,
        "routes": routes,
        "warnings": warnings,
    });
    global.output().show(&value, || {
        format!("valid: listeners {listeners}, services {services}, backends {backends}, routes {routes}")
    })?;
    Ok(Exit::Ok)
}

/// A warning for each service that a route, or the mirror of a service, names and that the files do not declare.
fn missing_services(wire: &[v1::Document]) -> Vec<String> {
    let declared = wire.iter().flat_map(|document| &document.services).map(|service| &service.name);
    let with_backends = wire.iter().flat_map(|document| &document.backends).map(|backend| &backend.service);
    let known: HashSet<_> = declared.chain(with_backends).collect();
    let routes = wire.iter().flat_map(|document| &document.routes).flat_map(|wire| {
        let route = Route::try_from(wire.clone()).map(|route| route.name.to_string()).unwrap_or_default();
        wire.services.iter().map(move |to| {
            (&to.name, format!("route {route}"), "until it is registered, its share is answered with 503")
        })
    });
    let services = wire.iter().flat_map(|document| &document.services);
    let mirrors = services.filter_map(|service| {
        let to = &service.mirror.as_ref()?.service;
        Some((to, format!("service {}", service.name), "until it is registered, nothing is mirrored to it"))
    });
    let missing = routes.chain(mirrors).filter(|(name, ..)| !known.contains(name));
    missing
        .map(|(name, who, so)| {
            format!("{who} names the service {name}, which the files do not declare; {so}")
        })
        .collect()
}

/// Memory for lookup tables that each service and route asks of a proxy, as far as the files tell.
fn tables(wire: &[v1::Document]) -> Vec<(String, u64)> {
    let mut backends: HashMap<_, Vec<Backend>> = HashMap::new();
    for backend in wire.iter().flat_map(|document| &document.backends) {
        // What is not valid was refused already.
        if let Ok(backend) = Backend::try_from(backend.clone()) {
            backends.entry(backend.key.service.clone()).or_default().push(backend);
        }
    }
    let service = |wire: &v1::Service| {
        let service = Service::try_from(wire.clone()).ok()?;
        let backends = backends.get(&service.name).into_iter().flatten();
        Some((format!("service {}", service.name), service.table_bytes(backends, "")))
    };
    let route = |wire: &v1::Route| {
        let route = Route::try_from(wire.clone()).ok()?;
        Some((format!("route {}", route.name), rate_limit_bytes(&route.rate_limits)))
    };
    let services = wire.iter().flat_map(|document| &document.services).filter_map(service);
    let routes = wire.iter().flat_map(|document| &document.routes).filter_map(route);
    services.chain(routes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_proxies_have_no_room_for_are_worth_a_warning() {
        let text = "{lb_policy: {ring_hash: {minimum_ring_size: 8388608}}, backends: [10.0.0.1:80]}";
        let services: Vec<_> =
            (0..10).map(|n| text.replacen('{', &format!("{{name: ring-{n}, "), 1)).collect();
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
        std::fs::write(file.path(), format!("services: [{}]", services.join(", "))).expect("written");
        let documents = document::load(&[file.path().to_owned()]).expect("valid");
        let warning = tables_warning(tables(&documents.wire)).expect("a warning");
        assert!(
            warning.contains(" need 960 MiB on every proxy, ") && warning.contains("service ring-0 (96 MiB)")
        );
    }
}
