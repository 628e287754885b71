//! Takes a backend out without an error: nothing new is sent to it, what is in flight may finish, what takes too long is
//! closed, and then it is removed. One way for operators (`Admin.Drain`) and for agents (`Registry.Deregister`).
//!
//! What is durable of a drain is the backend's operator state. Whoever asks again, after a restart of the control plane
//! too, goes on where the drain was. Several drains of one backend do not disturb each other.

mod schedule;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use weir_proto::{BackendKey, ObjectKey, ObjectKind, OperatorState, Revision, v1};

use self::schedule::Schedule;
use crate::{
    Error,
    caller::Caller,
    events::Happening,
    fleet::{Draining, Fleet},
    metrics::Metrics,
    publish::Published,
    registry::{Deregistered, Registry, Remove, Target, taken_back},
    snapshot::{Snapshot, Value},
};

/// From one look at the fleet to the next, however fast reports come.
const PACE: Duration = Duration::from_millis(50);
/// Without any report: for what only time brings about, and for proxies that come back and must be told again.
const TICK: Duration = Duration::from_secs(1);
/// Proxies that an error names.
const MOST_NAMED: usize = 10;

/// What is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub target: Target,
    /// How long it may take.
    pub within: Duration,
    /// The backend is about to end: it is removed when the time is up, whether the proxies answer or not.
    pub insists: bool,
}

/// How far a drain is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub stage: Stage,
    /// The revision that made the backend what it is; in the end the one without it.
    pub revision: Revision,
    /// What is still to come.
    pub left: Draining,
    /// In the end: whether it was this backend that was removed, and not one of its name that came later.
    pub existed: bool,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// For the proxies to send nothing new.
    Acknowledging,
    /// For requests in flight.
    Finishing,
    /// For the proxies to close what is left.
    Closing,
    /// For nothing: the backend is removed.
    Removed,
}

/// A drain under way. Dropped before its end, it leaves the backend as it is: DRAINING.
#[derive(Debug)]
pub(crate) struct Drain {
    registry: Registry,
    fleet: Fleet,
    metrics: Metrics,
    caller: Caller,
    key: BackendKey,
    order: Order,
    schedule: Schedule,
    reports: watch::Receiver<()>,
    published: watch::Receiver<Arc<Published>>,
    looked_at: Instant,
    /// When the proxies were told to close what is left.
    closed_at: Option<Instant>,
    /// It was this drain that sent the backend's clients away.
    disabled: bool,
    told: Option<Progress>,
    ended: bool,
}

/// The backend, as one look finds it.
enum Found {
    /// On its way out since that revision. It may keep the clients that it has.
    Leaving { since: Revision, keeps_clients: bool },
    /// Not there any more since that revision.
    Gone { since: Revision },
    /// Another one of its name is there.
    Another,
    /// Somebody wants it to stay.
    Enabled,
}

impl Drain {
    /// Begins a drain. None if there is no such backend.
    pub(crate) async fn begin(
        registry: &Registry,
        fleet: &Fleet,
        metrics: &Metrics,
        caller: &Caller,
        order: Order,
    ) -> Result<Option<Self>, Error> {
        let key = match &order.target {
            Target::Backend(key) => Some(key.clone()),
            Target::Lease(id) => registry.backend_of(*id),
        };
        let Some(key) = key else { return Ok(None) };
        let now = Instant::now();
        let drain = Self {
            registry: registry.clone(),
            fleet: fleet.clone(),
            metrics: metrics.clone(),
            caller: caller.clone(),
            schedule: Schedule::new(now, order.within),
            reports: fleet.changes(),
            published: registry.published(),
            looked_at: now,
            closed_at: None,
            disabled: false,
            told: None,
            ended: true,
            key,
            order,
        };
        drain.set_off().await
    }

    /// The next step of it, as soon as there is one. Not to be asked after its end: `Removed`, or an error.
    ///
    /// [`Error::Precondition`] if somebody enabled the backend; [`Error::NotDrained`] if the time was up.
    pub(crate) async fn next(&mut self) -> Result<Progress, Error> {
        let next = self.go_on().await;
        let outcome = match &next {
            Ok(progress) if progress.stage != Stage::Removed => return next,
            Ok(_) => "removed",
            Err(Error::Precondition { .. }) => "enabled",
            Err(error) => {
                self.tell(format!("the drain of {} ended: {error}", self.key));
                if matches!(error, Error::NotDrained { .. }) { "timed_out" } else { "failed" }
            }
        };
        self.end(outcome);
        next
    }

