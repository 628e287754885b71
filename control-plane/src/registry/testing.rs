//! What tests of the registry are made of.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use weir_proto::{Backend, BackendKey, LeaseTerms, ObjectKey, Revision, v1};

use super::{Apply, Declared, Options, Registration, Registry, Task};
use crate::{
    address_policy::AddressPolicy,
    caller::Caller,
    error::Error,
    journal::{Before, Compacted, Query, Retention, RevisionRecord},
    metrics::Metrics,
    snapshot::Object,
    store::{Batch, Loaded, Memory, Store},
};

/// A memory store that outlives its registry, and fails when told to.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<(Memory, Option<Error>)>>);

impl Shared {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new((Memory::new(), None))))
    }

    /// Every commit from now on fails so.
    pub(crate) fn fail(&self, with: Option<Error>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = with;
    }

    /// As if that object had never been there.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.memory(|memory| memory.forget(key));
    }

    fn memory<T>(&self, read: impl FnOnce(&mut Memory) -> T) -> T {
        read(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Store for Shared {
    fn load(&mut self) -> Result<Loaded, Error> {
        self.memory(Store::load)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Error> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.1.clone().map_or(Ok(()), Err)?;
        inner.0.commit(batch)
    }

    fn revisions(&mut self, query: &Query) -> Result<Vec<RevisionRecord>, Error> {
        self.memory(|memory| memory.revisions(query))
    }

    fn befores(&mut self, since: Revision) -> Result<Vec<Before>, Error> {
        self.memory(|memory| memory.befores(since))
    }

    fn history_floor(&mut self) -> Result<Revision, Error> {
        self.memory(Store::history_floor)
    }

    fn audit(&mut self, before: Option<u64>, most: usize) -> Result<Vec<v1::AuditRecord>, Error> {
        self.memory(|memory| memory.audit(before, most))
    }

    fn compact(&mut self, keep: Retention) -> Result<Compacted, Error> {
        self.memory(|memory| memory.compact(keep))
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

pub(crate) async fn start() -> (Registry, Task, Shared) {
    let store = Shared::new();
    let (registry, task) = restart(&store).await;
    (registry, task, store)
}

/// With a rule for addresses.
pub(crate) async fn start_with(policy: AddressPolicy) -> (Registry, Task) {
    let options = Options { policy, ..Options::new(Metrics::default()) };
    Registry::start(Box::new(Shared::new()), options).await.expect("starts")
}

pub(crate) async fn restart(store: &Shared) -> (Registry, Task) {
    let options = Options::new(Metrics::default());
    Registry::start(Box::new(store.clone()), options).await.expect("starts")
}

/// Whoever asks.
pub(crate) fn me() -> Caller {
    Caller::new("me", None)
}

pub(crate) fn backend(key: &str) -> Backend {
    let (service, id) = key.split_once('/').expect("SERVICE/ID");
    let (service, id, address) = (service.into(), id.into(), "10.0.0.1:80".into());
    Backend::try_from(v1::Backend { service, id, address, ..Default::default() }).expect("valid")
}

pub(crate) fn fixed(key: &str, owner: &str) -> Registration {
    Registration { backend: backend(key), lease: None, owner: owner.to_owned() }
}

/// A ttl of 10 s, and removal 30 s after the expiry.
pub(crate) fn leased(key: &str, owner: &str) -> Registration {
    let (ttl, deregister_after) = (Duration::from_secs(10), Duration::from_secs(30));
    Registration { lease: Some(LeaseTerms { ttl, deregister_after }), ..fixed(key, owner) }
}

pub(crate) fn key(text: &str) -> BackendKey {
    BackendKey::try_from(text).expect("valid")
}

/// The key of `service web` or `backend web/a`.
pub(crate) fn object_key(text: &str) -> ObjectKey {
    let (kind, name) = text.split_once(' ').expect("KIND NAME");
    let kind = weir_proto::ObjectKind::ALL.into_iter().find(|k| k.as_str() == kind).expect("a kind");
    ObjectKey::new(kind, name)
}

pub(crate) fn service(name: &str, retries: u32) -> Object {
    let retry_policy = Some(v1::RetryPolicy { num_retries: Some(retries), ..Default::default() });
    Object::service(v1::Service { name: name.to_owned(), retry_policy, ..Default::default() }).expect("valid")
}

pub(crate) fn listener(name: &str, address: &str) -> Object {
    let (name, address) = (name.to_owned(), address.to_owned());
    Object::listener(v1::Listener { name, address, ..Default::default() }).expect("valid")
}

pub(crate) fn route(name: &str, host: &str, service: &str) -> Object {
    let name = name.to_owned();
    let matching = Some(v1::RouteMatch { host: host.to_owned(), path: None });
    let services = vec![v1::WeightedService { name: service.to_owned(), weight: None }];
    Object::route(v1::Route { name, r#match: matching, services, ..Default::default() }).expect("valid")
}

/// The objects as the file set `set` declares them.
pub(crate) fn declare(set: &str, objects: impl IntoIterator<Item = Object>) -> Apply {
    let at = |(i, object)| Declared { path: format!("documents[0].objects[{i}]"), object, owner: None };
    let declared = objects.into_iter().enumerate().map(at).collect();
    Apply { declared, file_set: set.to_owned(), ..Apply::default() }
}
