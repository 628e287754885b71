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
use weir_proto::v1;

use super::deed;
use crate::{
    error::Error,
    journal::{Journal, ProxyWrite},
    metrics::Metrics,
};

/// How long something waits for a transaction that takes it along.
const PATIENCE: Duration = Duration::from_secs(1);
/// Proxies of which something waits; what is new of others is lost then.
const MOST_PROXIES: usize = 100_000;

/// Refusals that wait; further ones are not remembered, but counted.
const MOST_REFUSALS: usize = 1_000;

/// What waits.
#[derive(Debug)]
pub(super) struct Aside {
    waiting: Mutex<Waiting>,
    begun: Notify,
    metrics: Metrics,
}

/// What waited, on its way to the store.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The newest of each proxy.
    proxies: BTreeMap<String, ProxyWrite>,
    /// Records of what was refused.
    refusals: Vec<v1::AuditRecord>,
    /// When the first of it came; none while nothing waits, or what waits could not be stored by itself.
    since: Option<Instant>,
}

impl Aside {
    /// Nothing; counts what it drops.
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { waiting: Mutex::default(), begun: Notify::new(), metrics }
    }

    /// Adds records of what was refused, or made no revision.
    pub(super) fn audit(&self, records: impl IntoIterator<Item = v1::AuditRecord>) {
        let mut records = records.into_iter().peekable();
        if records.peek().is_none() {
            return;
        }
        let mut waiting = self.lock();
        let room = MOST_REFUSALS.saturating_sub(waiting.refusals.len());
        waiting.refusals.extend(records.by_ref().take(room));
        waiting.since.get_or_insert_with(Instant::now);
        drop(waiting);
        self.drop(records.count());
        self.begun.notify_one();
    }

    /// Adds the refusals of what was done and could not be stored.
    pub(super) fn undone(&self, journal: &Journal, code: i32, error: &Error) {
        let reason = error.to_string();
        let done = journal.audit.iter().filter(|record| record.code == 0);
        self.audit(done.map(|record| deed::undone(record, code, &reason)));
    }

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
        let waiting = self.lock();
        waiting.proxies.is_empty() && waiting.refusals.is_empty()
    }

    /// All of it.
    pub(super) fn take(&self) -> Waiting {
        std::mem::take(&mut self.lock())
    }

    /// What could not be stored. Proxies wait for another transaction, and are no reason for one; refusals are lost.
    pub(super) fn put_back(&self, back: Waiting) {
        self.drop(back.refusals.len());
        let mut waiting = self.lock();
        for (id, write) in back.proxies {
            waiting.proxies.entry(id).or_insert(write);
        }
    }

    fn drop(&self, refusals: usize) {
        self.metrics.audit_dropped.inc_by(refusals as u64);
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

    /// Records of what was refused.
    pub(super) fn refusals(&self) -> Vec<v1::AuditRecord> {
        self.refusals.clone()
    }
}
