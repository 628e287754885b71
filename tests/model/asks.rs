//! What callers ask for, as requests. Whatever is declared carries the number of the call, so that everything that is
//! ever seen anywhere can be told to whom it is owed.

use std::time::Duration;

use prost::Message;
use weir_proto::{ObjectKind, duration_to_wire, v1};

use super::ops::Ask;

/// Services, and backends in each.
const SERVICES: u8 = 3;
const BACKENDS: u8 = 4;
const ROUTES: u8 = 3;

/// In the metadata of a backend: the call that declared it.
const CALL: &str = "call";
/// Of leases. Short, so that a history sees many of them expire.
pub(crate) const TTL: Duration = Duration::from_secs(10);
pub(crate) const DEREGISTER_AFTER: Duration = Duration::from_secs(15);
/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(3);

/// An object's name among all: its kind and its name.
pub(crate) type Key = (ObjectKind, String);

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Register(v1::RegisterRequest),
    Deregister(v1::DeregisterRequest),
    SetState(v1::SetOperatorStateRequest),
    Apply(v1::ApplyRequest),
    Delete(v1::DeleteObjectRequest),
    Rollback(v1::RollbackRequest),
}

/// One thing that a caller wants, however often it asks for it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) label: u64,
    pub(crate) request: Request,
}

/// `service/id`.
pub(crate) fn backend_key(n: u8) -> Key {
    let n = n % (SERVICES * BACKENDS);
    (ObjectKind::Backend, format!("s{}/b{}", n / BACKENDS, n % BACKENDS))
}

/// The call. `lease` is the one that the backend has now, `last` the call that registered it, `revision` the current one.
pub(crate) fn call(ask: &Ask, label: u64, lease: Option<u64>, last: Option<u64>, revision: u64) -> Call {
    let request = match *ask {
        Ask::Register { backend: n, agent, leased, fresh } => {
            let said = if fresh { label } else { last.unwrap_or(label) };
            let terms = v1::LeaseTerms {
                ttl: Some(duration_to_wire(TTL)),
                deregister_after: Some(duration_to_wire(DEREGISTER_AFTER)),
            };
            let register = v1::RegisterRequest {
                backend: Some(backend(n, said)),
                lease: leased.then_some(terms),
                owner: format!("agent-{agent}"),
            };
            return Call { label: said, request: Request::Register(register) };
        }
        Ask::Deregister { backend, by_lease, drain } => {
            use v1::deregister_request::Target;
            let target = match lease.filter(|_| by_lease) {
                Some(id) => Target::LeaseId(id),
                None => Target::Backend(backend_key(backend).1),
            };
            let drain = drain.then(|| duration_to_wire(DRAIN));
            Request::Deregister(v1::DeregisterRequest { target: Some(target), drain })
        }
        Ask::SetState { backend, state } => Request::SetState(v1::SetOperatorStateRequest {
            backend: backend_key(backend).1,
            state: i32::from(state % 3) + 1,
            if_revision: None,
        }),
        Ask::Apply { set, services, backends, routes, prune, force } => {
            let chosen = |mask: u8, most: u8| (0..most).filter(move |n| mask >> n & 1 == 1);
            let document = v1::Document {
                services: chosen(services, SERVICES).map(|n| service(n, label)).collect(),
                // Those of the set only, half of the time, so that sets own anything.
                backends: chosen(backends, 6).map(|n| backend(n + 6 * set, label)).collect(),
                routes: chosen(routes, ROUTES).map(|n| route(n, label)).collect(),
                ..v1::Document::default()
            };
            Request::Apply(v1::ApplyRequest {
                documents: vec![document],
                file_set: format!("set-{set}"),
                prune,
                force,
                allow_empty: true,
                ..v1::ApplyRequest::default()
            })
        }
        Ask::Delete { object, cascade } => {
            let n = object >> 2;
            let (kind, name) = match object % 4 {
                0 => (ObjectKind::Service, format!("s{}", n % SERVICES)),
                1 => (ObjectKind::Route, format!("r{}", n % ROUTES)),
                _ => backend_key(n),
            };
            let object = Some(v1::ObjectRef { kind: kind.wire() as i32, name });
            let cascade = cascade && kind == ObjectKind::Service;
            Request::Delete(v1::DeleteObjectRequest { object, cascade, ..Default::default() })
        }
        Ask::Rollback { back } => Request::Rollback(v1::RollbackRequest {
            revision: revision.saturating_sub(back.into()),
            ..v1::RollbackRequest::default()
        }),
    };
    Call { label, request }
}

fn backend(n: u8, label: u64) -> v1::Backend {
    let (_, name) = backend_key(n);
    let (service, id) = name.split_once('/').unwrap();
    let n = n % (SERVICES * BACKENDS);
    v1::Backend {
        service: service.to_owned(),
        id: id.to_owned(),
        address: format!("127.0.0.{}:80", n + 1),
        metadata: [(CALL.to_owned(), label.to_string())].into(),
        ..v1::Backend::default()
    }
}

fn service(n: u8, label: u64) -> v1::Service {
    let request = Some(duration_to_wire(Duration::from_millis(1_000 + label)));
    let timeouts = Some(v1::Timeouts { request, ..v1::Timeouts::default() });
    v1::Service { name: format!("s{n}"), timeouts, ..v1::Service::default() }
}

fn route(n: u8, label: u64) -> v1::Route {
    let path = Some(v1::route_match::Path::PathPrefix(format!("/r{n}/{label}")));
    v1::Route {
        name: format!("r{n}"),
        r#match: Some(v1::RouteMatch { path, ..v1::RouteMatch::default() }),
        services: vec![v1::WeightedService { name: format!("s{n}"), weight: None }],
        ..v1::Route::default()
    }
}

/// The call that declared an object, by its bytes. None: nobody, as an implicit service.
pub(crate) fn label(kind: ObjectKind, body: &[u8]) -> Option<u64> {
    match kind {
        ObjectKind::Backend => v1::Backend::decode(body).ok()?.metadata.get(CALL)?.parse().ok(),
        ObjectKind::Service => {
            let request = v1::Service::decode(body).ok()?.timeouts?.request?;
            let millis = u64::try_from(request.seconds).ok()? * 1_000;
            (millis + u64::try_from(request.nanos).ok()? / 1_000_000).checked_sub(1_000)
        }
        ObjectKind::Route => {
            let path = v1::Route::decode(body).ok()?.r#match?.path?;
            let v1::route_match::Path::PathPrefix(path) = path;
            path.rsplit('/').next()?.parse().ok()
        }
        ObjectKind::Listener => None,
    }
}

/// The call that declared it, and its key.
pub(crate) fn resource(resource: &v1::Resource) -> Option<(Key, Option<u64>)> {
    use v1::resource::Resource as R;
    let (kind, name, body) = match resource.resource.as_ref()? {
        R::Backend(b) => (ObjectKind::Backend, format!("{}/{}", b.service, b.id), b.encode_to_vec()),
        R::Service(s) => (ObjectKind::Service, s.name.clone(), s.encode_to_vec()),
        R::Route(r) => (ObjectKind::Route, r.name.clone(), r.encode_to_vec()),
        R::Listener(l) => (ObjectKind::Listener, l.name.clone(), l.encode_to_vec()),
    };
    Some(((kind, name), label(kind, &body)))
}

/// The name of an object as messages have it.
pub(crate) fn key(object: &v1::ObjectRef) -> Key {
    (ObjectKind::try_from(object.kind).unwrap(), object.name.clone())
}
