//! A backend that behaves as told, well or badly.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};

use crate::{Head, Port, Wire, until};

mod answer;

/// A backend lets its clients be idle for longer than any test lasts.
const IDLE: Duration = Duration::from_hours(1);

/// What a backend does with a request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// 200 with the backend's name, once the whole request has arrived.
    Name,
    /// 200 with the request's head as the body, byte for byte.
    Facts,
    /// 200 at once; each chunk of the request's body comes back as it arrives, its trailers as trailers.
    Mirror,
    /// This status, with the backend's name.
    Status(u16),
    /// These very bytes; then the connection goes on.
    Raw(String),
    /// These very bytes; then the connection ends cleanly.
    RawThenClose(String),
    /// These very bytes; then the connection is reset.
    RawThenReset(String),
    /// As `Name`, then the connection ends without having said so.
    CloseIdle,
    /// Nothing at all, until the peer ends the connection.
    Hang,
    /// As `Name`, once [`Backend::release`] lets it.
    Hold,
    /// As `Name`, after this time.
    After(Duration),
    /// For requests with this path the first, for all others the second.
    At(&'static str, Box<Behaviour>, Box<Behaviour>),
    /// 200 with this many chunks of one byte, with a pause before each.
    Drip(usize, Duration),
    /// 101, then every byte comes back.
    Upgrade,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// Request line and fields.
    pub head: Head,
    /// Without the framing.
    pub body: Vec<u8>,
    /// What came after a chunked body.
    pub trailers: Vec<(String, String)>,
}

/// A server on a loopback port, which stays its own while it is stopped. It ends when it is dropped.
#[derive(Debug)]
pub struct Backend {
    port: Port,
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    behaviour: Mutex<Behaviour>,
    held: Semaphore,
    requests: AtomicUsize,
    answered: AtomicUsize,
    under_way: AtomicUsize,
    peak: AtomicUsize,
    connections: AtomicUsize,
    given_up: AtomicUsize,
    record: AtomicBool,
    recorded: Mutex<Vec<Request>>,
}

impl Backend {
    /// Starts one that answers with its name.
    pub async fn start(name: &str) -> Self {
        Self::with(name, Behaviour::Name).await
    }

    /// Starts one.
    pub async fn with(name: &str, behaviour: Behaviour) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), name, behaviour).await
    }

    /// Starts one on this address.
    pub async fn at(address: SocketAddr, name: &str, behaviour: Behaviour) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            behaviour: Mutex::new(behaviour),
            held: Semaphore::new(0),
            requests: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            given_up: AtomicUsize::new(0),
            record: AtomicBool::new(false),
            recorded: Mutex::new(Vec::new()),
        });
        let mut backend = Self { port: Port::at(address), shared, task: None };
        backend.restart().await;
        backend
    }

    /// Its name, which is also its answer.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Where it listens, or would.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Changes what it does from the next request on.
    pub fn set(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().expect("not poisoned") = behaviour;
    }

    /// Lets this many held requests go on.
    pub fn release(&self, count: usize) {
        self.shared.held.add_permits(count);
    }

    /// How many requests have arrived: counted when the head is there. What a proxy has taken may be on its way, whatever
    /// others have been answered meanwhile: a test that expects it here waits by [`Backend::has`].
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Relaxed)
    }

    /// Waits until so many requests have arrived; more of them are too many.
    pub async fn has(&self, requests: usize) {
        let name = self.name();
        until(&format!("{requests} requests at {name}"), async || {
            let now = self.requests();
            assert!(now <= requests, "{now} requests at {name}, which should have {requests}");
            (now == requests).then_some(())
        })
        .await;
    }

    /// How many requests have been answered to the end.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Relaxed)
    }

    /// The most requests that it had at one time of which it had not begun to answer any. Whoever is told of a request by
    /// [`Backend::requests`] finds it here.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.shared.peak.load(Relaxed)
    }

    /// How many connections have been accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Relaxed)
    }

    /// How many requests the peer gave up before their answer.
    #[must_use]
    pub fn given_up(&self) -> usize {
        self.shared.given_up.load(Relaxed)
    }

    /// Keeps every request from now on, for [`Backend::recorded`].
    pub fn record(&self) {
        self.shared.record.store(true, Relaxed);
    }

    /// The requests kept so far, in the order in which their bodies were complete.
    #[must_use]
    pub fn recorded(&self) -> Vec<Request> {
        self.shared.recorded.lock().expect("not poisoned").clone()
    }

    /// Closes its port and every connection: from now on it refuses.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Opens its port again.
    pub async fn restart(&mut self) {
        self.stop().await;
        let listener = bind(self.address()).expect("a port of its own");
        self.task = Some(tokio::spawn(accept(listener, self.shared.clone())));
    }
}

impl Behaviour {
    /// One thing for requests with this path, another for all others.
    #[must_use]
    pub fn at(path: &'static str, there: Self, elsewhere: Self) -> Self {
        Self::At(path, Box::new(there), Box::new(elsewhere))
    }

    /// What it is for a request.
    fn of(self, head: &Head) -> Self {
        match self {
            Self::At(path, there, elsewhere) => {
                let is_there = head.start().split(' ').nth(1) == Some(path);
                if is_there { there } else { elsewhere }.of(head)
            }
            other => other,
        }
    }
}

/// A request that is not answered yet.
struct UnderWay<'a>(&'a Shared);

impl<'a> UnderWay<'a> {
    fn begin(shared: &'a Shared) -> Self {
        let now = shared.under_way.fetch_add(1, Relaxed) + 1;
        shared.peak.fetch_max(now, Relaxed);
        Self(shared)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Ends with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        shared.connections.fetch_add(1, Relaxed);
        connections.spawn(answer::connection(Wire::over(stream).patience(IDLE), shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}
