//! From the first socket to the last request: how a proxy starts, and in which order it stops.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, watch},
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use weir_proto::v1::ProxyState;

use crate::{
    Config, Error, Listeners,
    access_log::AccessLog,
    admin::{self, Admin, Told},
    admission::Shed,
    config::AccessLogTarget,
    descriptors,
    discovery::{Discovery, Identity, Link},
    headers::Pseudonym,
    health,
    identity::{self, DataDir},
    last_good::{self, Keeper},
    metrics::ConfigMetrics,
    table::{Applied, Applier, Here, SharedTable},
    tls,
    worker::Workers,
};

/// How often what could not be had is tried again: addresses that could not be bound, files that could not be used.
const RETRY_REFUSED: Duration = Duration::from_secs(5);

/// Whether the proxy stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Accepts and serves.
    Serving,
    /// Was told to stop.
    Draining,
}

impl Phase {
    /// As it is written in messages.
    pub(crate) fn wire(self) -> ProxyState {
        match self {
            Self::Serving => ProxyState::Serving,
            Self::Draining => ProxyState::Draining,
        }
    }
}

/// Whether new clients should be sent here: something is in force, an address is open, and nobody said stop. What the
/// control plane does is of no concern.
pub(crate) fn is_ready(phase: Phase, applied: &Applied) -> bool {
    phase == Phase::Serving && applied.position.is_some() && !applied.open.is_empty()
}

/// Runs a proxy on the sockets until `shutdown`, then stops it: readiness fails at once, after `lame_duck` it accepts
/// no more, and it returns when the last request has ended or `drain_timeout` is over. Only what stands in the way of
/// starting is an error. Dropping the future ends the proxy at once.
pub async fn serve(config: Config, listeners: Listeners, shutdown: CancellationToken) -> Result<(), Error> {
    let (lame_duck, drain_timeout) = (config.lame_duck, config.drain_timeout);
    let proxy = Proxy::start(config, listeners).await?;
    shutdown.cancelled().await;
    proxy.stop(lame_duck, drain_timeout).await;
    Ok(())
}

/// A proxy at work. Dropping it ends it at once.
#[derive(Debug)]
struct Proxy {
    applier: Arc<Mutex<Applier>>,
    workers: Arc<Workers>,
    phase: watch::Sender<Phase>,
    log: Option<AccessLog>,
    tasks: [AbortOnDropHandle<()>; 8],
    _data_dir: Option<DataDir>,
}

impl Proxy {
    async fn start(config: Config, listeners: Listeners) -> Result<Self, Error> {
        descriptors::raise();
        let data_dir = config.data_dir.as_deref().map(DataDir::open).transpose()?;
        let id = identity::identify(&config, data_dir.as_ref())?;
        tracing::info!("this is the proxy {id}, in Via {}", Pseudonym::of(&id).name());
        let log = open_access_log(&config.access_log)?;
        let table = Arc::new(SharedTable::empty());
        let shed = Shed::new(listeners.workers, &config);
        let workers = Workers::start(listeners.workers, &id, &table, log.as_ref(), &shed)
            .map_err(|source| Error::Start { what: "the worker threads", source })?;
        let workers = Arc::new(workers);
        let metrics = ConfigMetrics::default();
        let (phase, phases) = watch::channel(Phase::Serving);
        let link = watch::Sender::new(Link::default());

        let here = Here::new(&config.zone, [listeners.admin_addr()]);
        let mut applier = Applier::new(Arc::clone(&table), Arc::clone(&workers), here, metrics.clone());
        applier.limit_tables(config.max_lookup_table_memory);
        let in_force = applier.watch();
        let listen = listeners.traffic_addr();
        let no_copy = watch::Sender::new(None);
        let told = Told {
            phase: phases.clone(),
            applied: in_force.clone(),
            link: link.subscribe(),
            no_copy: no_copy.subscribe(),
        };
        let admin = Admin::new(&table, &workers, &shed, told, &metrics);
        let admin = spawn(admin::serve(listeners.admin, admin));
        let ready = spawn(tell_ready(in_force.clone()));
        let checks = spawn(health::check(in_force.clone(), Arc::clone(&table)));
        let sweeper = spawn(health::sweep(Arc::clone(&table)));
        let certificates = spawn(tls::reload(in_force, Arc::clone(&table)));
        if let Some((address, sockets)) = listeners.traffic {
            applier.take_fallback(address, sockets);
        }
        bring_back(&mut applier, data_dir.as_ref(), &metrics, no_copy).await;
        applier.admit_waiting().await;

        let applier = Arc::new(Mutex::new(applier));
        let retries = spawn(retry_refused(Arc::clone(&applier)));
        let bounds = config.bounds(shed.memory_limit());
        let discovery = Discovery {
            control_planes: config.control_plane,
            identity: Identity {
                id,
                boot_id: fastrand::u64(..),
                zone: config.zone,
                advertised_address: config.advertise,
                listen,
            },
            applier: Arc::clone(&applier),
            table,
            workers: Arc::clone(&workers),
            phase: phases,
            link,
            metrics,
            bounds,
        };
        let discovery = spawn(discovery.run());
        Ok(Self {
            applier,
            workers,
            phase,
            log,
            tasks: [spawn(shed.watch()), admin, ready, checks, sweeper, certificates, retries, discovery],
            _data_dir: data_dir,
        })
    }

