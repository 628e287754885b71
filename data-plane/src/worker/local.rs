//! What all requests of one worker share. Never leaves its thread, so nothing in it is locked.

use std::{
    cell::{Cell, RefCell},
    ops::Deref,
    rc::Rc,
    sync::Arc,
};

use arc_swap::Cache;

use super::{connections::Connections, spares::Spares, waiters::Waiters};
use crate::{
    access_log::LogBuffer,
    admission::Shed,
    alarm::Alarm,
    buffer::Buffers,
    counters::WorkerCounters,
    descriptors::Room,
    downstream::http1::Busy,
    headers::Pseudonym,
    splice::Pipes,
    table::{SharedTable, Table},
    upstream::{self, Pool},
};

#[derive(Debug)]
pub(crate) struct Local {
    index: usize,
    table: RefCell<CachedTable>,
    pool: Rc<Pool>,
    http2: upstream::http2::Pool,
    pseudonym: Pseudonym,
    room: Arc<Room>,
    shed: Arc<Shed>,
    counters: Arc<WorkerCounters>,
    connections: Rc<Connections>,
    waiters: Waiters,
    heads: Cell<usize>,
    ahead: Cell<usize>,
    log: Option<RefCell<LogBuffer>>,
    buffers: Buffers,
    texts: Spares<Vec<u8>>,
    busy: Spares<Busy>,
    alarms: Spares<Alarm>,
    pipes: Pipes,
}

/// What a worker has from outside its thread.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) index: usize,
    pub(crate) table: Arc<SharedTable>,
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) log: Option<LogBuffer>,
    pub(crate) pseudonym: Pseudonym,
    pub(crate) room: Arc<Room>,
    /// How many connections to backends may idle.
    pub(crate) idle_limit: usize,
    pub(crate) shed: Arc<Shed>,
}

/// The table in force as this thread last saw it. Requests share it by a count of the thread's own: all threads that
/// count on one line for every request would wait for each other.
#[derive(Debug)]
struct CachedTable {
    cache: Cache<Arc<SharedTable>, Option<Arc<Table>>>,
    shared: Option<Rc<InForce>>,
}

/// The table that was in force when a request asked for it.
#[derive(Debug)]
pub(crate) struct InForce(Arc<Table>);

impl Deref for InForce {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.0
    }
}

impl Local {
    pub(crate) fn new(shared: Shared) -> Self {
        let Shared { index, table, counters, log, pseudonym, room, idle_limit, shed } = shared;
        let table = RefCell::new(CachedTable { cache: Cache::new(table), shared: None });
        let pool = Rc::new(Pool::new(idle_limit));
        Self {
            index,
            table,
            pool,
            http2: upstream::http2::Pool::default(),
            pseudonym,
            room,
            shed,
            counters,
            connections: Rc::default(),
            waiters: Waiters::default(),
            heads: Cell::default(),
            ahead: Cell::default(),
            log: log.map(RefCell::new),
            buffers: Buffers::default(),
            texts: Spares::default(),
            busy: Spares::default(),
            alarms: Spares::default(),
            pipes: Pipes::default(),
        }
    }

    /// One that serves by no table, and has room for one client at a time.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        Self::new(Shared {
            index: 0,
            table: Arc::default(),
            counters: Arc::default(),
            log: None,
            pseudonym: Pseudonym::of(&weir_proto::ProxyId::try_from("proxy-1").expect("an id")),
            room: Arc::new(Room::within(0)),
            idle_limit: 1,
            shed: Shed::none(),
        })
    }

    /// The worker's number.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The table in force now.
    pub(crate) fn table(&self) -> Option<Rc<InForce>> {
        let CachedTable { cache, shared } = &mut *self.table.borrow_mut();
        let newest = cache.load().as_ref()?;
        match shared {
            Some(known) if Arc::ptr_eq(&known.0, newest) => Some(Rc::clone(known)),
            _ => Some(Rc::clone(shared.insert(Rc::new(InForce(Arc::clone(newest)))))),
        }
    }

    pub(crate) fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// The connections to backends that speak HTTP/2.
    pub(crate) fn http2(&self) -> &upstream::http2::Pool {
        &self.http2
    }

    /// For clients, at all workers.
    pub(super) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Who refuses requests when there is more to do than can be done.
    pub(crate) fn shed(&self) -> &Arc<Shed> {
        &self.shed
    }

    /// Our name in `Via`.
    pub(crate) fn pseudonym(&self) -> &Pseudonym {
        &self.pseudonym
    }

    pub(crate) fn counters(&self) -> &Arc<WorkerCounters> {
        &self.counters
    }

    /// Room for what is read.
    pub(crate) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// Room for what is written.
    pub(crate) fn texts(&self) -> &Spares<Vec<u8>> {
        &self.texts
    }

    /// For bodies that pass through the kernel only.
    pub(crate) fn pipes(&self) -> &Pipes {
        &self.pipes
    }

    /// For tasks that live no longer than a request.
    pub(crate) fn alarms(&self) -> &Spares<Alarm> {
        &self.alarms
    }

    /// What serves clients' connections of HTTP/1 while they are used.
    pub(crate) fn busy(&self) -> &Spares<Busy> {
        &self.busy
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.connections.is_cut()
    }

    /// Who is woken when a backend must be left.
    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// Bytes of heads that are held for requests of HTTP/2.
    pub(crate) fn heads(&self) -> &Cell<usize> {
        &self.heads
    }

    /// Bytes of answers that were taken from backends before clients took them.
    pub(crate) fn ahead(&self) -> &Cell<usize> {
        &self.ahead
    }

    pub(super) fn connections(&self) -> &Rc<Connections> {
        &self.connections
    }

    /// Where lines of the access log go, if there is one.
    pub(crate) fn log(&self) -> Option<&RefCell<LogBuffer>> {
        self.log.as_ref()
    }

    pub(super) fn flush_log(&self) {
        if let Some(log) = &self.log {
            log.borrow_mut().flush();
        }
    }

    /// The worker has ended. What it kept knows it, and so it may be there for as long as the process.
    pub(super) fn end(&self) {
        self.pool.clear();
        if let Some(log) = &self.log {
            log.borrow_mut().end();
        }
    }

    pub(super) fn in_flight(&self) -> u64 {
        WorkerCounters::sum([&*self.counters]).in_flight
    }
}
