//! `Admin.WatchEvents`: what happens, as it happens.

use futures_util::stream;
use weir_proto::v1;

use super::{Answers, Api, status};
use crate::Error;

impl Api {
    /// What is asked for of the past, then what comes, until the caller or the control plane ends; with `once` until all
    /// is told that had happened when it was asked.
    pub(super) fn watched(&self, request: &v1::WatchEventsRequest) -> Answers<v1::Event> {
        let open = self.metrics.open_stream("watch_events");
        let events = self.registry.events();
        let last = if request.once { events.newest() } else { u64::MAX };
        let mut reader = events.read(request.past);
        if let Some(time) = request.since {
            reader = reader.since(time);
        }
        let state = Some((reader, self.stopping.clone(), open));
        Box::pin(stream::unfold(state, move |state| async move {
            let (mut reader, stopping, open) = state?;
            if reader.is_past(last) {
                return None;
            }
            tokio::select! {
                event = reader.next() => Some((Ok((*event).clone()), Some((reader, stopping, open)))),
                () = stopping.cancelled() => Some((Err(status(Error::Stopping)), None)),
            }
        }))
    }
}
