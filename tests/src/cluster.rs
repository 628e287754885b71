//! A whole system in one process: a control plane and any number of proxies, on free ports.

use std::{net::SocketAddr, num::NonZeroUsize, sync::Mutex, time::Duration};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_control_plane as control_plane;
use weir_data_plane as data_plane;
use weir_proto::v1;

use crate::{Api, Backend, Port, daemons, get, until};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A control plane and its proxies. They end when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The control plane's clients.
    pub api: Api,
    /// The proxies, in the order of their start.
    pub proxies: Vec<Proxy>,
    control_plane: Option<Running>,
    grpc: Port,
    admin: Port,
    /// Of listeners.
    ports: Mutex<Vec<Port>>,
    dir: TempDir,
}

/// One proxy of a cluster.
#[derive(Debug)]
pub struct Proxy {
    /// Where it takes traffic.
    pub traffic: SocketAddr,
    /// Its admin page.
    pub admin: SocketAddr,
    running: Running,
}

/// What a cluster is made of.
#[derive(Debug)]
pub struct Builder {
    proxies: usize,
    workers: usize,
    lame_duck: Duration,
}

/// A task that is told to stop, and then stopped, when this is dropped.
#[derive(Debug)]
struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

impl Cluster {
    /// One proxy with two workers.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// For something else.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { proxies: 1, workers: 2, lame_duck: Duration::ZERO }
    }

    /// The first proxy's traffic address.
    #[must_use]
    pub fn traffic(&self) -> SocketAddr {
        self.proxies[0].traffic
    }

    /// Where the control plane answers.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc.address()
    }

    /// The control plane's admin page.
    #[must_use]
    pub fn control_plane_admin(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Registers these backends and waits until every proxy serves them.
    pub async fn serve(&self, service: &str, backends: &[&Backend]) {
        for backend in backends {
            self.api.register(service, backend.address()).await.expect("registered");
        }
        self.settled().await;
    }

    /// Applies a document and waits until every proxy serves it.
    pub async fn apply(&self, document: v1::Document) {
        self.api.apply(document).await.expect("applied");
        self.settled().await;
    }

    /// Opens this listener on every proxy, at a free port of the loopback. Its address.
    pub async fn listen(&self, listener: v1::Listener) -> SocketAddr {
        // A listener must name its own.
        let port = Port::free();
        let address = port.address();
        self.ports.lock().expect("not poisoned").push(port);
        let name = format!("port-{}", address.port());
        let listener = v1::Listener { name, address: address.to_string(), ..listener };
        self.apply(v1::Document { listeners: vec![listener], ..v1::Document::default() }).await;
        address
    }

    /// Waits until every proxy has acknowledged the newest revision. That revision.
    pub async fn settled(&self) -> u64 {
        self.api.settled(self.proxies.len()).await
    }

    /// Ends the control plane; its store stays.
    pub async fn stop_control_plane(&mut self) {
        if let Some(running) = self.control_plane.take() {
            running.stop().await;
        }
    }

    /// Starts the control plane again, with the same store and addresses.
    pub async fn start_control_plane(&mut self) {
        self.run_control_plane().await;
    }

    /// Ends the control plane and forgets its store, as after the loss of a disk.
    pub async fn lose_store(&mut self) {
        self.stop_control_plane().await;
        std::fs::remove_dir_all(self.dir.path().join("control-plane")).expect("a directory to remove");
    }

    async fn run_control_plane(&mut self) {
        let config = control_plane::Config {
            listen: self.grpc(),
            admin: self.admin.address(),
            dns: ANY_PORT.into(),
            data_dir: Some(self.dir.path().join("control-plane")),
            ..control_plane::Config::default()
        };
        let listeners =
            until("the control plane's ports", async || control_plane::Listeners::bind(&config).ok()).await;
        let shutdown = CancellationToken::new();
        let serve = control_plane::serve(config, listeners, shutdown.clone());
        let task = tokio::spawn(async { serve.await.map_err(|e| e.to_string()) });
        self.control_plane = Some(Running { shutdown, task });
        self.api = Api::at(self.grpc());
        self.api.answers().await;
    }
}

impl Builder {
    /// How many proxies.
    #[must_use]
    pub fn proxies(mut self, proxies: usize) -> Self {
        self.proxies = proxies;
        self
    }

    /// Workers of each proxy.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How long a proxy goes on accepting once it is told to stop.
    #[must_use]
    pub fn lame_duck(mut self, lame_duck: Duration) -> Self {
        self.lame_duck = lame_duck;
        self
    }

    /// Starts everything, and waits until the proxies follow the control plane.
    pub async fn start(self) -> Cluster {
        let mut cluster = Cluster {
            api: Api::at(ANY_PORT),
            proxies: Vec::new(),
            control_plane: None,
            grpc: Port::free(),
            admin: Port::free(),
            ports: Mutex::default(),
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        cluster.run_control_plane().await;
        for index in 0..self.proxies {
            let config = data_plane::Config {
                control_plane: vec![format!("http://{}", cluster.grpc()).parse().expect("a URL")],
                listen: ANY_PORT.into(),
                admin: ANY_PORT,
                data_dir: Some(cluster.dir.path().join(format!("proxy-{index}"))),
                id: Some(format!("proxy-{index}")),
                workers: NonZeroUsize::new(self.workers),
                lame_duck: self.lame_duck,
                // Other programs may have the processors for long: that is no load.
                max_lateness: Duration::ZERO,
                ..data_plane::Config::default()
            };
            cluster.proxies.push(Proxy::start(config));
        }
        cluster.settled().await;
        cluster
    }
}

impl Proxy {
    /// Starts one by itself.
    #[must_use]
    pub fn start(config: data_plane::Config) -> Self {
        let listeners = data_plane::Listeners::bind(&config).expect("free ports");
        let (traffic, admin) = (listeners.traffic_addr().expect("a traffic socket"), listeners.admin_addr());
        let shutdown = CancellationToken::new();
        let serve = data_plane::serve(config, listeners, shutdown.clone());
        let task = tokio::spawn(async { serve.await.map_err(|e| e.to_string()) });
        Self { traffic, admin, running: Running { shutdown, task } }
    }

    /// What it finds of a backend: its entry in the table in force.
    pub async fn found(&self, service: &str, backend: SocketAddr) -> Value {
        let page = get(self.admin, "/config").await.expect("the admin page").text();
        daemons::entry(&page, service, backend)
    }

    /// Waits until no request to the backend is under way here.
    pub async fn is_done_with(&self, service: &str, backend: SocketAddr) {
        until(&format!("the last request to {backend}"), async || {
            (self.found(service, backend).await["in_flight"] == 0).then_some(())
        })
        .await;
    }

    /// Tells it to stop, as SIGTERM does.
    pub fn terminate(&self) {
        self.running.shutdown.cancel();
    }

    /// Waits until it has ended by itself.
    pub async fn ended(self) {
        self.running.join().await;
    }
}

impl Running {
    async fn stop(self) {
        self.shutdown.cancel();
        self.join().await;
    }

    async fn join(mut self) {
        let ended = tokio::time::timeout(crate::PATIENCE, &mut self.task).await.expect("an end in time");
        ended.expect("no panic").expect("a clean end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.task.abort();
    }
}
