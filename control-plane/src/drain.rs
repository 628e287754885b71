//! Draining a backend before it is removed: no new requests, wait for those in flight, then remove it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use weir_proto::{BackendKey, Epoch, OperatorState, Revision};

use crate::{
    Error,
    fleet::{Draining, Fleet},
    registry::{Registry, Target},
    snapshot::Snapshot,
};

/// How a drain went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Whether there was such a backend.
    pub existed: bool,
    /// The revision without it.
    pub revision: Revision,
    /// What was left when the time was up.
    pub left: Draining,
}

/// Drains the backend for at most `within`, then removes it. Given up on (dropped), it leaves the backend DRAINING.
///
/// [`Error::Precondition`] if somebody enables the backend in between: then it is not removed.
pub(crate) async fn drain(
    registry: &Registry,
    fleet: &Fleet,
    target: Target,
    within: Duration,
) -> Result<Drained, Error> {
    let deadline = Instant::now() + within;
    let nothing =
        || Drained { existed: false, revision: registry.current().revision(), left: Draining::default() };
    let key = match &target {
        Target::Backend(key) => Some(key.clone()),
        Target::Lease(id) => registry.backend_of(*id),
    };
    let Some(key) = key else { return Ok(nothing()) };
    let (revision, _) = match registry.set_operator_state(key.clone(), OperatorState::Draining, None).await {
        Ok(answer) => answer,
        Err(Error::NotFound { .. }) => return Ok(nothing()),
        Err(error) => return Err(error),
    };
    let epoch = registry.current().position().epoch;
    let drain = Drain { fleet, key: &key, epoch, revision };
    let mut published = registry.published();
    let left = drain.wait(deadline, || registry.current(), &mut published).await?;
    let gone = registry.deregister(target).await?;
    // Somebody else may have been quicker; but a backend that came back under a new lease is still there.
    let existed = gone.existed || registry.current().backend(&key).is_none();
    Ok(Drained { existed, revision: gone.revision, left })
}

/// One backend on its way out since `revision`.
struct Drain<'a> {
    fleet: &'a Fleet,
    key: &'a BackendKey,
    epoch: Epoch,
    revision: Revision,
}

impl Drain<'_> {
    /// Waits until no connected proxy has a request in flight to the backend, or it is gone, or the time is up.
    async fn wait<T>(
        &self,
        deadline: Instant,
        current: impl Fn() -> Arc<Snapshot>,
        published: &mut watch::Receiver<T>,
    ) -> Result<Draining, Error> {
        let name = self.key.to_string();
        let mut fleet = self.fleet.changes();
        loop {
            let left = self.fleet.draining(self.epoch, self.revision, &name);
            if left.is_done() || !self.is_leaving(&current())? {
                return Ok(left);
            }
            tokio::select! {
                changed = fleet.changed() => changed.map_err(|_| Error::Stopping)?,
                changed = published.changed() => changed.map_err(|_| Error::Stopping)?,
                () = sleep_until(deadline) => return Ok(left),
            }
        }
    }

    /// Whether the backend is still there and still to go.
    fn is_leaving(&self, snapshot: &Snapshot) -> Result<bool, Error> {
        let Some(entry) = snapshot.backend(self.key) else { return Ok(false) };
        match entry.object.value.as_backend().map(|backend| backend.operator_state) {
            Some(OperatorState::Enabled) => Err(Error::Precondition {
                key: entry.object.key.clone(),
                reason:
                    "was enabled while it drained, so it is not removed; deregister it again if it is to go"
                        .to_owned(),
            }),
            _ => Ok(true),
        }
    }
}
