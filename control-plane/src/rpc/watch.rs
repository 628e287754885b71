//! `Admin.WatchEvents`: what happens, as it happens.

use futures_util::stream;
use weir_proto::v1;

use super::{Answers, Api, status};
use crate::Error;

impl Api {
    /// The `past` newest events, then what comes, until the caller or the control plane ends.
    pub(super) fn events_since(&self, past: u32) -> Answers<v1::Event> {
        let open = self.metrics.open_stream("watch_events");
        let state = Some((self.registry.events().read(past), self.stopping.clone(), open));
        Box::pin(stream::unfold(state, |state| async move {
            let (mut reader, stopping, open) = state?;
            tokio::select! {
                event = reader.next() => Some((Ok((*event).clone()), Some((reader, stopping, open)))),
                () = stopping.cancelled() => Some((Err(status(Error::Stopping)), None)),
            }
        }))
    }
}
