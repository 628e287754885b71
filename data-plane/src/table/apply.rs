//! Brings a received state into force, in the order that never leaves a request between two versions:
//! bind, compile, swap, retire, wait for the workers, close what is left over, keep a copy.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use tokio::sync::watch;
use weir_proto::{Invalid, Limits, Listener, ListenerName, ObjectKind};

use super::{
    Applied, Here, SharedTable,
    build::Builder,
    compile::compile,
    forms::{self, Forms, Touched},
};
use crate::{
    discovery::Step,
    endpoint::Marks,
    last_good::{Keeper, LastGood},
    listener,
    listeners::{Plan, plan},
    metrics::ConfigMetrics,
    objects::{Objects, State},
    tls,
    worker::{Terms, Workers},
};

/// New sockets by their address, one for each worker.
type Sockets = HashMap<SocketAddr, Vec<TcpListener>>;

/// The name of the address of `--listen` while it is open.
const FALLBACK_NAME: &str = "--listen";

/// The one who changes the table.
#[derive(Debug)]
pub(crate) struct Applier {
    table: Arc<SharedTable>,
    workers: Arc<Workers>,
    here: Arc<Here>,
    /// What is open while no configured listener stands.
    fallback: Option<SocketAddr>,
    /// The sockets of that address from the start, before anybody is accepted.
    waiting: Option<Vec<TcpListener>>,
    open: BTreeMap<SocketAddr, Terms>,
    /// What the listeners in force that speak TLS speak it by.
    servers: BTreeMap<ListenerName, Arc<tls::Server>>,
    state: Option<State>,
    forms: Forms,
    builder: Builder,
    keeper: Option<Keeper>,
    /// Whether addresses may be opened.
    listening: bool,
    applied: watch::Sender<Applied>,
    metrics: ConfigMetrics,
}

impl Applier {
    /// An applier that has nothing in force yet.
    pub(crate) fn new(
        table: Arc<SharedTable>,
        workers: Arc<Workers>,
        here: Here,
        metrics: ConfigMetrics,
    ) -> Self {
        Self {
            table,
            workers,
            here: Arc::new(here),
            fallback: None,
            waiting: None,
            open: BTreeMap::new(),
            servers: BTreeMap::new(),
            state: None,
            forms: Forms::default(),
            builder: Builder::new(),
            keeper: None,
            listening: true,
            applied: watch::Sender::new(Applied::default()),
            metrics,
        }
    }

    /// Takes the address that is served while no configured listener stands. Clients wait on its sockets until
    /// `admit_waiting`, so that a proxy with a copy on disk turns nobody away while it reads it.
    pub(crate) fn take_fallback(&mut self, address: SocketAddr, sockets: Vec<TcpListener>) {
        self.fallback = Some(address);
        self.open.insert(address, fallback());
        self.waiting = Some(sockets);
    }

    /// Accepts on the sockets of the start, unless the address is not wanted any more.
    pub(crate) async fn admit_waiting(&mut self) {
        let (Some(address), Some(sockets)) = (self.fallback, self.waiting.take()) else { return };
        if let Some(terms) = self.open.get(&address).cloned() {
            self.open(address, terms, sockets).await;
        }
        self.publish();
    }

    /// So many bytes may all lookup tables take from now on.
    pub(crate) fn limit_tables(&mut self, bytes: u64) {
        self.forms.room.limit(bytes);
    }

    /// From now on, what comes into force is kept on disk.
    pub(crate) fn keep_copies(&mut self, keeper: Keeper) {
        self.keeper = Some(keeper);
    }

    /// From now on no address is opened or closed any more: the proxy is about to close them all.
    pub(crate) fn stop_listening(&mut self) {
        self.listening = false;
    }

