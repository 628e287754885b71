//! What the proxy tells about its work: see `Report` in `discovery.proto`.

use std::{collections::BTreeMap, time::Duration};

use weir_proto::v1;

use crate::{explain, table::Table};

/// Between two reports while nothing drains.
const QUIET: Duration = Duration::from_secs(5);
/// Between two reports while requests run at backends that take no new ones.
const DRAINING: Duration = Duration::from_millis(250);

/// A report of what is true now.
pub(super) fn report(table: Option<&Table>, in_flight: u64, state: v1::ProxyState) -> v1::Report {
    // The revision is that of the very table whose endpoints are counted.
    let mut draining: BTreeMap<String, u64> = BTreeMap::new();
    for endpoint in table.iter().flat_map(|table| table.unroutable()) {
        *draining.entry(endpoint.key().to_string()).or_default() += u64::from(endpoint.in_flight());
    }
    v1::Report {
        state: state.into(),
        in_flight,
        draining: draining
            .into_iter()
            .map(|(backend, in_flight)| v1::BackendInFlight { backend, in_flight })
            .collect(),
        revision: table.map_or(0, |table| table.position.revision.0),
        conditions: explain::troubles(table),
    }
}

/// When to send the one after this.
pub(super) fn interval(report: &v1::Report) -> Duration {
    let busy = report.draining.iter().any(|backend| backend.in_flight > 0);
    if busy { DRAINING } else { QUIET }
}
