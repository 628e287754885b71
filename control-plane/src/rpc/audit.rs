//! `Admin.ListAudit`, and what is refused here already.

use tonic::Status;
use weir_proto::{ObjectKey, v1};

use super::{
    Api,
    history::{next_page, page_size, page_token},
    refused, status,
};
use crate::caller::Caller;

impl Api {
    pub(super) async fn audit(&self, request: v1::ListAuditRequest) -> Result<v1::ListAuditResponse, Status> {
        let before = page_token(&request.page_token).map_err(|e| refused(vec![e]))?;
        let most = page_size(request.page_size).map_err(|e| refused(vec![e]))?;
        let mut records = self.registry.audit(before, most + 1).await.map_err(status)?;
        let next_page_token = next_page(&mut records, most, |record| record.sequence);
        Ok(v1::ListAuditResponse { records, next_page_token })
    }

    /// Answers a call with `status` that wanted to change something, and remembers that.
    pub(super) fn refuse(
        &self,
        caller: &Caller,
        call: &'static str,
        objects: &[ObjectKey],
        status: Status,
    ) -> Status {
        self.registry.refused(caller, call, objects, status.code() as i32, status.message());
        status
    }
}
