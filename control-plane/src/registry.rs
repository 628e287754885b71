//! The single owner of state: the only place that changes the configuration and bumps its revision.
//!
//! One task takes commands in turn. It applies whatever waits to a working copy of the snapshot, has the store make
//! all of it durable in one transaction, and only then shows it to readers, publishes it to the proxies and answers.
//! While the store syncs, further commands queue up and make the next transaction.

mod actor;
mod addresses;
mod apply;
mod aside;
mod backends;
mod command;
mod consequences;
mod deed;
mod default_route;
mod expiry;
mod flaps;
mod history;
mod holds;
mod lanes;
mod operator;
mod rollback;
mod staying;
mod work;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use weir_proto::{Backend, BackendKey, LeaseId, ObjectKey, OperatorState, Revision, v1};

use crate::{
    LeaseConfig,
    address_policy::AddressPolicy,
    caller::Caller,
    error::Error,
    events::{Events, REMEMBERED},
    journal::{ProxyWrite, Retention},
    lease::Leases,
    metrics::Metrics,
    publish::{Published, Publisher},
    snapshot::Snapshot,
    store::{Store, Writer},
};

use aside::Aside;
pub(crate) use backends::taken_back;
pub(crate) use command::{
    Applied, Apply, Change, Declared, DefaultRoute, Delete, Deregistered, NotRenewed, Outcome, OwnAddresses,
    Registered, Registration, Remove, Rollback, SetDefaultRoute, SetState, SetWeight, SettleEpoch, Settled,
    Target,
};
use command::{Asked, Command, Reply};
use expiry::Standing;
pub(crate) use expiry::Witness;
use flaps::Flaps;
use lanes::Lanes;

/// How many removed objects are remembered by default, so that proxies behind them still get a delta.
const TOMBSTONES: usize = 100_000;

/// The `google.rpc.Code` of what has no other.
const UNKNOWN: i32 = 2;

/// A handle on the registry; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    lanes: Lanes,
    current: Arc<ArcSwap<Snapshot>>,
    published: watch::Receiver<Arc<Published>>,
    leases: Arc<Leases>,
    events: Arc<Events>,
    metrics: Metrics,
    store: Arc<str>,
    flaps: Arc<Flaps>,
    standing: Arc<Standing>,
    aside: Arc<Aside>,
    remembered: Arc<[v1::ProxyInfo]>,
}

/// How the registry runs.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How many removed objects are remembered.
    pub(crate) tombstones: usize,
    /// What it counts.
    pub(crate) metrics: Metrics,
    /// How leases expire, and who is held back.
    pub(crate) leases: LeaseConfig,
    /// How much of what was is remembered.
    pub(crate) keep: Retention,
    /// Which addresses backends may have.
    pub(crate) policy: AddressPolicy,
    /// What an error is called outside, for the audit log: a `google.rpc.Code`.
    pub(crate) code: fn(&Error) -> i32,
}

/// The running registry. Dropped, it stops as soon as the commands in hand are done.
#[derive(Debug)]
pub(crate) struct Task {
    main: JoinHandle<Result<(), Error>>,
    stop: DropGuard,
}

impl Options {
    /// The defaults, counting with `metrics`. Errors have no names outside, and loopback is as good as any address.
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self {
            tombstones: TOMBSTONES,
            metrics,
            leases: LeaseConfig::default(),
            keep: Retention::default(),
            policy: AddressPolicy::new(true, []),
            code: |_| UNKNOWN,
        }
    }
}

impl Registry {
    /// Loads the store and begins. Every lease in it starts with a full ttl when this returns.
    pub(crate) async fn start(store: Box<dyn Store>, options: Options) -> Result<(Self, Task), Error> {
        let name: Arc<str> = store.describe().into();
        let (writer, loaded) = Writer::start(store).await?;
        let remembered = loaded.proxies.clone().into();
        let snapshot = Arc::new(loaded.into_snapshot(&name)?);
        let cancel = CancellationToken::new();
        let (lanes, queue) = lanes::lanes();
        let (publisher, newest) =
            Publisher::start(Arc::clone(&snapshot), options.metrics.clone(), cancel.clone());
        let registry = Self {
            lanes,
            current: Arc::new(ArcSwap::new(Arc::clone(&snapshot))),
            published: newest,
            leases: Arc::new(Leases::restore(&snapshot, Instant::now())),
            events: Events::new(REMEMBERED),
            metrics: options.metrics.clone(),
            store: name,
            flaps: Arc::new(Flaps::new(options.leases.flap_limit)),
            standing: Arc::default(),
            aside: Arc::new(Aside::new(options.metrics.clone())),
            remembered,
        };
        let actor = actor::Actor::new(&registry, writer, publisher, &options);
        let main = tokio::spawn(actor.run(queue, cancel.clone()));
        tokio::spawn(expiry::run(registry.clone(), options.leases.rules(), cancel.clone()));
        registry.adopt().await;
        Ok((registry, Task { main, stop: cancel.drop_guard() }))
    }

