//! What a user writes, as the messages that the control plane takes: files of sections in YAML or JSON.
//!
//! Every refusal names file, line and field, also one that comes from the control plane: [`Documents`] remembers where
//! each field stands.

mod backend;
mod care;
mod check;
mod fields;
mod files;
mod health_check;
mod lb_policy;
mod limits;
mod listener;
mod places;
mod problem;
mod retry;
#[cfg(test)]
mod round_trip;
mod route;
mod service;
mod tls;
mod words;

use std::path::PathBuf;

use weir_proto::v1;

use crate::{
    Error,
    document::{
        fields::{Context, Fields, Path},
        files::Source,
        places::Places,
    },
    yaml::{self, Node, Value},
};

pub use problem::Problem;
pub(crate) use words::{
    CLIENT_CERTIFICATE_MODE, LISTENER_PROTOCOL, RETRY_ON, SERVICE_PROTOCOL, TLS_VERSION, written,
};

/// What files declare, valid as far as can be seen without a control plane.
#[derive(Debug)]
pub(crate) struct Documents {
    /// One for each YAML document.
    pub(crate) wire: Vec<v1::Document>,
    places: Places,
    sources: Vec<Source>,
}

impl Documents {
    /// A refusal of a field that the control plane names, as `documents[0].services[2].weight`.
    pub(crate) fn problem(&self, wire_path: &str, reason: &str) -> Problem {
        self.places.problem(&self.sources, wire_path, reason)
    }

    /// The same for a sentence that begins with such a path and a colon.
    pub(crate) fn placed(&self, sentence: &str) -> Option<Box<Problem>> {
        let (path, reason) = sentence.split_once(": ")?;
        let is_path = path.starts_with("documents[") && !path.contains(' ');
        is_path.then(|| Box::new(self.problem(path, reason)))
    }
}

/// Reads files and directories; `-` is standard input. Every problem is found, not only the first.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Documents, Error> {
    read(files::read(paths)?).map_err(Error::Invalid)
}

fn read(sources: Vec<Source>) -> Result<Documents, Vec<Problem>> {
    let mut documents = Documents { wire: Vec::new(), places: Places::default(), sources: Vec::new() };
    let mut problems = Vec::new();
    for (file, source) in sources.iter().enumerate() {
        match yaml::parse(&source.text) {
            Err(e) => problems.push(Problem::at(source, e.at, "", &e.reason)),
            Ok(nodes) => {
                for node in nodes.iter().flat_map(documents_in) {
                    let index = documents.wire.len();
                    let mut context = Context::new(file, source, &mut documents.places, &mut problems);
                    documents.wire.push(document(&mut context, node, index));
                }
            }
        }
    }
    documents.sources = sources;
    // Positions are only sure while nothing was left out.
    if problems.is_empty() {
        check::duplicates(&documents, &mut problems);
    }
    problems.sort_by_key(|problem| problem.order(&documents.sources));
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

/// A list at the top is one of documents: JSON has no other way to hold several.
fn documents_in(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(nodes) => nodes,
        _ => std::slice::from_ref(node),
    }
}

