//! The thread that a store lives on, so that a slow disk holds up nobody but those who wait for it.

use tokio::sync::{mpsc, oneshot};

use super::{Batch, Loaded, Store};
use crate::error::Error;

/// Commits batches, one at a time. Dropped, it closes the store.
#[derive(Debug)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<(Batch, oneshot::Sender<Result<(), Error>>)>,
    /// Ends when the store is closed: nothing is ever sent.
    closed: oneshot::Receiver<()>,
    store: String,
}

impl Writer {
    /// Moves the store to its thread and loads it.
    pub(crate) async fn start(store: Box<dyn Store>) -> Result<(Self, Loaded), Error> {
        let name = store.describe();
        let (jobs, mut queue) = mpsc::channel::<(Batch, oneshot::Sender<_>)>(1);
        let (loaded, load) = oneshot::channel();
        let (closing, closed) = oneshot::channel();
        let thread = move || {
            // Declared before the store is moved, so dropped after it.
            let _closing = closing;
            let mut store = store;
            // Whoever started this may have gone; then the queue is closed too.
            let _ = loaded.send(store.load());
            while let Some((batch, done)) = queue.blocking_recv() {
                let _ = done.send(store.commit(&batch));
            }
        };
        std::thread::Builder::new().name("weir-store".to_owned()).spawn(thread).map_err(|e| {
            Error::StoreUnusable { store: name.clone(), reason: format!("no thread for it: {e}") }
        })?;
        let writer = Self { jobs, closed, store: name };
        let loaded = load.await.map_err(|_| writer.gone())??;
        Ok((writer, loaded))
    }

    /// See [`Store::commit`].
    pub(crate) async fn commit(&self, batch: Batch) -> Result<(), Error> {
        let (done, result) = oneshot::channel();
        self.jobs.send((batch, done)).await.map_err(|_| self.gone())?;
        result.await.map_err(|_| self.gone())?
    }

    /// Closes the store and waits until that is done.
    pub(crate) async fn close(self) {
        let Self { jobs, closed, .. } = self;
        drop(jobs);
        let _ = closed.await;
    }

    fn gone(&self) -> Error {
        Error::StoreFailed { store: self.store.clone(), reason: "its thread ended".to_owned() }
    }
}
