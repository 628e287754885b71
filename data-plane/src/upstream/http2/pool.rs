//! The HTTP/2 connections of one worker, and the places on them: few connections, filled evenly, without a lock.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use h2::client::SendRequest;
use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

use super::{
    connection::{Connection, Gauge},
    watch::Watch,
};
use crate::{
    admission::{InLine, Stalls},
    endpoint::{Endpoint, EndpointId},
    upstream::pool::MAX_AGE,
};

/// Connections of one worker to one endpoint. Further requests wait for a place.
const MAX_CONNECTIONS: usize = 8;

/// Requests on one connection, if the backend allows so many: one connection's windows must do for all of them.
pub(super) const MAX_STREAMS: usize = 100;

#[derive(Default)]
pub(crate) struct Pool {
    slots: RefCell<HashMap<EndpointId, Rc<Slot>, RandomState>>,
}

/// The connections to one endpoint.
pub(super) struct Slot {
    endpoint: Arc<Endpoint>,
    idle_timeout: Cell<Duration>,
    connections: RefCell<Vec<Rc<Connection>>>,
    /// Connections that are being made.
    connecting: Cell<usize>,
    /// Requests that wait.
    waiting: Cell<usize>,
    freed: Notify,
    stalls: Arc<Stalls>,
}

/// A request's place on a connection, until it is dropped.
pub(super) struct Place {
    slot: Rc<Slot>,
    connection: Rc<Connection>,
}

/// A connection that is being made. Dropped, it has failed.
pub(super) struct Connecting<'a>(&'a Slot);

/// A request that waits for a place.
pub(super) struct Waiting<'a> {
    slot: &'a Slot,
    /// Those who hold places for clients that take nothing hear of it, where no other connection may be made.
    _told: Option<InLine<'a>>,
}

impl Pool {
    /// Its connections are kept for `idle_timeout` without a request.
    pub(super) fn slot(&self, endpoint: &Arc<Endpoint>, idle_timeout: Duration) -> Rc<Slot> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.entry(endpoint.id()).or_insert_with(|| Rc::new(Slot::new(endpoint)));
        slot.idle_timeout.set(idle_timeout);
        Rc::clone(slot)
    }

    /// Lets go of connections that have waited for a request too long, have ended, are old, or lead to retired
    /// endpoints. Those with requests end with the last of them.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.slots.borrow_mut().retain(|_, slot| {
            let idle_timeout = slot.idle_timeout.get();
            slot.connections.borrow_mut().retain(|connection| {
                let patience =
                    if slot.endpoint.connections().are_wanted() { Duration::ZERO } else { idle_timeout };
                let idle = connection.idle_since().is_some_and(|since| now >= since + patience);
                let old = now >= connection.born() + MAX_AGE;
                !(idle || old || connection.is_over() || slot.endpoint.is_retired(false))
            });
            slot.is_used()
        });
    }
}

impl Slot {
    fn new(endpoint: &Arc<Endpoint>) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            idle_timeout: Cell::default(),
            connections: RefCell::default(),
            connecting: Cell::new(0),
            waiting: Cell::new(0),
            freed: Notify::new(),
            stalls: Arc::default(),
        }
    }

    /// On the connection that has the fewest requests. With `flows`, on one of which the backend takes all that it is sent.
    pub(super) fn place(self: &Rc<Self>, flows: bool) -> Option<Place> {
        let connections = self.connections.borrow();
        let open = connections.iter().filter(|connection| !connection.is_over());
        let fit = open.filter(|connection| !flows || connection.flows());
        let connection = fit.min_by_key(|connection| connection.in_flight())?;
        if connection.in_flight() >= connection.limit() {
            return None;
        }
        connection.begin();
        Some(Place { slot: Rc::clone(self), connection: Rc::clone(connection) })
    }

    /// Whether to make another connection: not when those that are being made do for all that wait, nor beside others when
    /// the endpoint may have no more than `most`, for a place on those will be free sooner.
    pub(super) fn may_connect(&self, most: u32) -> bool {
        self.has_room(most) && self.waiting.get() >= self.connecting.get() * MAX_STREAMS
    }

    /// Whether there may be another connection.
    pub(super) fn has_room(&self, most: u32) -> bool {
        let open = self.connections.borrow().iter().filter(|connection| !connection.is_over()).count();
        let all = open + self.connecting.get();
        all == 0 || all < MAX_CONNECTIONS && self.endpoint.connections().open() < most
    }

    fn is_used(&self) -> bool {
        self.connecting.get() > 0 || self.waiting.get() > 0 || !self.connections.borrow().is_empty()
    }
}

impl Place {
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.connection.sender()
    }

    pub(super) fn gauge(&self) -> Gauge {
        self.connection.gauge()
    }

    /// Requests that wait for such a place, and those that have one for a client that takes nothing.
    pub(super) fn stalls(&self) -> &Arc<Stalls> {
        &self.slot.stalls
    }

    pub(super) fn watch(&self) -> &Rc<Watch> {
        self.connection.watch()
    }

    /// The connection takes no more requests.
    pub(super) fn retire(self) {
        self.connection.retire();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connection.end();
        self.slot.freed.notify_one();
    }
}

impl<'a> Connecting<'a> {
    pub(super) fn begin(slot: &'a Slot) -> Self {
        slot.connecting.set(slot.connecting.get() + 1);
        Self(slot)
    }

    pub(super) fn done(self, connection: Rc<Connection>) {
        let mut connections = self.0.connections.borrow_mut();
        connections.retain(|connection| !connection.is_over());
        connections.push(connection);
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.connecting.set(self.0.connecting.get() - 1);
        // All may have a place now, or must try for themselves.
        self.0.freed.notify_waiters();
    }
}

impl<'a> Waiting<'a> {
    /// For one of `most` connections.
    pub(super) fn begin(slot: &'a Slot, most: u32) -> Self {
        slot.waiting.set(slot.waiting.get() + 1);
        let is_full = slot.connecting.get() == 0 && !slot.has_room(most);
        Self { slot, _told: is_full.then(|| slot.stalls.line_up()) }
    }

    /// Returns when it is worth to look again.
    pub(super) async fn ended(self) {
        self.slot.freed.notified().await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.slot.waiting.set(self.slot.waiting.get() - 1);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("endpoints", &self.slots.borrow().len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("endpoint", self.slot.endpoint.key()).finish_non_exhaustive()
    }
}