    /// The newest durable state. Never waits for a writer.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// What proxies are to have: the newest state, a little later when many changes come at once.
    pub(crate) fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.clone()
    }

    /// Makes sure that a backend is registered; see `Registry.Register` in `registry.proto`.
    pub(crate) async fn register(
        &self,
        caller: &Caller,
        registration: Registration,
    ) -> Result<Registered, Error> {
        if registration.lease.is_none() {
            return self.ask(caller, |reply| Command::Register(registration, reply)).await;
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::Register(registration, reply);
        self.lanes.agent(Asked { caller: caller.clone(), command }).await?;
        answer.await.map_err(|_| Error::Stopping)?
    }

    /// Removes a backend at once; see `Registry.Deregister` in `registry.proto`.
    pub(crate) async fn deregister(&self, caller: &Caller, target: Target) -> Result<Deregistered, Error> {
        self.ask(caller, |reply| Command::Deregister(target, reply)).await
    }

    /// Makes the declarations so, all or nothing; see `Admin.Apply` in `admin.proto`.
    pub(crate) async fn apply(&self, caller: &Caller, apply: Apply) -> Result<Applied, Error> {
        self.ask(caller, |reply| Command::Apply(apply, reply)).await
    }

    /// Deletes one object; see `Admin.DeleteObject` in `admin.proto`.
    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        key: ObjectKey,
        if_revision: Option<Revision>,
        cascade: bool,
    ) -> Result<Revision, Error> {
        self.ask(caller, |reply| Command::Delete(Delete { key, if_revision, cascade }, reply)).await
    }

    /// Turns the implicit route on or off; see `Admin.SetDefaultRoute` in `admin.proto`.
    pub(crate) async fn set_default_route(
        &self,
        caller: &Caller,
        on: bool,
        if_revision: Option<Revision>,
    ) -> Result<DefaultRoute, Error> {
        self.ask(caller, |reply| Command::SetDefaultRoute(SetDefaultRoute { on, if_revision }, reply)).await
    }

    /// Enables, drains or disables a backend; see `Admin.SetOperatorState` in `admin.proto`.
    pub(crate) async fn set_operator_state(
        &self,
        caller: &Caller,
        key: BackendKey,
        state: OperatorState,
        if_revision: Option<Revision>,
    ) -> Result<(Revision, Backend), Error> {
        self.ask(caller, |reply| Command::SetState(SetState { key, state, from: None, if_revision }, reply))
            .await
    }

    /// Gives a backend another weight, or its own; see `Admin.SetBackendWeight` in `admin.proto`.
    pub(crate) async fn set_weight(
        &self,
        caller: &Caller,
        key: BackendKey,
        weight: Option<u32>,
        if_revision: Option<Revision>,
    ) -> Result<(Revision, Backend), Error> {
        self.ask(caller, |reply| Command::SetWeight(SetWeight { key, weight, if_revision }, reply)).await
    }

    /// [`Registry::set_operator_state`], if it is in the state `from`.
    pub(crate) async fn change_operator_state(
        &self,
        caller: &Caller,
        key: BackendKey,
        from: OperatorState,
        to: OperatorState,
    ) -> Result<Revision, Error> {
        let set = SetState { key, state: to, from: Some(from), if_revision: None };
        self.ask(caller, |reply| Command::SetState(set, reply)).await.map(|(revision, _)| revision)
    }

    /// Removes a backend that has been drained.
    pub(crate) async fn remove_drained(
        &self,
        caller: &Caller,
        remove: Remove,
    ) -> Result<Deregistered, Error> {
        self.ask(caller, |reply| Command::Remove(remove, reply)).await
    }

    /// Says that what the store has is meant; see `Admin.AcceptEpoch` in `admin.proto`.
    pub(crate) async fn settle_epoch(&self, caller: &Caller, wanted: SettleEpoch) -> Result<Settled, Error> {
        self.ask(caller, |reply| Command::SettleEpoch(wanted, reply)).await
    }

    /// Renews leases; answers those that do not live. Touches memory only, and only these leases.
    pub(crate) fn heartbeat(&self, ids: &[LeaseId]) -> NotRenewed {
        let now = Instant::now();
        let missing = ids.iter().copied().filter(|id| !self.leases.renew(*id, now));
        let (withdrawn, unknown): (Vec<_>, Vec<_>) =
            missing.partition(|id| self.leases.was_withdrawn(*id, now));
        let renewed = ids.len() - withdrawn.len() - unknown.len();
        self.metrics.heartbeats.inc_by(renewed as u64);
        self.metrics.unknown_leases.inc_by(unknown.len() as u64);
        NotRenewed { unknown, withdrawn }
    }

    /// How long a live lease lasts without a heartbeat.
    pub(crate) fn lease_remaining(&self, id: LeaseId) -> Option<Duration> {
        self.leases.remaining(id, Instant::now())
    }

    /// The backend of a lease, live or expired.
    pub(crate) fn backend_of(&self, id: LeaseId) -> Option<BackendKey> {
        self.leases.backend(id)
    }

    /// How many leases live.
    pub(crate) fn live_leases(&self) -> usize {
        self.leases.live()
    }

    /// How many of those are overdue and held.
    pub(crate) fn overdue_leases(&self) -> usize {
        self.leases.overdue()
    }

    /// For how long a lease has been overdue, if it is, and why it does not expire.
    pub(crate) fn lease_held(&self, id: LeaseId) -> Option<(Duration, &'static str)> {
        self.leases.held(id, Instant::now()).map(|(since, hold)| (since, hold.reason()))
    }

    /// Whether so many renewals are missing that no more leases expire than the cap allows once.
    pub(crate) fn is_preserving(&self) -> bool {
        self.standing.preserving.load(Relaxed)
    }

    /// How long registrations of a backend are still put off because it comes and goes too often, if they are.
    pub(crate) fn held_back(&self, key: &BackendKey) -> Option<Duration> {
        self.flaps.held(key, Instant::now())
    }

    /// How many backends are held back so.
    pub(crate) fn held_back_backends(&self) -> usize {
        self.flaps.count_held(Instant::now())
    }

    /// Has `witness` asked from now on whether backends are dead whose leases are overdue. The first one stays.
    pub(crate) fn call_witness(&self, witness: Witness) {
        // There is one fleet in a process; another one would find the same.
        let _ = self.standing.witness.set(witness);
    }

    /// What happens.
    pub(crate) fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// What the store is: `sqlite:/var/lib/weir/weir.db`, `memory`.
    pub(crate) fn store(&self) -> &str {
        &self.store
    }

    /// Remembers that a change was refused before it came here, with that `google.rpc.Code`.
    pub(crate) fn refused(
        &self,
        caller: &Caller,
        call: &'static str,
        objects: &[ObjectKey],
        code: i32,
        reason: &str,
    ) {
        self.aside.audit([deed::refused(caller, call, objects, code, reason)]);
    }

    /// Has the store remember what is new of proxies, with the next transaction or within a second or so. What cannot
    /// be written is kept for a later one, the newest of each proxy; it makes no revision.
    pub(crate) fn remember_proxies(&self, writes: Vec<ProxyWrite>) {
        self.aside.proxies(writes);
    }

    /// The proxies that the store remembered when it was loaded.
    pub(crate) fn remembered_proxies(&self) -> &[v1::ProxyInfo] {
        &self.remembered
    }

    /// Makes the implicit route of a store whose version knew none.
    async fn adopt(&self) {
        if !default_route::is_missing(&self.current()) {
            return;
        }
        match self.ask(&Caller::own(), Command::Adopt).await {
            Ok(Some(what)) => tracing::warn!("{what}; `weir route default on` or `off` says otherwise"),
            Ok(None) => {}
            // It is made together with the next change.
            Err(error) => tracing::warn!(%error, "the implicit route could not be stored"),
        }
    }

    /// Has the registry's task do something, in the operators' lane.
    async fn ask<T>(&self, caller: &Caller, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.lanes.operator(Asked { caller: caller.clone(), command: command(reply) }).await?;
        answer.await.map_err(|_| Error::Stopping)?
    }
}

impl Task {
    /// Ends when the registry does: by itself only if the store failed, with that error.
    pub(crate) async fn ended(&mut self) -> Result<(), Error> {
        match (&mut self.main).await {
            Ok(result) => result,
            Err(panic) => Err(Error::Serve { server: "registry", reason: panic.to_string() }),
        }
    }

    /// Stops it: what was asked before is done and answered, everything later is [`Error::Stopping`]. The store is
    /// closed when this returns.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        let Self { main, stop } = self;
        drop(stop);
        main.await.unwrap_or_else(|panic| Err(Error::Serve { server: "registry", reason: panic.to_string() }))
    }
}
