//! How many probes there may be at a time: for their descriptors' sake, and so that thousands do not begin at once.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::descriptors;

/// All services together.
const MOST: usize = 512;

/// Of the descriptors, the part that probes may take.
const SHARE: usize = 64;

/// One service: what hangs in one must not keep others from being asked.
const OF_A_SERVICE: usize = 128;

/// Places for the probes of all services.
#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// Places for the probes of one service.
#[derive(Debug, Clone)]
pub(super) struct Places {
    service: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    _service: Option<SemaphorePermit<'a>>,
    _all: Option<SemaphorePermit<'a>>,
}

impl Room {
    pub(super) fn of(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    pub(super) fn for_a_service(&self) -> Places {
        Places { service: Arc::new(Semaphore::new(OF_A_SERVICE)), all: Arc::clone(&self.0) }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::of((descriptors::open_files() / SHARE).clamp(8, MOST))
    }
}

impl Places {
    /// Waits for one, in the order in which they ask.
    pub(super) async fn take(&self) -> Place<'_> {
        // Neither is ever closed. The service's comes first: who waits for it must hold none of the others'.
        let service = self.service.acquire().await.ok();
        Place { _service: service, _all: self.all.acquire().await.ok() }
    }
}
