//! Looks for changes of the files in use, for as long as the proxy runs.

use std::sync::Arc;

use tokio::{
    sync::watch,
    task,
    time::{self, Duration, MissedTickBehavior},
};
use weir_proto::ObjectKey;

use super::{InUse, current::Renewal, in_use};
use crate::table::{Applied, SharedTable};

/// How often. Asking the system by name, and not to be told: links and renamed folders are on the way of certificates
/// more often than not.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks for as long as it is polled.
pub(crate) async fn reload(applied: watch::Receiver<Applied>, table: Arc<SharedTable>) {
    let mut ticks = time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let all = in_use(&applied.borrow(), table.load().as_deref());
        if all.is_empty() {
            continue;
        }
        // Files may be on a disk that takes its time.
        let looked = task::spawn_blocking(move || all.iter().for_each(|(object, tls)| look(object, tls)));
        if let Err(e) = looked.await {
            tracing::error!("looking for changed certificates failed: {e}");
        }
    }
}

fn look(object: &ObjectKey, tls: &InUse) {
    match tls.renew() {
        Renewal::Unchanged => {}
        Renewal::Renewed { mended: false } => tracing::info!("{object}: its certificates were read again"),
        Renewal::Renewed { mended: true } => {
            tracing::info!("{object}: its certificates are in order again, and were read");
        }
        Renewal::Failed(invalid) => {
            tracing::error!("{object}: what was read before stays in force, because {invalid}");
        }
    }
}
