//! `weir.v1.Admin`: what operators read and change.

use tonic::{Request, Response, Status};
use weir_proto::{
    BackendKey, Epoch, Invalid, OperatorState, Revision,
    v1::{self, admin_server::Admin},
};

use super::{Answers, Api, objects::key, refused, status};

#[tonic::async_trait]
impl Admin for Api {
    type WatchEventsStream = Answers<v1::Event>;

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Result<Response<v1::ApplyResponse>, Status> {
        self.apply_documents(request.into_inner()).await.map(Response::new)
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
        let request = request.into_inner();
        let key = key(request.object).map_err(|e| refused(vec![e]))?;
        let if_revision = request.if_revision.map(Revision);
        let revision = self.registry.delete(key, if_revision, request.cascade).await.map_err(status)?;
        Ok(Response::new(v1::DeleteObjectResponse { revision: revision.0 }))
    }

    async fn set_operator_state(
        &self,
        request: Request<v1::SetOperatorStateRequest>,
    ) -> Result<Response<v1::SetOperatorStateResponse>, Status> {
        let request = request.into_inner();
        let (key, state) = operator_state(&request).map_err(|e| refused(vec![e]))?;
        let if_revision = request.if_revision.map(Revision);
        let answer = self.registry.set_operator_state(key, state, if_revision).await;
        let (revision, backend) = answer.map_err(status)?;
        let backend = Some(v1::Backend::from(&backend));
        Ok(Response::new(v1::SetOperatorStateResponse { revision: revision.0, backend }))
    }

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        Ok(Response::new(self.events_since(request.get_ref().past)))
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
        let revision = self.registry.accept_epoch(Epoch(request.get_ref().epoch)).await.map_err(status)?;
        Ok(Response::new(v1::AcceptEpochResponse { revision: revision.0 }))
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
