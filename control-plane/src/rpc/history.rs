//! What was: `Admin.History`, `Diff`, `Rollback` and `ListAudit`.

use tonic::Status;
use weir_proto::v1;

use super::Api;
use crate::caller::Caller;

impl Api {
    pub(super) async fn history(&self, _: v1::HistoryRequest) -> Result<v1::HistoryResponse, Status> {
        Err(Status::unimplemented(""))
    }

    pub(super) async fn diff(&self, _: v1::DiffRequest) -> Result<v1::DiffResponse, Status> {
        Err(Status::unimplemented(""))
    }

    pub(super) async fn rollback(
        &self,
        _: &Caller,
        _: v1::RollbackRequest,
    ) -> Result<v1::RollbackResponse, Status> {
        Err(Status::unimplemented(""))
    }

    pub(super) async fn audit(&self, _: v1::ListAuditRequest) -> Result<v1::ListAuditResponse, Status> {
        Err(Status::unimplemented(""))
    }
}
