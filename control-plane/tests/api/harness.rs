//! A control plane on free ports, and what speaks to it.

use std::net::SocketAddr;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use weir_control_plane::{Config, Error, Listeners, serve};
use weir_proto::v1::{
    self, admin_client::AdminClient, discovery_client::DiscoveryClient, registry_client::RegistryClient,
};

/// A running control plane; it ends with this value.
pub(crate) struct Server {
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

/// Settings that take free ports and forget everything.
pub(crate) fn config() -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Config { listen: any, admin: any, dns: any.into(), store: Some("memory".to_owned()), ..Config::default() }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: Config) -> Self {
        let listeners = Listeners::bind(&config).expect("free ports");
        let (grpc, admin) = (listeners.grpc_addr(), listeners.admin_addr());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(config, listeners, shutdown.clone()));
        Self { grpc, admin, shutdown, task }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).expect("an address");
        endpoint.connect().await.expect("the control plane listens")
    }

    pub(crate) async fn registry(&self) -> RegistryClient<Channel> {
        RegistryClient::new(self.channel().await)
    }

    pub(crate) async fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel().await)
    }

    pub(crate) async fn discovery(&self) -> DiscoveryClient<Channel> {
        DiscoveryClient::new(self.channel().await)
    }

    /// Registers a static backend, answers the revision.
    pub(crate) async fn register(&self, service: &str, address: &str) -> u64 {
        let answer = self.registry().await.register(registration(service, address)).await;
        answer.expect("registered").into_inner().revision
    }

    pub(crate) async fn status(&self) -> v1::GetStatusResponse {
        self.admin().await.get_status(v1::GetStatusRequest {}).await.expect("a status").into_inner()
    }

    /// Asks it to stop.
    pub(crate) fn stop(&self) {
        self.shutdown.cancel();
    }

    /// What `serve` returned.
    pub(crate) async fn ended(mut self) -> Result<(), Error> {
        (&mut self.task).await.expect("no panic")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.task.abort();
    }
}

pub(crate) fn registration(service: &str, address: &str) -> v1::RegisterRequest {
    let backend =
        v1::Backend { service: service.to_owned(), address: address.to_owned(), ..Default::default() };
    v1::RegisterRequest { backend: Some(backend), lease: None, owner: String::new() }
}

pub(crate) fn leased(service: &str, address: &str, owner: &str) -> v1::RegisterRequest {
    let lease = Some(v1::LeaseTerms::default());
    v1::RegisterRequest { lease, owner: owner.to_owned(), ..registration(service, address) }
}
