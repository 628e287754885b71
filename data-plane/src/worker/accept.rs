//! Takes connections from one socket, within the listener's limit, until it is told to stop.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::{self, JoinHandle},
    time::{self, Duration, Instant},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use weir_proto::{Limits, ListenerProtocol};

use super::{
    connections::Open,
    crowd::{Crowd, Place},
    local::Local,
    terms::Terms,
};
use crate::{descriptors::Taken, downstream, tls};

/// How long to wait when there is no room for clients, or the system has no descriptors left: a full queue must not be
/// spun on.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// How often to say so.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// A listener as one worker and its connections see it.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    terms: RefCell<Terms>,
    /// Connections at all workers.
    crowd: Arc<Crowd>,
    closing: CancellationToken,
    /// As the token says, without its lock.
    is_closing: Cell<bool>,
}

/// A socket and the task that accepts on it.
#[derive(Debug)]
pub(super) struct Accepting {
    listener: Rc<Listener>,
    task: JoinHandle<()>,
}

/// A connection's places: at its worker, its listener and in the process. Given up when it ends.
#[derive(Debug)]
pub(crate) struct Guards {
    _open: Open,
    _place: Place,
    _room: Taken,
}

impl Listener {
    pub(super) fn new(address: SocketAddr, terms: Terms, crowd: Arc<Crowd>) -> Self {
        let closing = CancellationToken::new();
        Self { address, terms: RefCell::new(terms), crowd, closing, is_closing: Cell::new(false) }
    }

    pub(super) fn update(&self, terms: Terms) {
        self.terms.replace(terms);
    }

    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.terms.borrow().name)
    }

    pub(crate) fn limits(&self) -> Limits {
        self.terms.borrow().limits
    }

    /// Which versions of HTTP a new connection may speak.
    pub(crate) fn protocol(&self) -> ListenerProtocol {
        self.terms.borrow().protocol
    }

    /// What a new connection must speak TLS by; None: it is in the clear.
    pub(crate) fn tls(&self) -> Option<Arc<tls::Server>> {
        self.terms.borrow().tls.clone()
    }

    /// Whether its connections should end with the request that they have.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// As `closing`, without a hold on the listener.
    pub(crate) fn closing_owned(&self) -> WaitForCancellationFutureOwned {
        self.closing.clone().cancelled_owned()
    }

    /// Of all connections to it.
    pub(crate) fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    /// Whether there are nearly as many connections as there may be.
    pub(crate) fn is_dense(&self) -> bool {
        self.crowd.is_dense(self.max_connections())
    }

    fn max_connections(&self) -> u32 {
        self.terms.borrow().limits.max_connections
    }

    fn place(&self) -> Option<Place> {
        self.crowd.place(self.max_connections())
    }

    async fn make_room(&self) -> Option<Place> {
        self.crowd.make_room(self.max_connections()).await
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
        self.listener.is_closing.set(true);
        self.listener.closing.cancel();
        if let Err(e) = self.task.await {
            tracing::error!("accepting on {} failed: {e}", self.listener.address);
        }
    }
}

async fn accept(local: Rc<Local>, listener: Rc<Listener>, socket: TcpListener) {
    let mut warned = None;
    loop {
        if local.room().is_full() {
            if is_due(&mut warned) {
                let (address, most) = (listener.address, local.room().most());
                tracing::warn!(
                    "accepting no more on {address} while there are {most} clients; raise the limit of open files?"
                );
            }
            tokio::select! {
                () = time::sleep(OUT_OF_DESCRIPTORS) => continue,
                () = listener.closing() => break,
            }
        }
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            () = listener.closing() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = match listener.place() {
                    Some(place) => Some(place),
                    None => listener.make_room().await,
                };
                take(&local, &listener, place, stream, peer);
            }
            Err(e) if is_of_one_connection(&e) => {}
            Err(e) => {
                if is_due(&mut warned) {
                    let address = listener.address;
                    tracing::warn!("cannot accept on {address}: {e}; raise the limit of open files?");
                }
                time::sleep(OUT_OF_DESCRIPTORS).await;
            }
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
                take(local, listener, listener.place(), TcpStream::from_std(stream)?, peer);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) if is_of_one_connection(&e) => {}
            Err(e) => return Err(e),
        }
    }
}

fn take(
    local: &Rc<Local>,
    listener: &Rc<Listener>,
    place: Option<Place>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let Some(place) = place else {
        local.counters().connections_refused.add(1);
        return;
    };
    if let Err(e) = stream.set_nodelay(true) {
        // The client has gone already.
        tracing::debug!("{peer}: {e}");
        return;
    }
    let room = local.room().take();
    local.connections().spawn(local.counters(), |open| {
        let place = Guards { _open: open, _place: place, _room: room };
        downstream::serve(Rc::clone(local), Rc::clone(listener), stream, peer, place)
    });
}

/// Whether to warn again; if so, it is noted.
fn is_due(warned: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let due = warned.is_none_or(|last| now - last >= WARNING_INTERVAL);
    if due {
        *warned = Some(now);
    }
    due
}

/// Whether the client was gone before it was accepted, which says nothing about the next one.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        task::LocalSet,
    };

    use super::*;
    use crate::listener;

    /// The first bytes of the answer, if there is one in time.
    async fn asked(client: &mut TcpStream, patience: Duration) -> Option<[u8; 8]> {
        let mut answer = [0; 8];
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        time::timeout(patience, client.read_exact(&mut answer)).await.ok()?.unwrap();
        Some(answer)
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_for_it() {
        let test = async {
            let local = Rc::new(Local::alone());
            let socket = listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1).unwrap().remove(0);
            let address = socket.local_addr().unwrap();
            let listener = Listener::new(address, Terms::plain("test", Limits::default()), Arc::default());
            let accepting = Accepting::start(&local, Rc::new(listener), socket).unwrap();
            let mut first = TcpStream::connect(address).await.unwrap();
            assert!(asked(&mut first, Duration::from_secs(10)).await.is_some());
            let mut second = TcpStream::connect(address).await.unwrap();
            assert_eq!(asked(&mut second, 2 * OUT_OF_DESCRIPTORS).await, None);
            drop(first);
            time::timeout(Duration::from_secs(10), second.read_u8()).await.unwrap().unwrap();
            // Waiting for room does not keep a listener from being closed.
            let _third = TcpStream::connect(address).await.unwrap();
            time::timeout(Duration::from_secs(10), accepting.stop()).await.unwrap();
        };
        LocalSet::new().run_until(test).await;
    }
}
