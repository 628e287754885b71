//! Takes connections from one socket, within the listener's limit, until it is told to stop.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::{self, JoinHandle},
    time::{self, Duration},
};
use tokio_util::sync::CancellationToken;
use weir_proto::Limits;

use super::local::Local;
use crate::downstream;

/// How long to wait when the process or the system has no descriptors left: a full queue must not be spun on.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// A listener as one worker and its connections see it.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    name: RefCell<Arc<str>>,
    limits: Cell<Limits>,
    /// Connections at all workers.
    open: Arc<AtomicU32>,
    closing: CancellationToken,
}

/// A socket and the task that accepts on it.
#[derive(Debug)]
pub(super) struct Accepting {
    listener: Rc<Listener>,
    task: JoinHandle<()>,
}

/// A place among the listener's connections.
#[derive(Debug)]
struct Place(Arc<AtomicU32>);

impl Listener {
    pub(super) fn new(address: SocketAddr, name: Arc<str>, limits: Limits, open: Arc<AtomicU32>) -> Self {
        let closing = CancellationToken::new();
        Self { address, name: RefCell::new(name), limits: Cell::new(limits), open, closing }
    }

    pub(super) fn update(&self, name: Arc<str>, limits: Limits) {
        self.name.replace(name);
        self.limits.set(limits);
    }

    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name.borrow())
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits.get()
    }

    /// Whether its connections should end with the request that they have.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    fn place(&self) -> Option<Place> {
        let place = Place(Arc::clone(&self.open));
        (self.open.fetch_add(1, Relaxed) < self.limits.get().max_connections).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Accepting {
    pub(super) fn start(
        local: &Rc<Local>,
        listener: Rc<Listener>,
        socket: std::net::TcpListener,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket)?;
        let task = task::spawn_local(accept(Rc::clone(local), Rc::clone(&listener), socket));
        Ok(Self { listener, task })
    }

    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Returns when the socket is closed; what waited on it has been accepted.
    pub(super) async fn stop(self) {
        self.listener.closing.cancel();
        if let Err(e) = self.task.await {
            tracing::error!("accepting on {} failed: {e}", self.listener.address);
        }
    }
}

async fn accept(local: Rc<Local>, listener: Rc<Listener>, socket: TcpListener) {
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            () = listener.closing() => break,
        };
        match accepted {
            Ok((stream, peer)) => take(&local, &listener, stream, peer),
            Err(e) => fault(&listener, &e).await,
        }
    }
    if let Err(e) = empty(&local, &listener, socket) {
        tracing::warn!("connections that waited on {} were lost: {e}", listener.address);
    }
}

/// Takes what still waits: the kernel resets what is left in the queue when the socket closes. Asks the socket itself,
/// because the runtime may not have heard yet of what has just come.
fn empty(local: &Rc<Local>, listener: &Rc<Listener>, socket: TcpListener) -> io::Result<()> {
    let socket = socket.into_std()?;
    loop {
        match socket.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                take(local, listener, TcpStream::from_std(stream)?, peer);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) if is_of_one_connection(&e) => {}
            Err(e) => return Err(e),
        }
    }
}

fn take(local: &Rc<Local>, listener: &Rc<Listener>, stream: TcpStream, peer: SocketAddr) {
    let Some(place) = listener.place() else {
        local.counters().connections_refused.add(1);
        return;
    };
    if let Err(e) = stream.set_nodelay(true) {
        // The client has gone already.
        tracing::debug!("{peer}: {e}");
        return;
    }
    let (local, listener) = (Rc::clone(local), Rc::clone(listener));
    let open = local.connections().begin(local.counters());
    task::spawn_local(async move {
        let _alive = (place, open);
        downstream::serve(&local, &listener, stream, peer).await;
    });
}

async fn fault(listener: &Listener, error: &io::Error) {
    if !is_of_one_connection(error) {
        tracing::warn!("cannot accept on {}: {error}; raise the limit of open files?", listener.address);
        time::sleep(OUT_OF_DESCRIPTORS).await;
    }
}

/// Whether the client was gone before it was accepted, which says nothing about the next one.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