    /// Keeps new requests away. A backend that is disabled stays so: that keeps away more.
    async fn set_off(mut self) -> Result<Option<Self>, Error> {
        match self.find(&self.registry.current()) {
            Found::Another | Found::Gone { .. } => return Ok(None),
            Found::Leaving { .. } => {}
            Found::Enabled => {
                let state = OperatorState::Draining;
                let set = self.registry.set_operator_state(&self.caller, self.key.clone(), state, None);
                match set.await {
                    Ok(_) => {}
                    Err(Error::NotFound { .. }) => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
        }
        self.ended = false;
        self.tell(format!("{} drains, for at most {:?}", self.key, self.order.within));
        Ok(Some(self))
    }

    async fn go_on(&mut self) -> Result<Progress, Error> {
        loop {
            self.looked_at = Instant::now();
            let snapshot = self.registry.current();
            let found = self.find(&snapshot);
            let left = |since| self.fleet.draining(snapshot.position().epoch, since, &self.key.to_string());
            let (since, left) = match found {
                Found::Enabled => return Err(taken_back(ObjectKey::from(&self.key))),
                Found::Another => return Ok(removed(snapshot.revision(), Draining::default(), false)),
                Found::Leaving { since, .. } | Found::Gone { since } => (since, left(since)),
            };
            if left.is_done() {
                match found {
                    Found::Leaving { keeps_clients, .. } => {
                        match self.take_out(since, keeps_clients).await? {
                            Some(progress) => return Ok(progress),
                            None => continue,
                        }
                    }
                    _ => return Ok(removed(since, left, true)),
                }
            }
            if self.schedule.is_over(self.looked_at) {
                return self.give_up(&found, since, left).await;
            }
            let progress = self.progress(since, left);
            if self.told.as_ref() != Some(&progress) {
                self.told = Some(progress.clone());
                return Ok(progress);
            }
            self.wait().await?;
        }
    }

    fn find(&self, snapshot: &Snapshot) -> Found {
        let Some(entry) = snapshot.backend(&self.key) else {
            return Found::Gone { since: snapshot.removed_at(&ObjectKey::from(&self.key)) };
        };
        if let Target::Lease(id) = self.order.target
            && entry.lease_id() != Some(id)
        {
            return Found::Another;
        }
        let state = entry.object.value.as_backend().map(|backend| backend.operator_state);
        let keeps_clients = match state {
            Some(OperatorState::Enabled) | None => return Found::Enabled,
            Some(OperatorState::Draining) => has_sessions(snapshot, &self.key),
            Some(OperatorState::Disabled) => false,
        };
        Found::Leaving { since: entry.modified(), keeps_clients }
    }

    /// Removes the backend, which nothing is in flight to. None if it has to be looked at again: it was changed after
    /// `since`, or its clients, who might come back in this moment, were sent away first.
    async fn take_out(&mut self, since: Revision, keeps_clients: bool) -> Result<Option<Progress>, Error> {
        if keeps_clients {
            let (from, to) = (OperatorState::Draining, OperatorState::Disabled);
            let sent_away = self.registry.change_operator_state(&self.caller, self.key.clone(), from, to);
            return match sent_away.await {
                Ok(_) => {
                    self.disabled = true;
                    Ok(None)
                }
                Err(Error::NotFound { .. } | Error::Precondition { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        }
        match self.remove(Some(since)).await {
            Ok(gone) if gone.existed => Ok(Some(removed(gone.revision, Draining::default(), true))),
            Ok(_) | Err(Error::RevisionMismatch { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The time is up.
    async fn give_up(&mut self, found: &Found, since: Revision, left: Draining) -> Result<Progress, Error> {
        let is_gone = matches!(found, Found::Gone { .. });
        if self.order.insists {
            let gone = self.remove(None).await?;
            return Ok(removed(gone.revision, left, gone.existed || is_gone));
        }
        if self.disabled && !is_gone {
            let (from, to) = (OperatorState::Disabled, OperatorState::Draining);
            // If somebody else has said meanwhile what is to be, that stands.
            let _ = self.registry.change_operator_state(&self.caller, self.key.clone(), from, to).await;
        }
        tracing::warn!(backend = %self.key, %since, ?left, "a drain ran out of time");
        Err(Error::NotDrained { key: ObjectKey::from(&self.key), waited_for: sentence(&left) })
    }

    /// An agent that takes out its own backend may come back with it whenever it wants to.
    async fn remove(&self, unchanged_since: Option<Revision>) -> Result<Deregistered, Error> {
        let Order { target, insists, .. } = self.order.clone();
        let remove = Remove { target, unchanged_since, withdraws: !insists };
        self.registry.remove_drained(&self.caller, remove).await
    }

    fn progress(&mut self, since: Revision, left: Draining) -> Progress {
        let stage = match self.schedule.closing(self.looked_at) {
            Some(over) => {
                self.close(over, &left);
                Stage::Closing
            }
            None if !left.unacknowledged.is_empty() => Stage::Acknowledging,
            None => Stage::Finishing,
        };
        Progress { stage, revision: since, left, existed: true }
    }

    /// Has the proxies close what is left, and says it again from time to time to those that were not there.
    fn close(&mut self, over: Duration, left: &Draining) {
        if self.closed_at.is_none() {
            let n = left.in_flight;
            self.tell(format!(
                "{} has {n} requests in flight, which are closed now: the time is nearly up",
                self.key
            ));
        }
        if self.closed_at.is_none_or(|last| self.looked_at - last >= TICK) {
            self.closed_at = Some(self.looked_at);
            self.fleet.close(&self.key.to_string(), over);
        }
    }

    /// Until it is worth to look again.
    async fn wait(&mut self) -> Result<(), Error> {
        let next = self.schedule.next(self.looked_at).min(self.looked_at + TICK);
        tokio::select! {
            changed = self.reports.changed() => changed.map_err(|_| Error::Stopping)?,
            changed = self.published.changed() => changed.map_err(|_| Error::Stopping)?,
            () = sleep_until(next) => return Ok(()),
        }
        sleep_until(next.min(self.looked_at + PACE)).await;
        Ok(())
    }

    fn end(&mut self, outcome: &'static str) {
        self.ended = true;
        self.metrics.drains.get_or_create_owned(&[("outcome", outcome)]).inc();
    }

    fn tell(&self, message: String) {
        tracing::info!(backend = %self.key, "{message}");
        let (kind, revision) = (v1::EventType::Drain, self.registry.current().revision());
        let object = Some(ObjectKey::from(&self.key));
        self.registry.events().emit(Happening { kind, revision, object, proxy_id: String::new(), message });
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(format!("the drain of {} was given up; the backend stays as it is", self.key));
            self.end("given_up");
        }
    }
}

/// Whether clients of the service stay with a backend that drains.
fn has_sessions(snapshot: &Snapshot, key: &BackendKey) -> bool {
    let service = snapshot.get(&ObjectKey::new(ObjectKind::Service, key.service.as_str()));
    matches!(service.map(|entry| &entry.object.value), Some(Value::Service(s)) if s.session_affinity.is_some())
}

fn removed(revision: Revision, left: Draining, existed: bool) -> Progress {
    Progress { stage: Stage::Removed, revision, left, existed }
}

/// Who did not do what, for people.
fn sentence(left: &Draining) -> String {
    let mut waited_for = Vec::new();
    for (proxies, what) in [
        (&left.unacknowledged, "had not acknowledged the drain"),
        (&left.uncounted, "had not said what is in flight"),
        (&left.busy, "had requests in flight"),
    ] {
        let mut names: Vec<_> = proxies.iter().take(MOST_NAMED).map(ToString::to_string).collect();
        if proxies.len() > MOST_NAMED {
            names.push(format!("and {} more", proxies.len() - MOST_NAMED));
        }
        if !names.is_empty() {
            waited_for.push(format!("{} {what}", names.join(", ")));
        }
    }
    waited_for.join("; ")
}
