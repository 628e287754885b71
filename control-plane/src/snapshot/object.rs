//! One object: its bytes, as everybody passes them on, and what they mean.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use weir_proto::{
    Backend, HostMatch, Invalid, LeaseId, LeaseTerms, Listener, ObjectKey, ObjectKind, Revision, Route,
    RouteName, Service, ServiceName, WeightedService, v1,
};

/// What is declared: the bytes that are stored, streamed and hashed, and the same in types that cannot be wrong.
///
/// Two objects are equal if their bytes are: a declaration that spells out a default is another one.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// Its name.
    pub(crate) key: ObjectKey,
    /// The encoded message: what the digest covers.
    pub(crate) body: Bytes,
    /// `Object.level` in `object.proto`.
    pub(crate) level: u32,
    /// What the body says.
    pub(crate) value: Value,
}

/// The meaning of an object's bytes. All but backends are boxed: of those there are so many more that the others must
/// not make them larger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Of kind listener.
    Listener(Box<Listener>),
    /// Of kind service.
    Service(Box<Service>),
    /// Of kind backend.
    Backend(Backend),
    /// Of kind route.
    Route(Box<Route>),
}

/// An object, and what the control plane keeps beside it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// What is streamed.
    pub(crate) object: Object,
    /// What is not.
    pub(crate) meta: v1::ObjectMeta,
}

impl Object {
    /// A declared listener.
    pub(crate) fn listener(wire: v1::Listener) -> Result<Self, Invalid> {
        let listener = Listener::try_from(wire)?;
        let key = ObjectKey::new(ObjectKind::Listener, listener.name.as_str());
        Ok(Self::new(key, &v1::Listener::from(&listener), Value::Listener(Box::new(listener))))
    }

    /// A declared service.
    pub(crate) fn service(wire: v1::Service) -> Result<Self, Invalid> {
        let body = wire.encode_to_vec().into();
        let service = Service::try_from(wire)?;
        let key = ObjectKey::new(ObjectKind::Service, service.name.as_str());
        Ok(Self { key, body, level: service.level(), value: Value::Service(Box::new(service)) })
    }

    /// The service that a first registration makes: everything by default.
    pub(crate) fn default_service(name: &ServiceName) -> Self {
        let wire = v1::Service { name: name.to_string(), ..v1::Service::default() };
        let key = ObjectKey::new(ObjectKind::Service, name.as_str());
        Self::new(key, &wire, Value::Service(Box::new(Service::with_defaults(name.clone()))))
    }

    /// A backend, declared or registered.
    pub(crate) fn backend(backend: Backend) -> Self {
        Self::new(ObjectKey::from(&backend.key), &v1::Backend::from(&backend), Value::Backend(backend))
    }

    /// A declared route.
    pub(crate) fn route(mut wire: v1::Route) -> Result<Self, Invalid> {
        if wire.implicit {
            return Err(Invalid::new("implicit", "is the control plane's own; leave it out"));
        }
        let route = Route::try_from(wire.clone())?;
        wire.name = route.name.to_string();
        let key = ObjectKey::new(ObjectKind::Route, route.name.as_str());
        Ok(Self::new(key, &wire, Value::Route(Box::new(route))))
    }

    /// The route that nobody declared: for every host and path, to the service that the Host names, else to `service`.
    /// There may be none of those if it is off.
    pub(crate) fn implicit_route(name: RouteName, service: Option<ServiceName>, off: bool) -> Self {
        let wire = v1::Route {
            name: name.to_string(),
            services: service
                .iter()
                .map(|name| v1::WeightedService { name: name.to_string(), weight: None })
                .collect(),
            implicit: true,
            by_host: true,
            off,
            ..v1::Route::default()
        };
        let key = ObjectKey::new(ObjectKind::Route, name.as_str());
        let services = service.map(|name| WeightedService { name, weight: 1 }).into_iter().collect();
        let route = Route {
            name,
            host: HostMatch::Any,
            path_prefix: "/".into(),
            services,
            rate_limits: Vec::new(),
            implicit: true,
            by_host: true,
            off,
        };
        Self::new(key, &wire, Value::Route(Box::new(route)))
    }

    /// An object as it was stored.
    pub(crate) fn stored(key: ObjectKey, body: Bytes, level: u32) -> Result<Self, Invalid> {
        let value = decode(key.kind, body.clone())?;
        let name = value.name();
        if *name != *key.name {
            return Err(Invalid::new("name", format_args!("is {name:?} under the key {:?}", key.name)));
        }
        Ok(Self { key, body, level, value })
    }

    /// Has a backend keep its service's name where the service does, or another of its backends: there are many of them.
    pub(super) fn share(&mut self, service: &ServiceName) {
        if let Value::Backend(backend) = &mut self.value
            && backend.key.service == *service
        {
            backend.key.service = service.clone();
        }
    }

    /// As it is streamed.
    pub(crate) fn wire(&self) -> v1::Object {
        v1::Object {
            kind: self.key.kind.wire() as i32,
            name: self.key.name.to_string(),
            body: self.body.clone(),
            level: self.level,
        }
    }

