//! Showing new states to the proxies: not one by one when many come, and at once when something must stop.

mod debounce;
mod everything;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use weir_proto::Revision;

use crate::{metrics::Metrics, snapshot::Snapshot};
use debounce::Debounce;
pub(crate) use everything::{Pages, Shelf};

/// A state that all proxies are to have, and the step to it from the state published before, encoded once for all.
#[derive(Debug)]
pub(crate) struct Published {
    snapshot: Arc<Snapshot>,
    previous: Revision,
    delta: OnceLock<Option<Bytes>>,
    metrics: Metrics,
}

/// The end that the registry holds.
#[derive(Debug)]
pub(crate) struct Publisher {
    offers: watch::Sender<Offer>,
}

/// The newest durable state, and how many urgent ones there were so far: an urgent one that a later one replaces
/// before it was looked at still counts.
#[derive(Debug, Clone)]
struct Offer {
    snapshot: Arc<Snapshot>,
    urgent: u64,
}

impl Published {
    /// The state.
    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The encoded `DeltaBody` from the revision published before this one, if `from` is that revision. The first who
    /// asks encodes it, all share the bytes.
    pub(crate) fn delta_from(&self, from: Revision) -> Option<Bytes> {
        if from != self.previous {
            return None;
        }
        self.delta
            .get_or_init(|| {
                let body = self.snapshot.delta_since(self.previous)?.body();
                #[expect(clippy::cast_precision_loss, reason = "a metric")]
                self.metrics.delta_bytes.observe(body.len() as f64);
                Some(body)
            })
            .clone()
    }
}

impl Publisher {
    /// Starts publishing; `first` is published already.
    pub(crate) fn start(
        first: Arc<Snapshot>,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> (Self, watch::Receiver<Arc<Published>>) {
        let published = Published {
            previous: first.revision(),
            snapshot: Arc::clone(&first),
            delta: OnceLock::new(),
            metrics,
        };
        let (out, published) = watch::channel(Arc::new(published));
        let (offers, offered) = watch::channel(Offer { snapshot: first, urgent: 0 });
        tokio::spawn(async move {
            stop.run_until_cancelled(run(offered, out)).await;
        });
        (Self { offers }, published)
    }

    /// Has a new state published: at once if it is urgent, or nothing was offered for a while.
    pub(crate) fn offer(&self, snapshot: Arc<Snapshot>, urgent: bool) {
        self.offers.send_modify(|offer| {
            offer.snapshot = snapshot;
            offer.urgent += u64::from(urgent);
        });
    }
}

/// Takes offers and publishes the newest one when it is due. Ends when the registry does.
async fn run(mut offered: watch::Receiver<Offer>, out: watch::Sender<Arc<Published>>) {
    let mut debounce = Debounce::default();
    let mut urgent_seen = 0;
    loop {
        let due = debounce.due();
        tokio::select! {
            changed = offered.changed() => {
                if changed.is_err() {
                    return;
                }
                let urgent = offered.borrow_and_update().urgent;
                debounce.offer(Instant::now(), urgent > urgent_seen);
                urgent_seen = urgent;
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                debounce.done();
                publish(Arc::clone(&offered.borrow().snapshot), &out);
            }
        }
    }
}

fn publish(snapshot: Arc<Snapshot>, out: &watch::Sender<Arc<Published>>) {
    let (previous, metrics) = {
        let last = out.borrow();
        (last.snapshot.revision(), last.metrics.clone())
    };
    if snapshot.revision() == previous {
        return;
    }
    metrics.publishes.inc();
    out.send_replace(Arc::new(Published { snapshot, previous, delta: OnceLock::new(), metrics }));
}
