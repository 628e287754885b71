//! What the store is to remember though it is no change: it goes along with the next transaction, or alone if there is
//! none within a second.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::journal::ProxyWrite;

/// How long something waits for a transaction that takes it along.
const PATIENCE: Duration = Duration::from_secs(1);
/// Proxies of which something waits; what is new of others is lost then.
const MOST_PROXIES: usize = 100_000;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Aside {
    waiting: Mutex<Waiting>,
    begun: Notify,
}

/// What waited, on its way to the store.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The newest of each proxy.
    proxies: BTreeMap<String, ProxyWrite>,
    /// When the first of it came; none while nothing waits, or what waits could not be stored by itself.
    since: Option<Instant>,
}

impl Aside {
    /// Adds what is new of proxies.
    pub(super) fn proxies(&self, writes: Vec<ProxyWrite>) {
        let mut waiting = self.lock();
        for write in writes {
            if waiting.proxies.len() < MOST_PROXIES || waiting.proxies.contains_key(write.id()) {
                waiting.proxies.insert(write.id().to_owned(), write);
                waiting.since.get_or_insert_with(Instant::now);
            }
        }
        drop(waiting);
        self.begun.notify_one();
    }

    /// Ends when something has waited long enough.
    pub(super) async fn due(&self) {
        loop {
            let since = self.lock().since;
            match since {
                Some(since) => return sleep_until(since + PATIENCE).await,
                None => self.begun.notified().await,
            }
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().proxies.is_empty()
    }

    /// All of it.
    pub(super) fn take(&self) -> Waiting {
        std::mem::take(&mut self.lock())
    }

    /// What could not be stored. It waits for another transaction, and is no reason for one.
    pub(super) fn put_back(&self, back: Waiting) {
        let mut waiting = self.lock();
        for (id, write) in back.proxies {
            waiting.proxies.entry(id).or_insert(write);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// What is new of proxies.
    pub(super) fn proxies(&self) -> Vec<ProxyWrite> {
        self.proxies.values().cloned().collect()
    }
}
