//! `Admin.RevisionStatus`: what became of a revision on each proxy.

use tonic::Status;
use weir_proto::v1;

use super::{Answers, Api};

impl Api {
    pub(super) async fn outcomes(
        &self,
        _: v1::RevisionStatusRequest,
    ) -> Result<Answers<v1::RevisionStatusResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
