//! Builds large lookup tables one after the other, while everything else is in force.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::spawn_blocking, time::Instant};

use super::ServiceEntry;

/// Who builds them, and nobody beside him: what is only needed for building is there once.
#[derive(Debug)]
pub(super) struct Builder {
    turn: Arc<Semaphore>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)) }
    }

    /// Has built what these services lack, unless another form of them comes first.
    pub(super) fn build<'e>(&self, entries: impl Iterator<Item = &'e Arc<ServiceEntry>>) {
        for entry in entries.filter(|entry| !entry.balance.is_finished()) {
            let (turn, entry) = (Arc::clone(&self.turn), Arc::downgrade(entry));
            tokio::spawn(async move {
                // It is never closed.
                let Ok(turn) = turn.acquire_owned().await else { return };
                // If it panics, what stands in goes on.
                let _ = spawn_blocking(move || {
                    let _turn = turn;
                    let Some(entry) = entry.upgrade() else { return };
                    let start = Instant::now();
                    entry.balance.finish(|| Arc::strong_count(&entry) > 1);
                    let name = &entry.service.name;
                    tracing::info!("service {name}: its lookup tables are built, in {:?}", start.elapsed());
                })
                .await;
            });
        }
    }
}
