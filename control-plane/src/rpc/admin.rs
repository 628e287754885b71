//! `weir.v1.Admin`: what operators read and change.

use tonic::{Request, Response, Status};
use weir_proto::{
    BackendKey, Epoch, Invalid, OperatorState, Revision,
    v1::{self, admin_server::Admin},
};

use super::{Answers, Api, caller::caller, objects::key, refused, status};
use crate::registry::{DefaultRoute, SettleEpoch};

#[tonic::async_trait]
impl Admin for Api {
    type WatchEventsStream = Answers<v1::Event>;
    type DrainStream = Answers<v1::DrainProgress>;
    type RevisionStatusStream = Answers<v1::RevisionStatusResponse>;
    type BackupStream = Answers<v1::BackupChunk>;

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Result<Response<v1::ApplyResponse>, Status> {
        let caller = caller(&request);
        self.apply_documents(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_object(
        &self,
        request: Request<v1::GetObjectRequest>,
    ) -> Result<Response<v1::ObjectInfo>, Status> {
        self.one_object(request.into_inner().object).map(Response::new)
    }

    async fn list_objects(
        &self,
        request: Request<v1::ListObjectsRequest>,
    ) -> Result<Response<v1::ListObjectsResponse>, Status> {
        self.page(request.get_ref()).map(Response::new)
    }

    async fn delete_object(
        &self,
        request: Request<v1::DeleteObjectRequest>,
    ) -> Result<Response<v1::DeleteObjectResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let key =
            key(request.object).map_err(|e| self.refuse(&caller, "DeleteObject", &[], refused(vec![e])))?;
        let if_revision = request.if_revision.map(Revision);
        let revision =
            self.registry.delete(&caller, key, if_revision, request.cascade).await.map_err(status)?;
        Ok(Response::new(v1::DeleteObjectResponse { revision: revision.0 }))
    }

    async fn set_default_route(
        &self,
        request: Request<v1::SetDefaultRouteRequest>,
    ) -> Result<Response<v1::SetDefaultRouteResponse>, Status> {
        let caller = caller(&request);
        let v1::SetDefaultRouteRequest { on, if_revision } = request.into_inner();
        let stands = self.registry.set_default_route(&caller, on, if_revision.map(Revision)).await;
        let DefaultRoute { revision, standing, declared } = stands.map_err(status)?;
        let route = standing.and_then(|entry| match entry.object.resource().resource {
            Some(v1::resource::Resource::Route(route)) => Some(route),
            _ => None,
        });
        let declared = declared.map_or_else(String::new, |key| key.name.to_string());
        Ok(Response::new(v1::SetDefaultRouteResponse { revision: revision.0, route, declared }))
    }

    async fn set_operator_state(
        &self,
        request: Request<v1::SetOperatorStateRequest>,
    ) -> Result<Response<v1::SetOperatorStateResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let (key, state) = operator_state(&request)
            .map_err(|e| self.refuse(&caller, "SetOperatorState", &[], refused(vec![e])))?;
        let if_revision = request.if_revision.map(Revision);
        let answer = self.registry.set_operator_state(&caller, key, state, if_revision).await;
        let (revision, backend) = answer.map_err(status)?;
        let backend = Some(v1::Backend::from(&backend));
        Ok(Response::new(v1::SetOperatorStateResponse { revision: revision.0, backend }))
    }

    async fn set_backend_weight(
        &self,
        request: Request<v1::SetBackendWeightRequest>,
    ) -> Result<Response<v1::SetBackendWeightResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let (key, weight) =
            weight(&request).map_err(|e| self.refuse(&caller, "SetBackendWeight", &[], refused(vec![e])))?;
        let if_revision = request.if_revision.map(Revision);
        let answer = self.registry.set_weight(&caller, key, weight, if_revision).await;
        let (revision, backend) = answer.map_err(status)?;
        let backend = Some(v1::Backend::from(&backend));
        Ok(Response::new(v1::SetBackendWeightResponse { revision: revision.0, backend }))
    }

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        Ok(Response::new(self.watched(request.get_ref())))
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Result<Response<Self::DrainStream>, Status> {
        let caller = caller(&request);
        self.drained(caller, request.into_inner()).await.map(Response::new)
    }

    async fn revision_status(
        &self,
        request: Request<v1::RevisionStatusRequest>,
    ) -> Result<Response<Self::RevisionStatusStream>, Status> {
        self.outcomes(request.into_inner()).await.map(Response::new)
    }

    async fn history(
        &self,
        request: Request<v1::HistoryRequest>,
    ) -> Result<Response<v1::HistoryResponse>, Status> {
        self.history(request.into_inner()).await.map(Response::new)
    }

    async fn diff(&self, request: Request<v1::DiffRequest>) -> Result<Response<v1::DiffResponse>, Status> {
        self.diff(request.into_inner()).await.map(Response::new)
    }

    async fn rollback(
        &self,
        request: Request<v1::RollbackRequest>,
    ) -> Result<Response<v1::RollbackResponse>, Status> {
        let caller = caller(&request);
        self.rollback(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        self.audit(request.into_inner()).await.map(Response::new)
    }

    async fn backup(&self, _: Request<v1::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        Ok(Response::new(self.backed_up()))
    }

    async fn compact(
        &self,
        request: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactResponse>, Status> {
        let caller = caller(&request);
        self.compact(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn list_proxies(
        &self,
        _: Request<v1::ListProxiesRequest>,
    ) -> Result<Response<v1::ListProxiesResponse>, Status> {
        Ok(Response::new(self.proxies()))
    }

    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        Ok(Response::new(self.overview()))
    }

    async fn accept_epoch(
        &self,
        request: Request<v1::AcceptEpochRequest>,
    ) -> Result<Response<v1::AcceptEpochResponse>, Status> {
        let caller = caller(&request);
        let wanted = SettleEpoch {
            epoch: Epoch(request.get_ref().epoch),
            anew: self.fleet.has_other_histories(Epoch(request.get_ref().epoch)),
        };
        let settled = self.registry.settle_epoch(&caller, wanted).await.map_err(status)?;
        Ok(Response::new(v1::AcceptEpochResponse {
            revision: settled.revision.0,
            epoch: settled.epoch.0,
            new_epoch: settled.is_new,
        }))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        self.explained(request.into_inner()).await.map(Response::new)
    }

    async fn list_conditions(
        &self,
        request: Request<v1::ListConditionsRequest>,
    ) -> Result<Response<v1::ListConditionsResponse>, Status> {
        self.conditions(&request.get_ref().service).await.map(Response::new)
    }
}

fn operator_state(request: &v1::SetOperatorStateRequest) -> Result<(BackendKey, OperatorState), Invalid> {
    let key = BackendKey::try_from(request.backend.as_str()).map_err(|e| e.within("backend"))?;
    if request.state == v1::OperatorState::Unspecified as i32 {
        return Err(Invalid::new("state", "is missing: must be ENABLED, DRAINING or DISABLED"));
    }
    let state = OperatorState::try_from(request.state).map_err(|e| e.within("state"))?;
    Ok((key, state))
}

fn weight(request: &v1::SetBackendWeightRequest) -> Result<(BackendKey, Option<u32>), Invalid> {
    let key = BackendKey::try_from(request.backend.as_str()).map_err(|e| e.within("backend"))?;
    match request.weight {
        Some(weight) if !(1..=256).contains(&weight) => {
            Err(Invalid::new("weight", format_args!("must be 1 to 256, is {weight}")))
        }
        weight => Ok((key, weight)),
    }
}
