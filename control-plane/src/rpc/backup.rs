//! `Admin.Backup` and `Admin.Compact`.

use tonic::Status;
use weir_proto::v1;

use super::{Answers, Api};
use crate::caller::Caller;

impl Api {
    pub(super) async fn backup(&self) -> Result<Answers<v1::BackupChunk>, Status> {
        Err(Status::unimplemented(""))
    }

    pub(super) async fn compact(
        &self,
        _: &Caller,
        _: v1::CompactRequest,
    ) -> Result<v1::CompactResponse, Status> {
        Err(Status::unimplemented(""))
    }
}
