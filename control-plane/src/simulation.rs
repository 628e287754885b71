//! A control plane without sockets, on a disk that can fail: what a check of the whole drives. It is all of the real
//! one from the decoded call to the store; nothing here is part of the program.

mod disk;

use std::sync::Arc;

use prometheus_client::registry::Registry as Counters;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use weir_proto::v1::{
    self, admin_server::Admin, discovery_server::Discovery, registry_server::Registry as Agents,
};

pub use self::disk::{Changed, Committed, Disk, Fate};
use crate::{
    Error, LeaseConfig,
    metrics::Metrics,
    registry::{Options, Registry, Task},
    rpc::Api,
    serve::assemble,
    snapshot::Snapshot,
};

/// One run of a control plane. Dropped, it is gone: what it still had in hand fails, and nobody hears of it.
#[derive(Debug)]
pub struct ControlPlane {
    api: Api,
    disk: Disk,
    _task: Task,
    _follow: AbortOnDropHandle<()>,
}

/// The newest state that readers see.
#[derive(Debug, Clone)]
pub struct State {
    /// Where it is.
    pub position: v1::Position,
    /// Everything in it.
    pub objects: Vec<v1::Object>,
}

impl ControlPlane {
    /// Starts it on the disk. `tombstones`: how many removed objects are remembered.
    pub async fn start(disk: &Disk, tombstones: usize, leases: &LeaseConfig) -> Result<Self, Error> {
        let metrics = Metrics::new(&mut Counters::default());
        let options = Options { tombstones, leases: leases.clone(), ..Options::new(metrics.clone()) };
        let (registry, task) = Registry::start(disk.insert(), options).await?;
        let (api, follow) = assemble(registry, metrics, CancellationToken::new());
        Ok(Self { api, disk: disk.clone(), _task: task, _follow: follow })
    }

    /// The services that it offers.
    #[must_use]
    pub fn services(&self) -> impl Admin + Agents + Discovery + Clone + 'static {
        self.api.clone()
    }

    /// Where the newest state is.
    #[must_use]
    pub fn position(&self) -> v1::Position {
        self.api.registry.current().position().wire()
    }

    /// The newest state.
    #[must_use]
    pub fn state(&self) -> State {
        let snapshot: Arc<Snapshot> = self.api.registry.current();
        let objects = snapshot.entries().map(|entry| entry.object.wire()).collect();
        State { position: snapshot.position().wire(), objects }
    }

    /// Tells the proxies to go, as at an orderly end.
    pub fn say_goodbye(&self) {
        self.api.stopping.cancel();
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.disk.pull_out();
    }
}
