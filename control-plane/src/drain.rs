//! Draining a backend before it is removed: no new requests, wait for those in flight, then remove it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use weir_proto::{BackendKey, Epoch, OperatorState, Revision};

use crate::{
    Error,
    caller::Caller,
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
    caller: &Caller,
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
    let (revision, _) =
        match registry.set_operator_state(caller, key.clone(), OperatorState::Draining, None).await {
            Ok(answer) => answer,
            Err(Error::NotFound { .. }) => return Ok(nothing()),
            Err(error) => return Err(error),
        };
    let epoch = registry.current().position().epoch;
    let drain = Drain { fleet, key: &key, epoch, revision };
    let mut published = registry.published();
    let left = drain.wait(deadline, || registry.current(), &mut published).await?;
    let gone = registry.deregister(caller, target).await?;
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

#[cfg(test)]
mod tests {
    use weir_proto::{Backend, ProxyId, v1};

    use super::*;
    use crate::{
        events::Events,
        fleet::{Identity, Membership},
        metrics::Metrics,
        snapshot::{Draft, Object, Position},
    };

    const HOUR: Duration = Duration::from_hours(1);

    /// A snapshot at revision 1 with one backend in this state.
    fn snapshot(state: v1::OperatorState) -> Arc<Snapshot> {
        let mut draft = Draft::new(&Snapshot::empty(Epoch(7)), 10);
        let wire = v1::Backend {
            service: "web".into(),
            id: "x".into(),
            address: "10.0.0.1:80".into(),
            operator_state: state as i32,
            ..Default::default()
        };
        let backend = Backend::try_from(wire).expect("valid");
        draft.put(Object::backend(backend), v1::ObjectMeta::default());
        Arc::new(draft.finish().0)
    }

    fn fleet() -> Fleet {
        Fleet::new(Position::default(), Events::new(10), Metrics::default())
    }

    fn join(fleet: &Fleet, id: &str) -> Membership {
        let identity = Identity {
            id: ProxyId::try_from(id).expect("an id"),
            boot_id: 1,
            version: String::new(),
            zone: String::new(),
            advertised_address: String::new(),
            peer_address: String::new(),
        };
        fleet.join(identity).expect("room")
    }

    /// The proxy has the revision and counts this many requests to the backend.
    fn counts(proxy: &Membership, in_flight: u64) {
        let at = Position { epoch: Epoch(7), revision: Revision(1), ..Position::default() };
        proxy.acknowledge(at, Vec::new());
        let draining = vec![v1::BackendInFlight { backend: "web/x".into(), in_flight }];
        proxy.report(v1::Report { draining, revision: 1, ..Default::default() }, |_| true);
    }

    async fn wait(fleet: &Fleet, within: Duration, snapshot: Arc<Snapshot>) -> Result<Draining, Error> {
        let key = BackendKey::try_from("web/x").expect("a key");
        let drain = Drain { fleet, key: &key, epoch: Epoch(7), revision: Revision(1) };
        let (_sender, mut published) = watch::channel(());
        drain.wait(Instant::now() + within, || Arc::clone(&snapshot), &mut published).await
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_every_connected_proxy_and_no_longer() {
        let fleet = fleet();
        let (slow, gone) = (join(&fleet, "slow"), join(&fleet, "gone"));
        counts(&slow, 2);
        let after_a_minute = async {
            tokio::time::sleep(Duration::from_mins(1)).await;
            counts(&slow, 0);
            tokio::time::sleep(Duration::from_mins(1)).await;
            drop(gone);
        };
        let start = Instant::now();
        let (left, ()) =
            tokio::join!(wait(&fleet, HOUR, snapshot(v1::OperatorState::Draining)), after_a_minute);
        assert!(left.expect("drained").is_done());
        assert_eq!(start.elapsed(), Duration::from_mins(2));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_deadline_it_says_what_is_left() {
        let fleet = fleet();
        let (busy, _silent) = (join(&fleet, "busy"), join(&fleet, "silent"));
        counts(&busy, 3);
        let start = Instant::now();
        let left = wait(&fleet, HOUR, snapshot(v1::OperatorState::Draining)).await.expect("the time was up");
        assert_eq!(start.elapsed(), HOUR);
        assert_eq!((left.in_flight, left.unacknowledged.len()), (3, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_is_gone_or_wanted_again_is_not_waited_for() {
        let fleet = fleet();
        let _silent = join(&fleet, "silent");
        let start = Instant::now();
        let gone = wait(&fleet, HOUR, Arc::new(Snapshot::empty(Epoch(7)))).await;
        assert!(gone.is_ok());
        let wanted = wait(&fleet, HOUR, snapshot(v1::OperatorState::Enabled)).await;
        assert!(matches!(wanted, Err(Error::Precondition { .. })));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
