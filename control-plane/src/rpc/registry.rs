//! `weir.v1.Registry`: register, renew, leave.

use std::time::Duration;

use futures_util::stream;
use tonic::{Request, Response, Status, Streaming};
use weir_proto::{
    Backend, BackendKey, Invalid, LeaseId, LeaseTerms, duration_from_wire, duration_to_wire,
    v1::{self, registry_server::Registry},
};

use super::{Answers, Api, caller::caller, drain::MOST_DRAIN, refused, status, visible};
use crate::{
    Error,
    registry::{NotRenewed, Outcome, Registered, Registration, Target},
};

/// Leases in one heartbeat.
const MOST_LEASES: usize = 10_000;
/// Heartbeats in one ttl.
const HEARTBEATS_PER_TTL: u32 = 3;

#[tonic::async_trait]
impl Registry for Api {
    type HeartbeatStream = Answers<v1::HeartbeatResponse>;

    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        let caller = caller(&request);
        let registration = registration(request.into_inner())
            .map_err(|e| self.refuse(&caller, "Register", &[], refused(vec![e])))?;
        let registered = self.registry.register(&caller, registration).await.map_err(status)?;
        Ok(Response::new(answer(registered)))
    }

    async fn heartbeat(
        &self,
        request: Request<Streaming<v1::HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let open = self.metrics.open_stream_of("heartbeat", self.room.heartbeats).map_err(status)?;
        let state = Some((self.clone(), request.into_inner(), open));
        let answers = stream::unfold(state, |state| async move {
            let (api, mut beats, open) = state?;
            let beat = tokio::select! {
                () = api.stopping.cancelled() => Err(status(Error::Stopping)),
                beat = beats.message() => beat,
            };
            match beat.transpose()?.and_then(|beat| api.renew(beat)) {
                Ok(answer) => Some((Ok(answer), Some((api, beats, open)))),
                Err(end) => Some((Err(end), None)),
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn deregister(
        &self,
        request: Request<v1::DeregisterRequest>,
    ) -> Result<Response<v1::DeregisterResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let target =
            target(request.target).map_err(|e| self.refuse(&caller, "Deregister", &[], refused(vec![e])))?;
        let Some(wire) = request.drain else {
            let gone = self.registry.deregister(&caller, target).await.map_err(status)?;
            return Ok(Response::new(v1::DeregisterResponse {
                existed: gone.existed,
                revision: gone.revision.0,
                ..Default::default()
            }));
        };
        let within = duration_from_wire("drain", Some(wire), Duration::ZERO, Duration::ZERO, MOST_DRAIN)
            .map_err(|e| refused(vec![e]))?;
        // A backend stays DRAINING and registered if the caller gives up, or we do.
        let drained = tokio::select! {
            () = self.stopping.cancelled() => Err(Error::Stopping),
            drained = self.drained_away(&caller, target, within) => drained,
        };
        drained.map(Response::new).map_err(status)
    }
}

impl Api {
    fn renew(&self, beat: v1::HeartbeatRequest) -> Result<v1::HeartbeatResponse, Status> {
        if beat.lease_ids.len() > MOST_LEASES {
            let reason = format!("must name at most {MOST_LEASES} leases, names {}", beat.lease_ids.len());
            return Err(refused(vec![Invalid::new("lease_ids", reason)]));
        }
        let ids: Vec<_> = beat.lease_ids.into_iter().map(LeaseId).collect();
        let NotRenewed { unknown, withdrawn } = self.registry.heartbeat(&ids);
        Ok(v1::HeartbeatResponse {
            sequence: beat.sequence,
            unknown_lease_ids: unknown.into_iter().map(|id| id.0).collect(),
            next_after: None,
            withdrawn_lease_ids: withdrawn.into_iter().map(|id| id.0).collect(),
        })
    }
}

fn answer(registered: Registered) -> v1::RegisterResponse {
    use v1::RegisterOutcome as Wire;
    let Registered { lease, ttl, outcome, backend, revision, warnings } = registered;
    let (outcome, previous_ttl, before) = match outcome {
        Outcome::Created => (Wire::Created, None, None),
        Outcome::Changed { before, ttl } => {
            (Wire::Changed, ttl.map(duration_to_wire), Some(v1::Backend::from(&before)))
        }
        Outcome::Unchanged => (Wire::Unchanged, None, None),
    };
    v1::RegisterResponse {
        lease_id: lease.map_or(0, |id| id.0),
        ttl: lease.map(|_| duration_to_wire(ttl)),
        heartbeat_interval: lease.map(|_| duration_to_wire(ttl / HEARTBEATS_PER_TTL)),
        created: outcome == Wire::Created,
        revision: revision.0,
        outcome: outcome as i32,
        previous_ttl,
        before,
        after: Some(v1::Backend::from(&backend)),
        warnings,
    }
}

fn registration(wire: v1::RegisterRequest) -> Result<Registration, Invalid> {
    let backend = wire.backend.ok_or_else(|| Invalid::new("backend", "is missing"))?;
    let backend = declared(backend).map_err(|e| e.within("backend"))?;
    let lease = wire.lease.map(LeaseTerms::try_from).transpose().map_err(|e| e.within("lease"))?;
    visible("owner", &wire.owner, 253)?;
    Ok(Registration { backend, lease, owner: wire.owner })
}

/// A backend as somebody declares it: without the states, which are not theirs to set.
pub(super) fn declared(wire: v1::Backend) -> Result<Backend, Invalid> {
    if wire.operator_state != 0 {
        return Err(Invalid::new(
            "operator_state",
            "is not set here; use SetOperatorState (weir backend drain)",
        ));
    }
    if wire.operator_weight.is_some() {
        return Err(Invalid::new(
            "operator_weight",
            "is not set here; use SetBackendWeight (weir backend weight)",
        ));
    }
    if wire.lease_state != 0 {
        return Err(Invalid::new("lease_state", "is the control plane's own; leave it out"));
    }
    Backend::try_from(wire)
}

fn target(wire: Option<v1::deregister_request::Target>) -> Result<Target, Invalid> {
    use v1::deregister_request::Target as Wire;
    match wire {
        None => Err(Invalid::new("target", "is missing: name a lease_id or a backend")),
        Some(Wire::LeaseId(0)) => Err(Invalid::new("lease_id", "must not be 0")),
        Some(Wire::LeaseId(id)) => Ok(Target::Lease(LeaseId(id))),
        Some(Wire::Backend(name)) => {
            BackendKey::try_from(name.as_str()).map(Target::Backend).map_err(|e| e.within("backend"))
        }
    }
}
