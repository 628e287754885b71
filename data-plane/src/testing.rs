//! Objects as a control plane would send them, for tests.

pub(crate) mod control_plane;

use std::net::{Ipv4Addr, SocketAddr};

use prost::Message;
use socket2::{Domain, Socket, Type};
use weir_proto::{ObjectKey, ObjectKind, v1};

use crate::objects::{Objects, Received, ReceivedKey};

pub(crate) type Object = (ReceivedKey, Received);

/// A port of the loopback that the system gives to nobody else until this test's process ends: whoever the test has listen
/// on it may, and whenever nobody does, connections are refused.
pub(crate) fn port() -> SocketAddr {
    // Bound and never listening, which leaves the address to others that allow reuse as well: every listener does.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound.set_reuse_address(true).unwrap();
    bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = bound.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(bound);
    address
}

pub(crate) fn insert(objects: &mut Objects, (key, received): Object) {
    objects.insert(key, received);
}

pub(crate) fn raw(kind: ObjectKind, name: &str, body: &[u8], level: u32) -> Object {
    let received = Received { body: body.to_vec().into(), level };
    ((&ObjectKey::new(kind, name)).into(), received)
}

pub(crate) fn service(name: &str) -> Object {
    let wire = v1::Service { name: name.into(), ..Default::default() };
    raw(ObjectKind::Service, name, &wire.encode_to_vec(), 0)
}

pub(crate) fn backend(service: &str, address: &str) -> Object {
    backend_in_state(service, address, v1::OperatorState::Enabled)
}

pub(crate) fn backend_in_state(service: &str, address: &str, state: v1::OperatorState) -> Object {
    let wire = v1::Backend {
        service: service.into(),
        id: address.into(),
        address: address.into(),
        operator_state: state as i32,
        ..Default::default()
    };
    raw(ObjectKind::Backend, &format!("{service}/{address}"), &wire.encode_to_vec(), 0)
}

pub(crate) fn listener(name: &str, address: &str) -> Object {
    let wire = v1::Listener { name: name.into(), address: address.into(), ..Default::default() };
    raw(ObjectKind::Listener, name, &wire.encode_to_vec(), 0)
}

pub(crate) fn route(host: &str, prefix: &str, service: &str) -> Object {
    let name = format!("{host}{prefix}");
    let wire = v1::Route {
        name: name.clone(),
        r#match: Some(v1::RouteMatch {
            host: host.into(),
            path: Some(v1::route_match::Path::PathPrefix(prefix.into())),
        }),
        services: vec![v1::WeightedService { name: service.into(), weight: None }],
        ..Default::default()
    };
    raw(ObjectKind::Route, &name, &wire.encode_to_vec(), 0)
}

/// The message that carries the object.
pub(crate) fn wire((key, received): &Object) -> v1::Object {
    v1::Object {
        kind: key.kind.into(),
        name: key.name.to_string(),
        body: received.body.clone(),
        level: received.level,
    }
}