    async fn stop(self, lame_duck: Duration, drain_timeout: Duration) {
        tracing::info!("stopping: not ready any more, accepting for another {lame_duck:?}");
        self.phase.send_replace(Phase::Draining);
        sleep(lame_duck).await;
        self.applier.lock().await.stop_listening();
        let in_flight = self.workers.in_flight();
        tracing::info!("draining: {in_flight} in flight, for at most {drain_timeout:?}");
        match self.workers.drain(drain_timeout).await {
            0 => tracing::info!("stopped: every request has ended"),
            left => tracing::warn!("stopped: {left} requests had not ended after {drain_timeout:?}"),
        }
        self.applier.lock().await.finish_copies().await;
        let Self { applier, workers, tasks, log, .. } = self;
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        // With the last of those who know them the workers end, and hand over their last lines.
        drop((applier, workers));
        if let Some(log) = log {
            log.finish().await;
        }
    }
}

/// Starts from the copy on disk, if there is a good one, and keeps it up to date from now on.
async fn bring_back(
    applier: &mut Applier,
    dir: Option<&DataDir>,
    metrics: &ConfigMetrics,
    no_copy: watch::Sender<Option<String>>,
) {
    let Some(dir) = dir else {
        tracing::warn!(
            "without --data-dir neither this proxy's name nor its configuration survives a restart"
        );
        return;
    };
    if let Some(copy) = last_good::load(dir.path()) {
        tracing::info!("starting from the last good configuration, {}", copy.state.position);
        applier.restore(copy).await;
    }
    if let Some(why) = dir.unwritable() {
        let path = dir.path().display();
        tracing::error!(
            "nothing can be written to {path}: {why}; after a restart this proxy would serve an older configuration"
        );
        no_copy.send_replace(Some(format!("nothing can be written to {path}: {why}")));
    }
    applier.keep_copies(Keeper::start(dir.path(), metrics.clone(), no_copy));
}

/// A task that ends with the proxy.
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

fn open_access_log(target: &AccessLogTarget) -> Result<Option<AccessLog>, Error> {
    let log = match target {
        AccessLogTarget::Off => return Ok(None),
        AccessLogTarget::Stdout => AccessLog::stdout(),
        AccessLogTarget::File(path) => AccessLog::file(path),
    };
    log.map(Some).map_err(|source| Error::AccessLog { target: target.to_string(), source })
}

async fn tell_ready(mut applied: watch::Receiver<Applied>) {
    if let Ok(applied) = applied.wait_for(|applied| is_ready(Phase::Serving, applied)).await {
        let position = applied.position.map(|position| position.to_string()).unwrap_or_default();
        tracing::info!("ready: {position} is in force");
    }
}

async fn retry_refused(applier: Arc<Mutex<Applier>>) {
    let mut ticks = interval(RETRY_REFUSED);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        applier.lock().await.retry_refused().await;
    }
}
