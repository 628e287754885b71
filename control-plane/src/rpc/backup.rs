//! `Admin.Backup` and `Admin.Compact`.

use futures_util::StreamExt;
use tonic::Status;
use weir_proto::v1;

use super::{Answers, Api, status};
use crate::{backup::backup, caller::Caller};

impl Api {
    pub(super) fn backed_up(&self) -> Answers<v1::BackupChunk> {
        let chunks = backup(&self.registry);
        let open = self.metrics.open_stream("backup");
        Box::pin(chunks.map(move |chunk| {
            let _ = &open;
            chunk.map(|data| v1::BackupChunk { data }).map_err(status)
        }))
    }

    pub(super) async fn compact(
        &self,
        caller: &Caller,
        request: v1::CompactRequest,
    ) -> Result<v1::CompactResponse, Status> {
        let done = self.registry.compact(caller, request.keep_revisions).await.map_err(status)?;
        Ok(v1::CompactResponse {
            bytes_before: done.bytes_before,
            bytes_after: done.bytes_after,
            floor: done.floor.0,
        })
    }
}
