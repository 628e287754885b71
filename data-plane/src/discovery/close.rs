//! Ends what is in flight to a backend that drains: see `Close` in `discovery.proto`.

use std::time::Duration;

use weir_proto::{BackendKey, duration_read, v1};

use super::Discovery;
use crate::{moment::Moment, table::Table};

/// More counts as this.
const MOST_TIME: Duration = Duration::from_mins(1);

/// Has every request to the backend end in time. Nothing is ended at a backend that takes requests.
pub(super) async fn obey(discovery: &Discovery, order: &v1::Close) {
    let over = order.over.and_then(duration_read).unwrap_or_default().min(MOST_TIME);
    let Ok(backend) = BackendKey::try_from(order.backend.as_str()) else { return };
    let closing = discovery.table.load().as_deref().map(|table| close(table, &backend, over));
    let Some(in_flight) = closing.filter(|in_flight| *in_flight > 0) else { return };
    tracing::info!("ending {in_flight} requests to {backend}, which drains, within {over:?}");
    discovery.workers.wake().await;
}

/// How many requests have to end.
fn close(table: &Table, backend: &BackendKey, over: Duration) -> u64 {
    let by = Moment::now().plus(over);
    let closing = table.unroutable().filter(|endpoint| endpoint.key() == backend && endpoint.close(by));
    closing.map(|endpoint| u64::from(endpoint.in_flight())).sum()
}
