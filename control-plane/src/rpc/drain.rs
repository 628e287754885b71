//! `Admin.Drain`: a drain, and how far it is.

use tonic::Status;
use weir_proto::v1;

use super::{Answers, Api};
use crate::caller::Caller;

impl Api {
    pub(super) async fn drained(
        &self,
        _: Caller,
        _: v1::DrainRequest,
    ) -> Result<Answers<v1::DrainProgress>, Status> {
        Err(Status::unimplemented(""))
    }
}
