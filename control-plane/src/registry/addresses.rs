//! Whether proxies may dial what is declared: every backend's address, and the port where its service has it probed.
//!
//! Asked of the state that a command leads to, by the one task that changes it: whichever of backend and service is
//! declared later, the two are looked at together.

use weir_proto::{Backend, Invalid, ObjectKey, ObjectKind, ServiceName};

use super::apply::Paths;
use crate::{
    address_policy::AddressPolicy,
    error::Error,
    snapshot::{Snapshot, Value},
};

/// Refuses the first that may not be dialled of what is declared, by the path where it stands.
pub(super) fn check(next: &Snapshot, policy: &AddressPolicy, declared: &Paths) -> Result<(), Error> {
    let mut declared: Vec<_> = declared.iter().collect();
    declared.sort_unstable();
    for (key, path) in declared {
        match next.get(key).map(|entry| &entry.object.value) {
            Some(Value::Backend(backend)) => self::backend(next, policy, backend, path)?,
            Some(Value::Service(service)) => {
                let port = service.health_check.as_ref().and_then(|check| check.port);
                for backend in backends(next, &service.name).filter(|_| port.is_some()) {
                    probe(policy, backend, port, &format!("{path}.health_check.port"))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a backend that may not be dialled; `path` names it in the request.
pub(super) fn backend(
    next: &Snapshot,
    policy: &AddressPolicy,
    backend: &Backend,
    path: &str,
) -> Result<(), Error> {
    let field = format!("{path}.address");
    policy.backend(backend.address).map_err(|reason| Error::Forbidden(Invalid::new(&field, reason)))?;
    let service = next.get(&ObjectKey::new(ObjectKind::Service, backend.key.service.as_str()));
    let port = service.and_then(|entry| match &entry.object.value {
        Value::Service(service) => service.health_check.as_ref()?.port,
        _ => None,
    });
    probe(policy, backend, port, &field)
}

fn probe(policy: &AddressPolicy, backend: &Backend, port: Option<u16>, field: &str) -> Result<(), Error> {
    let Some(port) = port else { return Ok(()) };
    policy.probe(backend.address.ip(), port).map_err(|reason| Error::Forbidden(Invalid::new(field, reason)))
}

fn backends<'a>(next: &'a Snapshot, service: &'a ServiceName) -> impl Iterator<Item = &'a Backend> {
    next.backends_of(service, None).filter_map(|entry| entry.object.value.as_backend())
}
