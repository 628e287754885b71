//! The store's way off the runtime, so that a slow disk holds up nobody but those who wait for it.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Batch, Loaded, Store};
use crate::error::Error;

/// Owns the store and lends it to one blocking task at a time.
///
/// Not a thread of its own: the runtime knows of blocking tasks, so a test's stopped clock stands while one runs.
#[derive(Debug)]
pub(crate) struct Writer {
    /// None once a task was lost with it.
    store: Option<Box<dyn Store>>,
    name: String,
}

impl Writer {
    /// Loads the store.
    pub(crate) async fn start(store: Box<dyn Store>) -> Result<(Self, Loaded), Error> {
        let mut writer = Self { name: store.describe(), store: Some(store) };
        let loaded = writer.lend(|store| store.load()).await?;
        Ok((writer, loaded))
    }

    /// See [`Store::commit`].
    pub(crate) async fn commit(&mut self, batch: Arc<Batch>) -> Result<(), Error> {
        self.lend(move |store| store.commit(&batch)).await
    }

    /// Closes the store and waits until that is done.
    pub(crate) async fn close(self) {
        if spawn_blocking(move || drop(self.store)).await.is_err() {
            tracing::error!(
                store = self.name,
                "the store could not be closed; it will be recovered at the next start"
            );
        }
    }

    /// Has something done with the store; the error is that of `work`, or that the store is lost.
    pub(crate) async fn lend<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut dyn Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let lost = |reason: String| Error::StoreFailed { store: self.name.clone(), reason };
        let mut store = self.store.take().ok_or_else(|| lost("an earlier write did not end".to_owned()))?;
        let done = spawn_blocking(move || (work(&mut *store), store)).await;
        let (result, store) = done.map_err(|e| lost(e.to_string()))?;
        self.store = Some(store);
        result
    }
}
