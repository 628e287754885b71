//! The control plane from start to end.

use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use prometheus_client::registry::Registry as Counters;
use tokio::{sync::watch, task::spawn_blocking, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    Config, Error, Listeners,
    address_policy::AddressPolicy,
    admin::{self, Admin},
    fleet::Fleet,
    grpc,
    incoming::{Acceptor, Patience},
    metrics::Metrics,
    publish::Published,
    registry::{Options, Registry},
    rpc::Api,
    store::{self, Store},
};

/// How long calls and streams may take to end when the control plane does.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a control plane until `shutdown` is cancelled: then the proxies are told to connect again, calls in progress
/// are answered, and whatever has not ended after 5 s is cut off.
///
/// Fails if the store cannot be opened, and at once if it breaks: what is not certain to be durable is not
/// acknowledged. Dropping the future ends everything that it started.
pub async fn serve(config: Config, listeners: Listeners, shutdown: CancellationToken) -> Result<(), Error> {
    let own = vec![listeners.grpc_addr(), listeners.admin_addr()];
    let mut counters = Counters::with_prefix("weir_control_plane");
    let metrics = Metrics::new(&mut counters);
    let admin = Admin::new(counters, shutdown.clone());

    // Whatever happens, the connections end with this function.
    let cut = CancellationToken::new();
    let _cut = cut.clone().drop_guard();
    let acceptor = |socket, most, patience| {
        Acceptor::new(socket, most, patience, cut.clone())
            .map_err(|e| Error::Serve { server: "socket", reason: e.to_string() })
    };
    let on_admin = acceptor(listeners.admin, admin::MOST_CONNECTIONS, Patience::InAll(admin::TIMEOUT))?;
    let _admin = spawn(admin::serve(Arc::clone(&admin), on_admin, cut.clone()));

    let loopback_backends = config.loopback_backends();
    let store = spawn_blocking(move || open_store(&config)).await;
    let store = store.map_err(|e| Error::Serve { server: "store", reason: e.to_string() })??;
    let (registry, mut task) = Registry::start(store, Options::new(metrics.clone())).await?;
    let position = registry.current().position();
    let fleet = Fleet::new(position, Arc::clone(registry.events()), metrics.clone());
    let _follow = spawn(follow(registry.published(), fleet.clone()));
    tracing::info!(
        store = registry.store(), epoch = %position.epoch, revision = %position.revision, "the store is loaded"
    );

    let api = Api {
        registry: registry.clone(),
        fleet: fleet.clone(),
        policy: Arc::new(AddressPolicy::new(loopback_backends, own)),
        metrics,
        started_at: SystemTime::now(),
        stopping: shutdown.clone(),
    };
    let on_grpc = acceptor(listeners.grpc, grpc::MOST_CONNECTIONS, Patience::Opening)?;
    let mut server = spawn(grpc::serve(api, on_grpc, shutdown.clone()));
    admin.ready(registry, fleet);

    let joined = |result: Result<Result<(), Error>, tokio::task::JoinError>| {
        result.unwrap_or_else(|e| Err(Error::Serve { server: "gRPC", reason: e.to_string() }))
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        ended = task.ended() => return ended,
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

/// Opens the store, in a directory that is made if it is missing.
fn open_store(config: &Config) -> Result<Box<dyn Store>, Error> {
    let url = config.store_url()?;
    if let Some(dir) = &config.data_dir {
        fs::create_dir_all(dir).map_err(|e| Error::StoreUnusable {
            store: url.clone(),
            reason: format!(
                "cannot make the directory {}: {e}; choose another with --data-dir",
                dir.display()
            ),
        })?;
    }
    store::open(&url)
}

/// Tells the fleet what its proxies should have.
async fn follow(mut published: watch::Receiver<Arc<Published>>, fleet: Fleet) {
    while published.changed().await.is_ok() {
        let position = published.borrow_and_update().snapshot().position();
        fleet.published(position);
    }
}

fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