fn document(context: &mut Context<'_>, node: &Node, index: usize) -> v1::Document {
    let path = Path::root(index);
    let mut document = v1::Document { source: context.source.name.clone(), ..Default::default() };
    let Some(mut fields) = Fields::of(context, node, &path) else { return document };
    document.owner = match fields.one_of(&["file_set", "operator"]) {
        Some("file_set") => Some(v1::document::Owner::FileSet(fields.text("file_set"))),
        Some(_) => Some(v1::document::Owner::Operator(fields.text("operator"))),
        None => None,
    };
    document.listeners = fields.list("listeners", listener::listener);
    let services = fields.list("services", service::service);
    let alone = backend::section(&mut fields);
    document.routes = fields.list("routes", route::route);
    fields.finish();
    for (i, (service, backends)) in services.into_iter().enumerate() {
        for (k, backend) in backends.into_iter().enumerate() {
            let user = format!("{}.services[{i}].backends[{k}]", path.wire);
            context.places.alias(&format!("{}.backends[{}]", path.wire, document.backends.len()), &user);
            document.backends.push(backend);
        }
        document.services.push(service);
    }
    for (k, backend) in alone.into_iter().enumerate() {
        // The messages hold them after those of services.
        let user = format!("{}.{}[{k}]", path.wire, backend::ALONE);
        context.places.alias(&format!("{}.backends[{}]", path.wire, document.backends.len()), &user);
        document.backends.push(backend);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn texts(files: &[(&str, &str)]) -> Result<Documents, Vec<String>> {
        let sources =
            files.iter().map(|(name, text)| Source { name: (*name).into(), text: (*text).into() }).collect();
        read(sources).map_err(|problems| problems.iter().map(Problem::summary).collect())
    }

    fn refusal(text: &str) -> Vec<String> {
        texts(&[("f.yaml", text)]).expect_err("must be refused")
    }

    const SHOP: &str = r#"
listeners:
  - name: web
    address: 0.0.0.0:8080
    limits: { max_header_bytes: 64KiB, idle_timeout: 90s }
services:
  - name: checkout
    lb_policy: { round_robin: {} }
    timeouts: { request: 5s }
    retry_policy: { num_retries: 2, retry_on: [connect-failure] }
  - name: shop
    backends: [ "10.0.0.5:8080", { address: "10.0.0.6:8080", weight: 2, zone: b, metadata: { v: 1.10 } } ]
routes:
  - match: { host: shop.example, path_prefix: /checkout }
    service: checkout
  - match: { host: shop.example }
    services: [ { name: shop, weight: 95 }, { name: shop-next, weight: 5 } ]
"#;

    #[test]
    fn the_whole_shape_is_read() {
        let documents = texts(&[("shop.yaml", SHOP)]).expect("valid");
        let [document] = &documents.wire[..] else { panic!("{documents:?}") };
        let limits = document.listeners[0].limits.expect("limits");
        assert_eq!(limits.max_header_bytes, Some(65536));
        assert_eq!(limits.idle_timeout.map(|d| d.seconds), Some(90));
        assert_eq!(
            document.services[0].timeouts.as_ref().and_then(|t| t.request).map(|d| d.seconds),
            Some(5)
        );
        assert_eq!(document.services[0].retry_policy.as_ref().map(|r| r.retry_on.len()), Some(1));
        assert_eq!(document.backends[1].service, "shop");
        assert_eq!(document.backends[1].weight, Some(2));
        assert_eq!(document.backends[1].metadata["v"], "1.10");
        assert_eq!(document.routes[0].services[0].name, "checkout");
        assert_eq!(document.routes[1].services[1].weight, Some(5));
    }

    /// A document of what is shown of the objects of another.
    fn shown(document: &v1::Document) -> String {
        use v1::resource::Resource::{Listener, Service};
        let show = |resource| {
            let resource = v1::Resource { resource: Some(resource) };
            crate::output::resource(&resource).map(|(_, value)| value)
        };
        let listeners = document.listeners.iter().cloned().map(Listener).map(show);
        let services = document.services.iter().cloned().map(Service).map(show);
        let value = serde_json::json!({
            "listeners": listeners.collect::<Option<Vec<_>>>(),
            "services": services.collect::<Option<Vec<_>>>(),
        });
        yaml::to_string(&value).expect("serializes")
    }

    #[test]
    fn what_is_shown_is_what_was_written() {
        let text = include_str!("../tests/cmd/validate.in/good.yaml");
        let written = &texts(&[("f.yaml", text)]).expect("valid").wire[0];
        let tls = written.listeners[1].tls.as_ref().expect("tls");
        assert_eq!(tls.min_version(), v1::TlsVersion::TlsVersion13);
        assert_eq!(tls.client_certificate.as_ref().map(|c| &*c.ca_file), Some("/etc/weir/clients.pem"));
        assert_eq!(written.services[0].protocol(), v1::ServiceProtocol::Http2);
        assert_eq!(written.listeners[0].limits.and_then(|l| l.max_request_body_bytes), Some(8 << 30));
        let again = texts(&[("f.yaml", &shown(written))]).expect("valid");
        assert_eq!(
            (&again.wire[0].listeners, &again.wire[0].services),
            (&written.listeners, &written.services)
        );
    }

    #[test]
    fn a_document_may_say_whose_it_is_and_have_backends_of_services_that_it_does_not_declare() {
        use v1::document::Owner::{FileSet, Operator};
        let text = "services: [{name: web, backends: [10.0.0.1:80]}]\nbackends: [{service: api, address: 10.0.0.2:80}]\n\
                    ---\nfile_set: tls\n---\noperator: \"\"\n";
        let documents = texts(&[("f.yaml", text)]).expect("valid");
        let owners: Vec<_> = documents.wire.iter().map(|document| document.owner.clone()).collect();
        assert_eq!(owners, [None, Some(FileSet("tls".into())), Some(Operator(String::new()))]);
        let first = &documents.wire[0];
        assert_eq!((first.services.len(), first.backends[1].service.as_str()), (1, "api"));
        let place = |path: &str| documents.problem(path, "no").summary();
        assert_eq!(
            place("documents[0].backends[0].address"),
            "f.yaml:1:35: services[0].backends[0].address: no"
        );
        assert_eq!(place("documents[0].backends[1].address"), "f.yaml:2:36: backends[0].address: no");
        assert_eq!(
            refusal("file_set: a\noperator: b\n"),
            ["f.yaml:2:11: operator: excludes `file_set`; leave one of them out"]
        );
        assert_eq!(
            refusal("backends: [10.0.0.1:80]"),
            ["f.yaml:1:12: backends[0]: must be a mapping of keys to values"]
        );
        let json = r#"[{"file_set": "a"}, {"services": [{"name": "web"}]}]"#;
        let documents = texts(&[("f.json", json)]).expect("a list of documents").wire;
        assert_eq!((documents.len(), documents[1].services.len()), (2, 1));
    }

    #[test]
    fn unknown_keys_are_refused_with_what_was_probably_meant() {
        assert_eq!(
            refusal("listeners:\n  - name: web\n    adress: 0.0.0.0:80\n"),
            [
                "f.yaml:2:5: listeners[0].address: is missing",
                "f.yaml:3:5: listeners[0].adress: unknown key `adress`; did you mean `address`?",
            ]
        );
        assert_eq!(
            refusal("services: [{name: a, lb_policy: {lowest_latency: {}}}]"),
            ["f.yaml:1:34: services[0].lb_policy.lowest_latency: unknown key `lowest_latency`; known here: \
              round_robin, least_request, peak_ewma, random, ring_hash, maglev, \
              client_side_weighted_round_robin"]
        );
    }

    #[test]
    fn a_bound_that_there_is_not_is_refused_with_its_reason() {
        let text = "services: [{name: a, circuit_breakers: {max_connections: 5, max_requests: 1}}]";
        let reason = "a service has no bound on connections in all: idle ones would count, and what one worker of a \
                      proxy keeps is of no use to another, so it could be full of connections that nobody uses; use \
                      `max_connections_per_backend`";
        let place = "f.yaml:1:41: services[0].circuit_breakers.max_connections";
        assert_eq!(refusal(text), [format!("{place}: {reason}")]);
    }

    #[test]
    fn bad_values_are_refused_where_they_stand() {
        let text = "services:\n  - name: a\n    timeouts: { request: 30h }\n    \
                    backends: [ { address: 10.0.0.1:80, weight: 0 }, nowhere ]\n  - name: B\n";
        assert_eq!(
            refusal(text),
            [
                "f.yaml:3:26: services[0].timeouts.request: must be 1ms to 86400s, is 108000s",
                "f.yaml:4:49: services[0].backends[0].weight: must be 1 to 256, is 0",
                "f.yaml:4:54: services[0].backends[1].address: must be IP:port, as 10.0.0.7:8080 or \
                 [fd00::7]:8080, not \"nowhere\"",
                "f.yaml:5:11: services[1].name: may consist of a-z, 0-9, - and _ only, not of 'B'",
            ]
        );
    }

    #[test]
    fn duplicates_over_all_files_name_both_places() {
        let a = "services: [{name: web, backends: [10.0.0.1:80]}]\n";
        let b = "services:\n  - name: web\n    backends: [10.0.0.1:80]\n";
        assert_eq!(
            texts(&[("a.yaml", a), ("b.yaml", b)]).expect_err("must be refused"),
            [
                "b.yaml:2:11: services[0].name: service web is declared twice, first at a.yaml:1:19",
                "b.yaml:3:16: services[0].backends[0].address: backend web/10.0.0.1:80 is declared twice, \
                 first at a.yaml:1:35",
            ]
        );
        let routes =
            "routes:\n  - {name: a, match: {host: x}, service: s}\n  - {match: {host: X}, service: s}\n";
        assert_eq!(
            refusal(routes),
            ["f.yaml:3:13: routes[1].match: route x/ takes the same requests as the one at f.yaml:2:22"]
        );
    }

    #[test]
    fn a_refusal_of_the_control_plane_finds_its_place() {
        let documents = texts(&[("shop.yaml", SHOP)]).expect("valid");
        let place = |path: &str| documents.problem(path, "no").summary();
        assert_eq!(
            place("documents[0].backends[1].address"),
            "shop.yaml:12:45: services[1].backends[1].address: no"
        );
        assert_eq!(
            place("documents[0].services[0].timeouts.connect"),
            "shop.yaml:9:15: services[0].timeouts.connect: no"
        );
        assert_eq!(
            place("documents[0].routes[0].services[0].name"),
            "shop.yaml:15:14: routes[0].service: no"
        );
        assert_eq!(place("file_set"), "file_set: no");
        assert!(documents.placed("see documents[0]: no").is_none());
        let placed = documents.placed("documents[0].services[1]: belongs to ops").expect("a place");
        let placed = placed.lines().to_string();
        assert!(placed.starts_with("shop.yaml:11:5: services[1]: belongs to ops\n"), "{placed}");
    }

    #[test]
    fn a_route_says_where_to_in_one_way() {
        assert_eq!(
            refusal("routes: [{service: a, services: [{name: b}]}, {match: {}}]"),
            [
                "f.yaml:1:10: routes[0].service: excludes `services`; leave one of them out",
                "f.yaml:1:47: routes[1].service: is missing; say `service: NAME` or `services: [...]`",
            ]
        );
    }
}
