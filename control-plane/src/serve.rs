//! The control plane from start to end.

use std::{
    fs, io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use prometheus_client::registry::Registry as Counters;
use tokio::{task::spawn_blocking, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use weir_proto::Revision;

use crate::{
    Config, Error, LeaseConfig, Listeners,
    address_policy::AddressPolicy,
    admin::{self, Admin},
    descriptors::{self, Room},
    dns,
    fleet::Fleet,
    grpc,
    incoming::{Acceptor, Patience},
    journal::Retention,
    metrics::Metrics,
    registry::{Options, Registry},
    rpc::{self, Api},
    store::{self, Store},
};

/// How long calls and streams may take to end when the control plane does.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long callers may take to hear that their changes were not made, when the store broke: the process is to be gone
/// within a second.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs a control plane until `shutdown` is cancelled: then the proxies are told to connect again, calls in progress
/// are answered, and whatever has not ended after 5 s is cut off.
///
/// Fails if the store cannot be opened, and within a second if it breaks: what is not certain to be durable is not
/// acknowledged. Dropping the future ends everything that it started.
pub async fn serve(config: Config, listeners: Listeners, shutdown: CancellationToken) -> Result<(), Error> {
    let (loopback_backends, leases) = (config.loopback_backends(), config.leases.clone());
    let (keep, resyncs) = (config.retention(), usize::from(config.resyncs_at_once));
    run(move || open_store(&config), loopback_backends, leases, keep, resyncs, listeners, shutdown).await
}

/// [`serve`] on the store that `open` opens, which may block.
async fn run(
    open: impl FnOnce() -> Result<Box<dyn Store>, Error> + Send + 'static,
    loopback_backends: bool,
    leases: LeaseConfig,
    keep: Retention,
    resyncs_at_once: usize,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let room = Room::within(descriptors::raise());
    let dns_address = listeners.dns_addr();
    let own: Vec<_> =
        [listeners.grpc_addr(), listeners.admin_addr()].into_iter().chain(dns_address).collect();
    let mut counters = Counters::with_prefix("weir_control_plane");
    let metrics = Metrics::new(&mut counters);
    let stopping = shutdown.child_token();
    let admin = Admin::new(counters, stopping.clone());

    // Whatever happens, the connections end with this function.
    let cut = CancellationToken::new();
    let _cut = cut.clone().drop_guard();
    let acceptor = |socket, most, patience| {
        Acceptor::new(socket, most, patience, cut.clone())
            .map_err(|e| Error::Serve { server: "socket", reason: e.to_string() })
    };
    let on_admin = acceptor(listeners.admin, room.admin, Patience::InAll(admin::TIMEOUT))?;
    let _admin = spawn(admin::serve(Arc::clone(&admin), on_admin, cut.clone()));

    let names = dns::Source::default();
    let answers = listeners.dns.map(|sockets| dns::serve(sockets, names.clone(), metrics.clone(), room.dns));
    let _answers = answers.transpose()?.map(spawn);

    let store = spawn_blocking(open).await;
    let store = store.map_err(|e| Error::Serve { server: "store", reason: e.to_string() })??;
    let policy = AddressPolicy::new(loopback_backends, own);
    let options = Options { leases, keep, policy, code: rpc::code, ..Options::new(metrics.clone()) };
    let (registry, mut task) = Registry::start(store, options).await?;
    let (mut api, _follow) = assemble(registry.clone(), metrics, stopping.clone());
    let (position, fleet) = (registry.current().position(), api.fleet.clone());
    (api.dns_address, api.room) = (dns_address, room);
    fleet.resyncs().set_at_once(resyncs_at_once);
    let _names = spawn(names.ready(registry.clone(), fleet.clone()));
    tracing::info!(
        store = registry.store(), epoch = %position.epoch, revision = %position.revision, "the store is loaded"
    );
    let on_grpc = acceptor(listeners.grpc, room.grpc, Patience::Opening)?;
    let mut server = spawn(grpc::serve(api, on_grpc, stopping.clone()));
    admin.ready(registry, fleet);

    let joined = |result: Result<Result<(), Error>, tokio::task::JoinError>| {
        result.unwrap_or_else(|e| Err(Error::Serve { server: "gRPC", reason: e.to_string() }))
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        ended = task.ended() => {
            stopping.cancel();
            // How the server ends does not matter any more.
            let _ = timeout(LAST_ANSWERS_TIMEOUT, &mut server).await;
            return ended;
        }
        ended = &mut server => return joined(ended),
    }
    if let Ok(ended) = timeout(STOP_TIMEOUT, &mut server).await {
        joined(ended)?;
    } else {
        tracing::warn!("some calls did not end within {STOP_TIMEOUT:?} and are cut off");
    }
    drop(server);
    task.stop().await?;
    tracing::info!("stopped");
    Ok(())
}

/// All that the gRPC services stand on, over a registry that is loaded, and the task that keeps it up to date.
pub(crate) fn assemble(
    registry: Registry,
    metrics: Metrics,
    stopping: CancellationToken,
) -> (Api, AbortOnDropHandle<()>) {
    let position = registry.current().position();
    let fleet = Fleet::new(position, Arc::clone(registry.events()), metrics.clone());
    fleet.published(position, registry.current().accepted());
    fleet.remember(registry.remembered_proxies());
    let follow = spawn(follow(registry.clone(), fleet.clone()));
    let witness = fleet.clone();
    registry.call_witness(Box::new(move || {
        let views = witness.views();
        Box::new(move |key| views.is_dead(&key.to_string()))
    }));
    let (room, started_at) = (Room::within(usize::MAX), SystemTime::now());
    (Api { registry, fleet, metrics, started_at, dns_address: None, room, stopping }, follow)
}

/// Opens the store, in a directory that is made if it is missing.
fn open_store(config: &Config) -> Result<Box<dyn Store>, Error> {
    let url = config.store_url()?;
    if let Some(dir) = &config.data_dir {
        make(dir).map_err(|e| Error::StoreUnusable {
            store: url.clone(),
            reason: format!(
                "cannot make the directory {}: {e}; choose another with --data-dir",
                dir.display()
            ),
        })?;
    }
    store::open(&url, config.accept_loss_from.map(Revision))
}

/// Makes a directory and those above it, so that they are still there after a loss of power, as what is in them.
pub(crate) fn make(dir: &Path) -> io::Result<()> {
    let missing: Vec<_> =
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    fs::create_dir_all(dir)?;
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
        fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Tells the fleet what its proxies should have, and that time passes.
async fn follow(registry: Registry, fleet: Fleet) {
    let mut published = registry.published();
    let tell = async {
        while published.changed().await.is_ok() {
            let snapshot = Arc::clone(published.borrow_and_update().snapshot());
            fleet.published(snapshot.position(), snapshot.accepted());
        }
    };
    tokio::select! {
        () = tell => {}
        () = fleet.clone().keep(|writes| registry.remember_proxies(writes)) => {}
    }
}

fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures_util::future::join_all;
    use tonic::Code;
    use weir_proto::v1::{self, registry_client::RegistryClient};

    use super::*;
    use crate::registry::testing::Shared;

    fn registration(port: u16) -> v1::RegisterRequest {
        let address = format!("10.0.0.1:{port}");
        let backend = v1::Backend { service: "web".into(), address, ..Default::default() };
        v1::RegisterRequest { backend: Some(backend), ..Default::default() }
    }

    #[tokio::test]
    async fn a_store_that_breaks_ends_everything_at_once_and_nobody_is_acknowledged() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Config {
            listen: any,
            admin: any,
            dns: any.into(),
            store: Some("memory".to_owned()),
            ..Config::default()
        };
        let listeners = Listeners::bind(&settings).expect("free ports");
        let url = format!("http://{}", listeners.grpc_addr());
        let store = Shared::new();
        let opened: Box<dyn Store> = Box::new(store.clone());
        let (leases, keep, stop) = (LeaseConfig::default(), Retention::default(), CancellationToken::new());
        let served = spawn(run(move || Ok(opened), true, leases, keep, 8, listeners, stop));
        let registry = RegistryClient::connect(url).await.expect("it listens");
        registry.clone().register(registration(1)).await.expect("registered");

        store.fail(Some(Error::StoreFailed { store: "memory".into(), reason: "fsync: EIO".into() }));
        let calls = (2..100).map(|port| {
            let mut registry = registry.clone();
            async move { registry.register(registration(port)).await }
        });
        // Less than a stop that waits for somebody.
        let (answers, ended) = tokio::join!(join_all(calls), timeout(STOP_TIMEOUT * 4 / 5, served));
        for answer in answers {
            assert_eq!(answer.expect_err("not stored").code(), Code::Unavailable);
        }
        let ended = ended.expect("at once").expect("no panic");
        assert!(matches!(ended, Err(Error::StoreFailed { .. })), "{ended:?}");
    }
}
