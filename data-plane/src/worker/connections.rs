//! The client connections of one worker: how many there are, and the way to end them all.

use std::{cell::Cell, rc::Rc, sync::Arc};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::counters::WorkerCounters;

#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Cell<usize>,
    ended: Notify,
    cut: CancellationToken,
}

/// One of them, while it lives.
#[derive(Debug)]
pub(crate) struct Open {
    connections: Rc<Connections>,
    counters: Arc<WorkerCounters>,
}

impl Connections {
    pub(super) fn begin(self: &Rc<Self>, counters: &Arc<WorkerCounters>) -> Open {
        self.open.set(self.open.get() + 1);
        counters.connections_opened.add(1);
        Open { connections: Rc::clone(self), counters: Arc::clone(counters) }
    }

    /// Waits until there is none.
    pub(super) async fn ended(&self) {
        while self.open.get() > 0 {
            self.ended.notified().await;
        }
    }

    /// Ends all of them in the middle of what they do.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Ends when they must.
    pub(super) async fn until_cut(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Self { connections, counters } = self;
        counters.connections_closed.add(1);
        connections.open.set(connections.open.get() - 1);
        if connections.open.get() == 0 {
            connections.ended.notify_one();
        }
    }
}