    /// Ends when the copy on disk is the newest.
    pub(crate) async fn finish_copies(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.finish().await;
        }
    }

    /// What was received last; all of it is in force but for what is refused.
    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Follows what is in force.
    pub(crate) fn watch(&self) -> watch::Receiver<Applied> {
        self.applied.subscribe()
    }

    /// Brings the copy from disk into force, as it was before the restart.
    pub(crate) async fn restore(&mut self, copy: LastGood) {
        let nothing = Objects::default();
        let mut touched = self.forms.update(&nothing, &copy.previous, &nothing.changed(&copy.previous));
        // Previous forms of listeners must stand before newer ones can be refused in their favour.
        let listeners = std::mem::take(&mut touched.listeners);
        let bound = self.settle_listeners(&listeners, &nothing, false).await;
        self.open_settled(bound).await;

        let objects = &copy.state.objects;
        let newest = self.forms.update(&copy.previous, objects, &copy.previous.changed(objects));
        touched.extend(newest);
        self.fit(&mut touched, &copy.previous);
        self.realise(copy.state, &copy.previous, touched, true).await;
    }

    /// Brings a state into force. When this returns, no worker can start a request from an older one, nor send one to a
    /// backend that may not be picked any more.
    pub(crate) async fn apply(&mut self, step: Step) {
        let old = self.state.as_ref().map(|state| state.objects.clone()).unwrap_or_default();
        let mut touched = self.forms.update(&old, &step.state.objects, &step.keys);
        let changed = !touched.listeners.is_empty();
        let pending = self.pending(&step.state.objects);
        for (name, listener) in pending {
            touched.listeners.entry(name).or_insert(listener);
        }
        // What has gone may have left room.
        for kind in [ObjectKind::Service, ObjectKind::Route] {
            self.forms.retry_refused(kind, &step.state.objects, &mut touched);
        }
        self.fit(&mut touched, &old);
        self.realise(step.state, &old, touched, changed).await;
        if let (Some(keeper), Some(copy)) = (&self.keeper, self.copy()) {
            keeper.keep(copy, step.keys);
        }
    }

    /// What is in force, as it is kept on disk.
    pub(crate) fn copy(&self) -> Option<LastGood> {
        Some(LastGood { state: self.state.clone()?, previous: self.forms.previous.clone() })
    }

    /// Tries again what is refused and might work by now: listeners that could not be opened, files that could not be used.
    pub(crate) async fn retry_refused(&mut self) {
        let Some(state) = self.state.clone().filter(|_| self.listening) else { return };
        let objects = state.objects.clone();
        let mut touched = Touched { listeners: self.pending(&objects), ..Touched::default() };
        self.forms.retry_refused(ObjectKind::Service, &objects, &mut touched);
        self.fit(&mut touched, &objects);
        let missing = |address: &SocketAddr| !self.open.contains_key(address);
        let lost = self.forms.listeners.values().any(|l| missing(&l.address))
            || !self.stands_any() && self.fallback.as_ref().is_some_and(missing);
        if lost || !touched.listeners.is_empty() || !touched.services.is_empty() {
            self.realise(state, &objects, touched, false).await;
        }
    }

    fn fit(&mut self, touched: &mut Touched, old: &Objects) {
        self.forms.fit(touched, old, self.table.load().as_deref(), &self.here.zone);
    }

    /// Listeners that are valid and refused: those that could not be opened, or whose files could not be used.
    fn pending(&self, objects: &Objects) -> BTreeMap<ListenerName, Listener> {
        let valid = |key| forms::listener(key, objects.get(key)?);
        self.forms.refused.keys().filter_map(valid).map(|l| (l.name.clone(), l)).collect()
    }

    async fn realise(&mut self, state: State, old: &Objects, touched: Touched, make_way: bool) {
        let bound = self.settle_listeners(&touched.listeners, old, make_way).await;
        let compiled =
            compile(state.position, &self.forms, &touched, self.table.load().as_deref(), &self.here);
        for endpoint in &compiled.returned {
            endpoint.set_retired(Marks::default());
        }
        self.table.store(Some(Arc::new(compiled.table)));
        for (endpoint, marks) in &compiled.retired {
            endpoint.set_retired(*marks);
        }
        // Requests that wait for room may find it at backends that are new.
        for endpoint in &compiled.returned {
            endpoint.live().changed();
        }
        self.open_settled(bound).await;
        self.workers.barrier().await;
        self.close_unused().await;
        self.state = Some(state);
        self.publish();
        if let Some(table) = &*self.table.load() {
            self.builder.build(touched.services.iter().filter_map(|name| table.services.get(name)));
        }
    }

    /// Decides which listeners stand, and gives their new sockets.
    async fn settle_listeners(
        &mut self,
        candidates: &BTreeMap<ListenerName, Listener>,
        old: &Objects,
        make_way: bool,
    ) -> Sockets {
        if !self.listening {
            return Sockets::new();
        }
        let (mut servers, mut refused) = self.load_servers(candidates);
        let mut usable = candidates.clone();
        usable.retain(|name, _| !refused.contains_key(name));
        let plan = self.bind(&usable, make_way).await;
        refused.extend(plan.refused);
        for name in candidates.keys() {
            let key = forms::listener_key(name);
            if let Some(invalid) = refused.remove(name) {
                self.forms.refuse(&key, invalid, old);
                continue;
            }
            self.forms.accept(&key);
            match servers.remove(name) {
                Some(server) => self.servers.insert(name.clone(), server),
                None => self.servers.remove(name),
            };
        }
        self.forms.listeners = plan.standing;
        self.servers.retain(|name, _| self.forms.listeners.contains_key(name));
        plan.bound
    }

    /// Has the files of the candidates read, but for those whose settings are as they were; and why some cannot be used.
    fn load_servers(
        &self,
        candidates: &BTreeMap<ListenerName, Listener>,
    ) -> (BTreeMap<ListenerName, Arc<tls::Server>>, BTreeMap<ListenerName, Invalid>) {
        let (mut servers, mut refused) = (BTreeMap::new(), BTreeMap::new());
        for (name, listener) in candidates {
            let Some(settings) = &listener.tls else { continue };
            let known = self.servers.get(name).filter(|server| server.is_of(settings, listener.protocol));
            let loaded = match known {
                Some(server) => Ok(Arc::clone(server)),
                None => tls::Server::load(settings, listener.protocol),
            };
            match loaded {
                Ok(server) => _ = servers.insert(name.clone(), server),
                Err(invalid) => _ = refused.insert(name.clone(), invalid),
            }
        }
        (servers, refused)
    }

    async fn bind(
        &mut self,
        candidates: &BTreeMap<ListenerName, Listener>,
        make_way: bool,
    ) -> Plan<Vec<TcpListener>> {
        let workers = self.workers.len();
        let make = |open: &BTreeMap<SocketAddr, Terms>, in_force: &BTreeMap<_, _>| {
            let open: BTreeSet<_> = open.keys().copied().collect();
            plan(in_force, candidates.clone(), &open, |address| listener::bind(address, workers))
        };
        let first = make(&self.open, &self.forms.listeners);
        if !make_way || first.in_the_way.is_empty() {
            return first;
        }
        // The new address and one that nobody wants any more exclude each other: there must be a moment with neither.
        let in_the_way = first.in_the_way.clone();
        drop(first);
        for address in in_the_way {
            self.close(address).await;
        }
        make(&self.open, &self.forms.listeners)
    }

    async fn open_settled(&mut self, mut bound: Sockets) {
        if !self.listening {
            return;
        }
        for listener in self.forms.listeners.clone().into_values() {
            let terms = Terms {
                name: listener.name.as_str().into(),
                limits: listener.limits,
                protocol: listener.protocol,
                tls: self.servers.get(&listener.name).cloned(),
            };
            if let Some(sockets) = bound.remove(&listener.address) {
                self.open(listener.address, terms, sockets).await;
            } else if self.open.get(&listener.address).is_some_and(|before| *before != terms) {
                self.workers.update(listener.address, &terms).await;
                self.open.insert(listener.address, terms);
            }
        }
        self.open_fallback_again().await;
    }

    /// While no configured listener stands, the address of `--listen` does.
    async fn open_fallback_again(&mut self) {
        let Some(address) = self.fallback.filter(|_| !self.stands_any()) else { return };
        if let Some(before) = self.open.get_mut(&address) {
            if *before != fallback() {
                *before = fallback();
                self.workers.update(address, &fallback()).await;
            }
            return;
        }
        match listener::bind(address, self.workers.len()) {
            Ok(sockets) => self.open(address, fallback(), sockets).await,
            Err(e) => tracing::error!("cannot listen on {address} again: {e}; trying again"),
        }
    }

    async fn close_unused(&mut self) {
        if !self.listening {
            return;
        }
        let fallback = self.fallback.filter(|_| !self.stands_any());
        let used: BTreeSet<_> = self.forms.listeners.values().map(|l| l.address).chain(fallback).collect();
        let unused: Vec<_> = self.open.keys().filter(|address| !used.contains(address)).copied().collect();
        for address in unused {
            self.close(address).await;
        }
    }

    /// Whether a configured listener is open.
    fn stands_any(&self) -> bool {
        self.forms.listeners.values().any(|listener| self.open.contains_key(&listener.address))
    }

    async fn open(&mut self, address: SocketAddr, terms: Terms, sockets: Vec<TcpListener>) {
        self.workers.open(address, &terms, sockets).await;
        let tls = if terms.tls.is_some() { ", TLS" } else { "" };
        tracing::info!("listening on {address} ({}{tls})", terms.name);
        self.open.insert(address, terms);
    }

    async fn close(&mut self, address: SocketAddr) {
        if self.fallback == Some(address) {
            self.waiting = None;
        }
        self.workers.close(address).await;
        self.open.remove(&address);
        tracing::info!("not listening on {address} any more");
    }

    fn publish(&self) {
        let position = self.state.as_ref().map(|state| state.position);
        let refused = self.forms.refused.clone();

        self.metrics.revision.set(position.map_or(0, |p| p.revision.0));
        self.metrics.refused.set(refused.len() as u64);
        self.metrics.open_listeners.set(self.open.len() as u64);
        self.metrics.lookup_table_bytes.set(self.forms.room.used());
        self.metrics.lookup_table_max_bytes.set(self.forms.room.most());
        self.applied.send_modify(|applied| {
            for (key, invalid) in refused.iter().filter(|(key, why)| applied.refused.get(key) != Some(why)) {
                weir_proto::seldom!(warn, "refused {key}, it keeps its previous form: {invalid}");
            }
            *applied = Applied { position, refused, open: self.open.clone() };
        });
    }
}

/// What is offered on the address of `--listen`.
fn fallback() -> Terms {
    Terms::plain(FALLBACK_NAME, Limits::default())
}
