//! A call that has arrived: what it may do, and what was answered.

use std::sync::Arc;

use tokio::{sync::mpsc, time::Instant};
use tonic::{Request as Wire, Status};
use weir_proto::{
    ObjectKind,
    v1::{self, admin_server::Admin, deregister_request::Target, registry_server::Registry},
};

use super::{
    asks::{Call, Key, Request, key, resource},
    promises::Known,
};

/// What a call was answered.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are few at a time")]
pub(crate) enum Reply {
    Registered(v1::RegisterResponse),
    Deregistered(v1::DeregisterResponse),
    StateSet(v1::SetOperatorStateResponse),
    Changed { revision: u64, changes: Vec<v1::Change> },
    Deleted(v1::DeleteObjectResponse),
}

/// One arrival of a request at the control plane.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) id: u64,
    pub(crate) call: Arc<Call>,
    pub(crate) at: Instant,
    /// The revision when it arrived.
    pub(crate) revision: u64,
    pub(crate) answer: Option<Answer>,
}

/// What came of it.
pub(crate) type Answer = Arc<Result<Reply, Status>>;

/// Where the answers of the attempts arrive, by the attempts' numbers.
pub(crate) type Answers = mpsc::UnboundedSender<(u64, Answer)>;

/// Has the control plane do it.
pub(crate) fn spawn(services: impl Admin + Registry + 'static, id: u64, call: &Call, to: Answers) {
    let request = call.request.clone();
    tokio::spawn(async move {
        let _ = to.send((id, Arc::new(perform(&services, request).await)));
    });
}

async fn perform(services: &(impl Admin + Registry), request: Request) -> Result<Reply, Status> {
    Ok(match request {
        Request::Register(r) => Reply::Registered(services.register(Wire::new(r)).await?.into_inner()),
        Request::Deregister(r) => Reply::Deregistered(services.deregister(Wire::new(r)).await?.into_inner()),
        Request::SetState(r) => {
            Reply::StateSet(services.set_operator_state(Wire::new(r)).await?.into_inner())
        }
        Request::Delete(r) => Reply::Deleted(services.delete_object(Wire::new(r)).await?.into_inner()),
        Request::Apply(r) => {
            let v1::ApplyResponse { revision, changes, .. } =
                services.apply(Wire::new(r)).await?.into_inner();
            Reply::Changed { revision, changes }
        }
        Request::Rollback(r) => {
            let answer = services.rollback(Wire::new(r)).await?.into_inner();
            Reply::Changed { revision: answer.revision, changes: answer.changes }
        }
    })
}

impl Reply {
    /// The revision that it names.
    pub(crate) fn revision(&self) -> u64 {
        match self {
            Self::Registered(r) => r.revision,
            Self::Deregistered(r) => r.revision,
            Self::StateSet(r) => r.revision,
            Self::Changed { revision, .. } => *revision,
            Self::Deleted(r) => r.revision,
        }
    }
}

impl Attempt {
    /// Whether what it asked for may have been done. What was refused must not have been, in no part.
    pub(crate) fn may_have_been_done(&self) -> bool {
        self.answer.as_ref().is_none_or(|answer| answer.is_ok())
    }

    /// Whether it may have given this object the content of that call.
    pub(crate) fn writes(&self, object: &Key, label: Option<u64>) -> bool {
        // What a rollback may write is what was declared once: the caller looks at that.
        let is_rollback = matches!(self.call.request, Request::Rollback(_));
        self.declares(object) && (is_rollback || label == Some(self.call.label))
    }

    /// What it declares, by its own words.
    pub(crate) fn declared(&self) -> Vec<Key> {
        match &self.call.request {
            Request::Register(r) => vec![backend_of(r.backend.as_ref())],
            Request::Apply(r) => declared(r).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it may have given this object any content.
    pub(crate) fn declares(&self, object: &Key) -> bool {
        match &self.call.request {
            Request::Register(r) => backend_of(r.backend.as_ref()) == *object,
            Request::Apply(r) => declared(r).any(|key| key == *object),
            Request::Rollback(_) => true,
            Request::Deregister(_) | Request::SetState(_) | Request::Delete(_) => false,
        }
    }

    /// Whether it may have made an implicit service of this name, or made a declared one implicit.
    pub(crate) fn makes_implicit(&self, service: &str) -> bool {
        let within = |key: &Key| key.0 == ObjectKind::Backend && key.1.split('/').next() == Some(service);
        match &self.call.request {
            Request::Register(r) => within(&backend_of(r.backend.as_ref())),
            Request::Apply(r) => r.prune || declared(r).any(|key| within(&key)),
            Request::Rollback(_) => true,
            Request::Deregister(_) | Request::SetState(_) | Request::Delete(_) => false,
        }
    }

    /// Whether it may have removed this object.
    pub(crate) fn removes(&self, object: &Key, known: Option<&Known>) -> bool {
        match &self.call.request {
            Request::Deregister(r) => match r.target.as_ref() {
                Some(Target::Backend(name)) => *object == (ObjectKind::Backend, name.clone()),
                Some(Target::LeaseId(id)) => known.is_none_or(|k| k.lease.is_some_and(|l| l.id == *id)),
                None => false,
            },
            Request::Delete(r) => r.object.as_ref().map(key).is_some_and(|deleted| {
                let within =
                    object.0 == ObjectKind::Backend && object.1.split('/').next() == Some(&deleted.1);
                deleted == *object || (r.cascade && deleted.0 == ObjectKind::Service && within)
            }),
            Request::Apply(r) => {
                let own = |k: &Known| k.owner.name == r.file_set && k.owner.kind() == v1::OwnerKind::FileSet;
                r.prune && known.is_none_or(own) && declared(r).all(|key| key != *object)
            }
            // Leased backends are left alone.
            Request::Rollback(_) => known.is_none_or(|k| k.lease.is_none()),
            Request::Register(_) | Request::SetState(_) => false,
        }
    }

    /// Whether it may have given this backend that operator state.
    pub(crate) fn sets(&self, object: &Key, state: v1::OperatorState) -> bool {
        match &self.call.request {
            Request::SetState(r) => {
                let named = *object == (ObjectKind::Backend, r.backend.clone());
                named && r.state() == state && self.may_have_been_done()
            }
            Request::Deregister(r) if r.drain.is_some() => {
                let named = match r.target.as_ref() {
                    Some(Target::Backend(name)) => object.1 == *name,
                    _ => true,
                };
                // Disabled for those clients that would stay for ever.
                named && state != v1::OperatorState::Enabled
            }
            _ => false,
        }
    }
}

/// The key of a backend that is registered.
pub(crate) fn backend_of(wire: Option<&v1::Backend>) -> Key {
    let name = wire.map(|b| format!("{}/{}", b.service, b.id));
    (ObjectKind::Backend, name.unwrap_or_default())
}

/// What an apply declares.
fn declared(apply: &v1::ApplyRequest) -> impl Iterator<Item = Key> {
    let wrap = |resource| v1::Resource { resource: Some(resource) };
    apply.documents.iter().flat_map(move |d| {
        let services = d.services.iter().cloned().map(v1::resource::Resource::Service);
        let backends = d.backends.iter().cloned().map(v1::resource::Resource::Backend);
        let routes = d.routes.iter().cloned().map(v1::resource::Resource::Route);
        services.chain(backends).chain(routes).filter_map(move |r| resource(&wrap(r)).map(|(key, _)| key))
    })
}