    /// As people and tools get it.
    pub(crate) fn resource(&self) -> v1::Resource {
        use v1::resource::Resource as R;
        let body = self.body.clone();
        // The body was decoded when the object was made, so this cannot fail; an empty resource would be the result.
        let resource = match self.key.kind {
            ObjectKind::Listener => v1::Listener::decode(body).map(R::Listener),
            ObjectKind::Service => v1::Service::decode(body).map(R::Service),
            ObjectKind::Backend => v1::Backend::decode(body).map(R::Backend),
            ObjectKind::Route => v1::Route::decode(body).map(R::Route),
        };
        v1::Resource { resource: resource.ok() }
    }

    fn new(key: ObjectKey, wire: &impl Message, value: Value) -> Self {
        Self { key, body: wire.encode_to_vec().into(), level: value.level(), value }
    }
}

impl Value {
    /// The backend, if it is one.
    pub(crate) fn as_backend(&self) -> Option<&Backend> {
        match self {
            Self::Backend(backend) => Some(backend),
            _ => None,
        }
    }

    /// The route, if it is one.
    pub(crate) fn as_route(&self) -> Option<&Route> {
        match self {
            Self::Route(route) => Some(route),
            _ => None,
        }
    }

    /// What a proxy must know to do it justice.
    fn level(&self) -> u32 {
        match self {
            Self::Listener(listener) => listener.level(),
            Self::Service(service) => service.level(),
            Self::Backend(backend) => backend.level(),
            Self::Route(route) => route.level(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Listener(listener) => listener.name.to_string(),
            Self::Service(service) => service.name.to_string(),
            Self::Backend(backend) => backend.key.to_string(),
            Self::Route(route) => route.name.to_string(),
        }
    }
}

impl Entry {
    /// The last revision that changed it.
    pub(crate) fn modified(&self) -> Revision {
        Revision(self.meta.modified_revision)
    }

    /// The lease of a backend that has one.
    pub(crate) fn lease_id(&self) -> Option<LeaseId> {
        self.meta.lease.map(|lease| LeaseId(lease.id))
    }

    /// What that lease promised.
    pub(crate) fn lease_terms(&self) -> Option<LeaseTerms> {
        self.meta.lease.map(|lease| LeaseTerms {
            ttl: Duration::from_millis(lease.ttl_ms),
            deregister_after: Duration::from_millis(lease.deregister_after_ms),
        })
    }
}

fn decode(kind: ObjectKind, body: Bytes) -> Result<Value, Invalid> {
    fn message<M: Message + Default>(body: Bytes) -> Result<M, Invalid> {
        M::decode(body).map_err(|e| Invalid::new("body", e))
    }
    match kind {
        ObjectKind::Listener => {
            Listener::try_from(message::<v1::Listener>(body)?).map(|l| Value::Listener(Box::new(l)))
        }
        ObjectKind::Service => {
            Service::try_from(message::<v1::Service>(body)?).map(|s| Value::Service(Box::new(s)))
        }
        ObjectKind::Backend => Backend::try_from(message::<v1::Backend>(body)?).map(Value::Backend),
        ObjectKind::Route => Route::try_from(message::<v1::Route>(body)?).map(|r| Value::Route(Box::new(r))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_says_what_a_proxy_must_know_to_do_it_justice() {
        let level = |tls| {
            let wire = v1::Service { name: "web".to_owned(), tls, ..Default::default() };
            Object::service(wire).map(|object| object.wire().level)
        };
        assert_eq!((level(None), level(Some(v1::ServiceTls::default()))), (Ok(1), Ok(2)));
        let level = |protocol: v1::ListenerProtocol| {
            let (name, address) = ("web".to_owned(), "0.0.0.0:8080".to_owned());
            let wire = v1::Listener { name, address, protocol: protocol as i32, ..Default::default() };
            Object::listener(wire).map(|object| object.wire().level)
        };
        assert_eq!(level(v1::ListenerProtocol::Auto), Ok(1));
        assert_eq!(level(v1::ListenerProtocol::Http2), Ok(2));
        let level = |priority| {
            let (service, address) = ("web".to_owned(), "10.0.0.1:80".to_owned());
            let wire = v1::Backend { service, address, priority, ..Default::default() };
            Backend::try_from(wire).map(|backend| Object::backend(backend).wire().level)
        };
        assert_eq!((level(None), level(Some(1))), (Ok(1), Ok(3)));
        let level = |rate_limits| {
            let services = vec![v1::WeightedService { name: "web".to_owned(), weight: None }];
            Object::route(v1::Route { services, rate_limits, ..Default::default() })
                .map(|object| object.wire().level)
        };
        let limit = v1::RateLimit { requests: 1, ..Default::default() };
        assert_eq!((level(vec![]), level(vec![limit])), (Ok(1), Ok(3)));
        let name = RouteName::try_from("default").expect("valid");
        assert_eq!(Object::implicit_route(name, None, true).wire().level, 4);
    }

    #[test]
    fn the_implicit_route_is_read_back_as_it_was_made() {
        for (service, off) in [(ServiceName::try_from("web").ok(), false), (None, true)] {
            let name = RouteName::try_from("default").expect("valid");
            let made = Object::implicit_route(name, service, off);
            let read = Object::stored(made.key.clone(), made.body.clone(), made.level);
            assert_eq!(read.map(|read| read.value), Ok(made.value));
        }
        let mine = v1::Route { implicit: true, ..Default::default() };
        assert_eq!(Object::route(mine).map(|_| ()).map_err(|e| e.field), Err("implicit".to_owned()));
    }
}
