//! A control plane's registry as tests want it: in memory, over pipes, so that the clock can stand still.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::{
    io::DuplexStream,
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming, transport::Channel};
use tonic_types::{ErrorDetails, StatusExt};
use weir_proto::v1::{
    DeregisterRequest, DeregisterResponse, HeartbeatRequest, HeartbeatResponse, RegisterRequest,
    RegisterResponse,
    registry_server::{Registry, RegistryServer},
};

/// A fake registry that can be stopped and started again.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Inner>);

#[derive(Default)]
struct Inner {
    server: Mutex<Option<Server>>,
    lease: AtomicU64,
    withdrawn: AtomicU64,
    registrations: AtomicU64,
    deregistrations: AtomicU64,
    heartbeats: Mutex<Vec<Instant>>,
    put_off: Mutex<Option<Duration>>,
    changed: Notify,
}

struct Server {
    connections: mpsc::UnboundedSender<DuplexStream>,
    stop: CancellationToken,
}

impl Fake {
    /// A running one.
    pub(super) fn start() -> Self {
        let fake = Self::default();
        fake.restart();
        fake
    }

    /// Runs again, with another lease than before.
    pub(super) fn restart(&self) {
        let (connections, incoming) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let incoming = UnboundedReceiverStream::new(incoming).map(Ok::<_, std::io::Error>);
        let serve = tonic::transport::Server::builder()
            .add_service(RegistryServer::new(self.clone()))
            .serve_with_incoming(incoming);
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(serve).await });
        *lock(&self.0.server) = Some(Server { connections, stop });
    }

    /// Ends all connections and takes no new ones.
    pub(super) fn stop(&self) {
        if let Some(server) = lock(&self.0.server).take() {
            server.stop.cancel();
        }
    }

    /// Puts the next registration off for so long.
    pub(super) fn put_off(&self, wait: Duration) {
        *lock(&self.0.put_off) = Some(wait);
    }

    /// Knows the present lease no more.
    pub(super) fn forget(&self) {
        self.0.lease.fetch_add(1, Ordering::SeqCst);
    }

    /// An operator takes the backend out.
    pub(super) fn withdraw(&self) {
        self.0.withdrawn.store(self.0.lease.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
    }

    /// A way to it that connects whenever it is needed.
    pub(super) fn channel(&self) -> Channel {
        let fake = self.clone();
        tonic::transport::Endpoint::from_static("http://fake").connect_with_connector_lazy(tower::service_fn(
            move |_| {
                let fake = fake.clone();
                async move {
                    let (ours, theirs) = tokio::io::duplex(1 << 16);
                    let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                    let server = lock(&fake.0.server);
                    let server = server.as_ref().ok_or_else(refused)?;
                    let stop = server.stop.clone();
                    let (inner, outer) = tokio::io::duplex(1 << 16);
                    server.connections.send(inner).map_err(|_| refused())?;
                    // Dropping a server's future does not end its connections; cutting the pipe does.
                    tokio::spawn(async move {
                        let (mut theirs, mut outer) = (theirs, outer);
                        stop.run_until_cancelled(tokio::io::copy_bidirectional(&mut theirs, &mut outer)).await
                    });
                    Ok::<_, std::io::Error>(TokioIo::new(ours))
                }
            },
        ))
    }

    /// Waits until something is true of it.
    pub(super) async fn wait(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn registrations(&self) -> u64 {
        self.0.registrations.load(Ordering::SeqCst)
    }

    pub(super) fn deregistrations(&self) -> u64 {
        self.0.deregistrations.load(Ordering::SeqCst)
    }

    /// The times between the heartbeats that arrived.
    pub(super) fn heartbeat_gaps(&self) -> Vec<Duration> {
        lock(&self.0.heartbeats).windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

#[tonic::async_trait]
impl Registry for Fake {
    type HeartbeatStream = Pin<Box<dyn Stream<Item = Result<HeartbeatResponse, Status>> + Send>>;

    async fn register(&self, _: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        if let Some(wait) = lock(&self.0.put_off).take() {
            let details = ErrorDetails::with_retry_info(Some(wait));
            return Err(Status::with_error_details(Code::ResourceExhausted, "not now", details));
        }
        let lease_id = self.0.lease.fetch_add(1, Ordering::SeqCst) + 1;
        let revision = self.0.registrations.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.changed.notify_waiters();
        Ok(Response::new(RegisterResponse { lease_id, revision, created: true, ..Default::default() }))
    }

    async fn heartbeat(
        &self,
        request: Request<Streaming<HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let fake = self.clone();
        let answers = request.into_inner().map(move |request| {
            let HeartbeatRequest { lease_ids, sequence } = request?;
            lock(&fake.0.heartbeats).push(Instant::now());
            let known = fake.0.lease.load(Ordering::SeqCst);
            let withdrawn = fake.0.withdrawn.load(Ordering::SeqCst);
            let missing = lease_ids.into_iter().filter(|id| *id != known);
            let (withdrawn_lease_ids, unknown_lease_ids) = missing.partition(|id| *id == withdrawn);
            Ok(HeartbeatResponse { sequence, unknown_lease_ids, withdrawn_lease_ids, next_after: None })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    /// With a drain it takes the whole time.
    async fn deregister(
        &self,
        request: Request<DeregisterRequest>,
    ) -> Result<Response<DeregisterResponse>, Status> {
        self.0.deregistrations.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
        if let Some(drain) = request.into_inner().drain.and_then(weir_proto::duration_read) {
            tokio::time::sleep(drain).await;
        }
        Ok(Response::new(DeregisterResponse { existed: true, ..Default::default() }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
