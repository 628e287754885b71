//! The control plane as its callers see it: typed clients, and the calls that most tests make.

use std::{net::SocketAddr, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle, time::interval};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};
use weir_proto::v1::{
    self, admin_client::AdminClient, discovery_client::DiscoveryClient, registry_client::RegistryClient,
};

use crate::until;

/// Clients of one control plane; cheap to clone, and they connect again by themselves.
#[derive(Debug, Clone)]
pub struct Api {
    /// For operators.
    pub admin: AdminClient<Channel>,
    /// For backends.
    pub registry: RegistryClient<Channel>,
    /// For proxies.
    pub discovery: DiscoveryClient<Channel>,
}

impl Api {
    /// Speaks to this address; connects when the first call is made.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address makes a URL");
        let channel = endpoint.tcp_nodelay(true).connect_lazy();
        Self {
            admin: AdminClient::new(channel.clone()),
            registry: RegistryClient::new(channel.clone()),
            discovery: DiscoveryClient::new(channel),
        }
    }

    /// Registers a static backend, whose id is its address.
    pub async fn register(&self, service: &str, address: SocketAddr) -> Result<v1::RegisterResponse, Status> {
        self.register_as(service, address, None).await
    }

    /// Registers a backend with a lease of this ttl.
    pub async fn lease(
        &self,
        service: &str,
        address: SocketAddr,
        ttl: Duration,
    ) -> Result<v1::RegisterResponse, Status> {
        let ttl = weir_proto::duration_to_wire(ttl);
        let terms = v1::LeaseTerms { ttl: Some(ttl), ..v1::LeaseTerms::default() };
        self.register_as(service, address, Some(terms)).await
    }

    async fn register_as(
        &self,
        service: &str,
        address: SocketAddr,
        lease: Option<v1::LeaseTerms>,
    ) -> Result<v1::RegisterResponse, Status> {
        let backend = v1::Backend {
            service: service.to_owned(),
            address: address.to_string(),
            ..v1::Backend::default()
        };
        let request = v1::RegisterRequest { backend: Some(backend), lease, owner: "test".to_owned() };
        Ok(self.registry.clone().register(request).await?.into_inner())
    }

    /// Sets what the operator wants of `service/id`. The revision that says so.
    pub async fn operator_state(&self, backend: &str, state: v1::OperatorState) -> Result<u64, Status> {
        let request = v1::SetOperatorStateRequest {
            backend: backend.to_owned(),
            state: state.into(),
            ..v1::SetOperatorStateRequest::default()
        };
        Ok(self.admin.clone().set_operator_state(request).await?.into_inner().revision)
    }

    /// Removes `service/id` at once.
    pub async fn deregister(&self, backend: &str) -> Result<v1::DeregisterResponse, Status> {
        let target = v1::deregister_request::Target::Backend(backend.to_owned());
        let request = v1::DeregisterRequest { target: Some(target), drain: None };
        Ok(self.registry.clone().deregister(request).await?.into_inner())
    }

    /// Drains `service/id` to the end: how far it was from time to time.
    pub async fn drain(&self, backend: &str, timeout: Duration) -> Result<Vec<v1::DrainProgress>, Status> {
        let timeout = Some(weir_proto::duration_to_wire(timeout));
        let request = v1::DrainRequest { backend: backend.to_owned(), timeout };
        let mut answers = self.admin.clone().drain(request).await?.into_inner();
        let mut progress = Vec::new();
        while let Some(step) = answers.message().await? {
            progress.push(step);
        }
        Ok(progress)
    }

    /// Turns the implicit route on or off. The revision that says so.
    pub async fn default_route(&self, on: bool) -> Result<u64, Status> {
        let request = v1::SetDefaultRouteRequest { on, if_revision: None };
        Ok(self.admin.clone().set_default_route(request).await?.into_inner().revision)
    }

    /// Applies one document. The revision that holds it.
    pub async fn apply(&self, document: v1::Document) -> Result<u64, Status> {
        let request = v1::ApplyRequest { documents: vec![document], ..v1::ApplyRequest::default() };
        Ok(self.admin.clone().apply(request).await?.into_inner().revision)
    }

    /// The control plane itself.
    pub async fn status(&self) -> Result<v1::GetStatusResponse, Status> {
        Ok(self.admin.clone().get_status(v1::GetStatusRequest {}).await?.into_inner())
    }

    /// The fleet, and what it should have.
    pub async fn proxies(&self) -> Result<v1::ListProxiesResponse, Status> {
        Ok(self.admin.clone().list_proxies(v1::ListProxiesRequest {}).await?.into_inner())
    }

    /// All backends of a service.
    pub async fn backends(&self, service: &str) -> Result<Vec<v1::Backend>, Status> {
        let request = v1::ListObjectsRequest {
            kind: v1::ObjectKind::Backend.into(),
            service: service.to_owned(),
            page_size: 10_000,
            ..v1::ListObjectsRequest::default()
        };
        let objects = self.admin.clone().list_objects(request).await?.into_inner().objects;
        let resources = objects.into_iter().filter_map(|object| object.resource?.resource);
        Ok(resources
            .filter_map(|resource| match resource {
                v1::resource::Resource::Backend(backend) => Some(backend),
                _ => None,
            })
            .collect())
    }

    /// Waits until it answers, after a start.
    pub async fn answers(&self) -> v1::GetStatusResponse {
        until("the control plane to answer", async || self.status().await.ok()).await
    }

    /// Waits until `count` proxies are connected and have acknowledged `revision`, with the control plane's digest.
    pub async fn acknowledged(&self, revision: u64, count: usize) {
        until(&format!("{count} proxies to acknowledge revision {revision}"), async || {
            let fleet = self.proxies().await.ok()?;
            // A revision of a lineage that is over says nothing.
            let done = |proxy: &&v1::ProxyInfo| {
                proxy.connected && proxy.epoch == fleet.epoch && proxy.revision >= revision
            };
            (fleet.proxies.iter().filter(done).count() >= count).then_some(())
        })
        .await;
    }

    /// Waits until `count` proxies have acknowledged what is now the newest revision. That revision.
    pub async fn settled(&self, count: usize) -> u64 {
        let revision = self.answers().await.revision;
        self.acknowledged(revision, count).await;
        revision
    }
}

/// Renews leases until it is dropped.
#[derive(Debug)]
pub struct Heartbeats {
    task: JoinHandle<()>,
}

impl Heartbeats {
    /// Renews these leases once in every `period`, beginning now. It connects again when the stream ends.
    #[must_use]
    pub fn start(api: &Api, leases: Vec<u64>, period: Duration) -> Self {
        let api = api.clone();
        Self { task: tokio::spawn(async move { beat(&api, &leases, period).await }) }
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn beat(api: &Api, leases: &[u64], period: Duration) {
    let mut ticks = interval(period);
    loop {
        let (sender, requests) = mpsc::channel(1);
        let mut registry = api.registry.clone();
        let answers = registry.heartbeat(ReceiverStream::new(requests));
        let stream = async {
            let Ok(answers) = answers.await else { return };
            let mut answers = answers.into_inner();
            while matches!(answers.message().await, Ok(Some(_))) {}
        };
        tokio::pin!(stream);
        for sequence in 0.. {
            let lease_ids = leases.to_vec();
            tokio::select! {
                () = &mut stream => break,
                _ = ticks.tick() => {
                    // A full channel means that the stream is slow; the next beat says the same.
                    let _ = sender.try_send(v1::HeartbeatRequest { lease_ids, sequence });
                }
            }
        }
        ticks.tick().await;
    }
}
