//! Which backends every proxy finds unhealthy: gathered beside the answers, because proxies report often and many
//! questions come in between.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::time::sleep;

use super::view::Backends;
use crate::fleet::Fleet;

/// The least time between two looks at the reports.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps `unhealthy` as the proxies report, without an end: the first change after a quiet second at once, more of
/// them once a second.
pub(super) async fn follow(fleet: Fleet, unhealthy: Arc<ArcSwap<Backends>>) {
    let mut changes = fleet.changes();
    loop {
        unhealthy.store(Arc::new(fleet.views().dead()));
        sleep(INTERVAL).await;
        if changes.changed().await.is_err() {
            return;
        }
    }
}
