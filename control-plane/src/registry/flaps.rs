//! Puts off registrations of backends that come, go or change too often, and says so once for each time.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use weir_proto::{BackendKey, ObjectKey, Revision, v1};

use crate::{
    error::Error,
    events::{Events, Happening},
    lease::Damping,
    metrics::Metrics,
};

/// Who flapped lately. Kept in memory only: a restart forgives.
#[derive(Debug)]
pub(super) struct Flaps(Mutex<Damping>);

impl Flaps {
    pub(super) fn new(limit: u32) -> Self {
        Self(Mutex::new(Damping::new(limit)))
    }

    /// Whether the backend was there lately, or is.
    pub(super) fn knows(&self, key: &BackendKey, now: Instant) -> bool {
        self.lock().knows(key, now)
    }

    /// Refuses a registration that would be one flap too many.
    pub(super) fn check(
        &self,
        key: &BackendKey,
        now: Instant,
        revision: Revision,
        events: &Events,
        metrics: &Metrics,
    ) -> Result<(), Error> {
        let Err(held) = self.lock().check(key, now) else { return Ok(()) };
        let key = ObjectKey::from(key);
        let error = Error::HeldBack { key: key.clone(), flaps: held.flaps, retry_after: held.retry_after };
        metrics.held_back.inc();
        if held.is_news {
            weir_proto::seldom!(warn, backend = %key.name, flaps = held.flaps, "held back: it comes and goes too often");
            let (kind, proxy_id) = (v1::EventType::BackendHeldBack, String::new());
            events.emit(Happening {
                kind,
                revision,
                object: Some(key),
                proxy_id,
                message: error.to_string(),
            });
        }
        Err(error)
    }

    /// It came for the first time, durably.
    pub(super) fn came(&self, key: &BackendKey, now: Instant) {
        self.lock().came(key, now);
    }

    /// It came back, or changed, durably.
    pub(super) fn flapped(&self, key: &BackendKey, now: Instant) {
        self.lock().flapped(key, now);
    }

    /// It is gone, durably.
    pub(super) fn left(&self, key: &BackendKey, now: Instant) {
        self.lock().left(key, now);
    }

    /// How long it is still put off, if it is.
    pub(super) fn held(&self, key: &BackendKey, now: Instant) -> Option<Duration> {
        self.lock().held(key, now)
    }

    /// How many are put off.
    pub(super) fn count_held(&self, now: Instant) -> usize {
        self.lock().count_held(now)
    }

    fn lock(&self) -> MutexGuard<'_, Damping> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
