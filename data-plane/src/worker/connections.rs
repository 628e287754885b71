//! The client connections of one worker: how many there are, and the way to end them all.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    sync::Arc,
};

use slab::Slab;
use tokio::{
    sync::Notify,
    task::{self, AbortHandle},
};

use crate::counters::WorkerCounters;

#[derive(Debug, Default)]
pub(crate) struct Connections {
    tasks: RefCell<Slab<AbortHandle>>,
    ended: Notify,
    cut: Cell<bool>,
}

/// One of them, while it lives.
#[derive(Debug)]
pub(super) struct Open {
    connections: Rc<Connections>,
    counters: Arc<WorkerCounters>,
    key: usize,
}

impl Connections {
    /// Serves one in a task of its own: the future that is made with its place. It is dropped where it stands when all
    /// are cut. (A future around that future would hold it twice, and there is one for each idle client.)
    pub(super) fn spawn<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        counters: &Arc<WorkerCounters>,
        serve: impl FnOnce(Open) -> F,
    ) {
        counters.connections_opened.add(1);
        let mut tasks = self.tasks.borrow_mut();
        let entry = tasks.vacant_entry();
        let open = Open { connections: Rc::clone(self), counters: Arc::clone(counters), key: entry.key() };
        entry.insert(task::spawn_local(serve(open)).abort_handle());
    }

    /// Waits until there is none.
    pub(super) async fn ended(&self) {
        while !self.tasks.borrow().is_empty() {
            self.ended.notified().await;
        }
    }

    /// Ends all of them in the middle of what they do.
    pub(super) fn cut(&self) {
        self.cut.set(true);
        for (_, task) in &*self.tasks.borrow() {
            task.abort();
        }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.get()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Self { connections, counters, key } = self;
        counters.connections_closed.add(1);
        let mut tasks = connections.tasks.borrow_mut();
        tasks.try_remove(*key);
        if tasks.is_empty() {
            connections.ended.notify_one();
        }
    }
}
