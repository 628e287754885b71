//! What the proxy tells about its work: see `Report` in `discovery.proto`.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;
use weir_proto::v1;

use crate::{explain, table::Table};

/// Between two reports while nothing drains.
const QUIET: Duration = Duration::from_secs(5);
/// Between two reports while requests run at backends that take no new ones.
const DRAINING: Duration = Duration::from_millis(250);

/// For so long what was found of backends is said again, if there are many of them: to find it takes a look at each, and
/// there is a report after every change.
const FOUND: Duration = Duration::from_secs(1);
/// Fewer are looked at each time.
const MANY: usize = 10_000;

/// Backends that take no new requests, of which one report tells: the control plane keeps no more.
const MOST_DRAINING: usize = 10_000;

/// What was found of backends last, and when.
#[derive(Debug, Default)]
pub(super) struct Found(Option<(Instant, Vec<v1::BackendCondition>)>);

impl Found {
    fn conditions(&mut self, table: Option<&Table>) -> Vec<v1::BackendCondition> {
        let now = Instant::now();
        let known = self.0.take().filter(|(at, _)| now.saturating_duration_since(*at) < FOUND);
        let count = |table: &Table| table.services.values().map(|entry| entry.members.len()).sum::<usize>();
        let known = known.filter(|_| table.is_some_and(|table| count(table) >= MANY));
        self.0.insert(known.unwrap_or_else(|| (now, explain::troubles(table)))).1.clone()
    }
}

/// A report of what is true now.
pub(super) fn report(
    table: Option<&Table>,
    found: &mut Found,
    in_flight: u64,
    state: v1::ProxyState,
    listeners: v1::OpenListeners,
) -> v1::Report {
    // The revision is that of the very table whose endpoints are counted.
    let mut draining: BTreeMap<String, u64> = BTreeMap::new();
    for endpoint in table.iter().flat_map(|table| table.unroutable()) {
        *draining.entry(endpoint.key().to_string()).or_default() += u64::from(endpoint.in_flight());
    }
    // Of too many, those that are idle are left out first; the control plane then takes none that is not named for idle.
    let (busy, idle): (Vec<_>, Vec<_>) = draining.into_iter().partition(|(_, in_flight)| *in_flight > 0);
    let named = busy.into_iter().chain(idle).take(MOST_DRAINING);
    v1::Report {
        state: state.into(),
        in_flight,
        draining: named.map(|(backend, in_flight)| v1::BackendInFlight { backend, in_flight }).collect(),
        revision: table.map_or(0, |table| table.position.revision.0),
        conditions: found.conditions(table),
        listeners: Some(listeners),
    }
}

/// When to send the one after this.
pub(super) fn interval(report: &v1::Report) -> Duration {
    let busy = report.draining.iter().any(|backend| backend.in_flight > 0);
    if busy { DRAINING } else { QUIET }
}
