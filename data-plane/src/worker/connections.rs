//! The client connections of one worker: how many there are, and the way to end them all.

use std::{cell::Cell, rc::Rc};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Cell<usize>,
    ended: Notify,
    cut: CancellationToken,
}

/// One of them, while it lives.
#[derive(Debug)]
pub(crate) struct Open(Rc<Connections>);

impl Connections {
    pub(super) fn begin(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        Open(Rc::clone(self))
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

    /// Ends when this connection must.
    pub(super) async fn until_cut(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        if self.0.open.get() == 0 {
            self.0.ended.notify_one();
        }
    }
}
