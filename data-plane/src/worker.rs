//! The threads that serve requests: each with a runtime, listener sockets and connections to backends of its own.

mod accept;
mod connections;
mod coroutine;
mod crowd;
mod local;
mod run;
mod spares;
mod terms;
mod waiters;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Duration, Instant},
};
use weir_proto::ProxyId;

pub(crate) use self::{
    accept::{Guards, Listener},
    coroutine::Coroutine,
    crowd::Crowd,
    local::{InForce, Local, Shared},
    spares::Spare,
    terms::Terms,
    waiters::Waiter,
};
use crate::{
    access_log::AccessLog,
    admission::Shed,
    counters::{WorkerCounters, WorkerSums},
    descriptors::{self, Room},
    headers::Pseudonym,
    table::SharedTable,
};

/// Commands that wait for a busy worker; whoever sends more waits.
const COMMANDS: usize = 64;

/// All workers. Dropping it ends them at once, and cuts what they have in flight.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    commands: mpsc::Sender<Command>,
    counters: Arc<WorkerCounters>,
}

/// What a worker is told. A worker whose thread is gone is told nothing, and counts as one that has obeyed: it serves
/// no requests.
#[derive(Debug)]
enum Command {
    Open { address: SocketAddr, terms: Terms, crowd: Arc<Crowd>, socket: TcpListener },
    Update { address: SocketAddr, terms: Terms },
    Close { address: SocketAddr, done: oneshot::Sender<()> },
    Barrier { done: oneshot::Sender<()> },
    Wake,
    Drain { deadline: Instant, done: oneshot::Sender<u64> },
}

impl Workers {
    /// Starts `n` threads, which serve by the table in force. They accept nothing before `open`.
    pub(crate) fn start(
        n: usize,
        id: &ProxyId,
        table: &Arc<SharedTable>,
        log: Option<&AccessLog>,
        shed: &Arc<Shed>,
    ) -> io::Result<Self> {
        let idle_limit = descriptors::idle_limit(n);
        let room = Arc::new(Room::within(descriptors::open_files()));
        let workers = (0..n).map(|index| {
            let (sender, commands) = mpsc::channel(COMMANDS);
            let counters = Arc::new(WorkerCounters::default());
            let log = log.map(|log| log.buffer(&counters));
            let shared = Shared {
                index,
                table: Arc::clone(table),
                counters: Arc::clone(&counters),
                log,
                pseudonym: Pseudonym::of(id),
                room: Arc::clone(&room),
                idle_limit,
                shed: Arc::clone(shed),
            };
            run::spawn(shared, commands)?;
            Ok(Worker { commands: sender, counters })
        });
        Ok(Self { workers: workers.collect::<io::Result<_>>()? })
    }

    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Accepts on an address that is not open. `sockets` are all bound to it, one for each worker, as `listener::bind`
    /// makes them.
    pub(crate) async fn open(&self, address: SocketAddr, terms: &Terms, sockets: Vec<TcpListener>) {
        let crowd = Arc::default();
        for (worker, socket) in self.workers.iter().zip(sockets) {
            let (terms, crowd) = (terms.clone(), Arc::clone(&crowd));
            worker.tell(Command::Open { address, terms, crowd, socket }).await;
        }
    }

    /// Changes the terms of an open address. Its sockets and connections stay; a connection that stands goes on speaking
    /// what it speaks.
    pub(crate) async fn update(&self, address: SocketAddr, terms: &Terms) {
        for worker in &self.workers {
            worker.tell(Command::Update { address, terms: terms.clone() }).await;
        }
    }

    /// Closes the sockets of an address, after accepting what waits on them. Its connections end with the request that
    /// they have. Returns when the sockets are closed.
    pub(crate) async fn close(&self, address: SocketAddr) {
        self.ask_all(|done| Command::Close { address, done }).await;
    }

    /// Returns when no worker can start a request from a table older than the one in force at the call, nor send one
    /// to an endpoint that was retired before it. Connections that idle at retired endpoints are closed by then.
    pub(crate) async fn barrier(&self) {
        self.ask_all(|done| Command::Barrier { done }).await;
    }

    /// Has every request look at its backend again: after `Endpoint::close`.
    pub(crate) async fn wake(&self) {
        for worker in &self.workers {
            worker.tell(Command::Wake).await;
        }
    }

    /// Closes every address as `close` does, and returns when all connections have ended, or at the deadline: with the
    /// number of requests and tunnels that had not ended by then, and were cut.
    pub(crate) async fn drain(&self, timeout: Duration) -> u64 {
        let deadline = Instant::now() + timeout;
        self.ask_all(|done| Command::Drain { deadline, done }).await.into_iter().sum()
    }

    /// Requests and tunnels that have not ended.
    pub(crate) fn in_flight(&self) -> u64 {
        self.counters().in_flight
    }

    /// What all workers have counted so far.
    pub(crate) fn counters(&self) -> WorkerSums {
        WorkerCounters::sum(self.workers.iter().map(|worker| &*worker.counters))
    }

    /// Tells all, then waits for all.
    async fn ask_all<T>(&self, command: impl Fn(oneshot::Sender<T>) -> Command) -> Vec<T> {
        let mut answers = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            let (sender, answer) = oneshot::channel();
            worker.tell(command(sender)).await;
            answers.push(answer);
        }
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers {
            all.extend(answer.await);
        }
        all
    }
}

impl Worker {
    async fn tell(&self, command: Command) {
        if self.commands.send(command).await.is_err() {
            tracing::error!("a worker thread is gone; restart the proxy to have all its processors again");
        }
    }
}
