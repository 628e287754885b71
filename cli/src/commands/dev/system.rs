//! The parts of the system in one process: how they start, when they are ready, in which order they end.

use std::{net::SocketAddr, path::Path, time::Duration};

use serde_json::json;
use tempfile::TempDir;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    commands::{
        Global, apply,
        dev::{BACKENDS, Dev, START_TIMEOUT, ready, sample},
        wait,
    },
    document::Documents,
    output,
};

/// How long requests in flight may take to finish at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long each part may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The control plane and the proxies. Dropping it ends them at once.
pub(super) type Daemons = JoinSet<Result<(), Error>>;

/// What belongs to the daemons. Dropping it ends the sample backends at once.
pub(super) struct System {
    control_plane: SocketAddr,
    dns: Option<SocketAddr>,
    traffic: Vec<SocketAddr>,
    samples: Vec<sample::Sample>,
    proxies_shutdown: CancellationToken,
    control_plane_shutdown: CancellationToken,
    /// Removed after everything else.
    _directory: Option<TempDir>,
}

impl System {
    /// Binds all sockets before anything runs, so that an address in use is the first thing to be said.
    pub(super) fn start(dev: &Dev) -> Result<(Self, Daemons), Error> {
        let directory = match dev.data_dir {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(|e| {
                Error::Failed(format!("cannot make a temporary directory: {}", crate::error::reason(&e)))
            })?),
        };
        let temporary = directory.as_ref().map(|d| d.path().to_owned());
        let data_dir = dev.data_dir.clone().or(temporary).unwrap_or_default();
        let config = weir_control_plane::Config {
            listen: dev.control_plane_listen,
            admin: dev.control_plane_admin,
            dns: dev.dns,
            data_dir: Some(data_dir.join("control-plane")),
            ..weir_control_plane::Config::default()
        };
        let listeners = weir_control_plane::Listeners::bind(&config).map_err(daemon)?;
        let (control_plane, dns) = (listeners.grpc_addr(), listeners.dns_addr());
        let mut proxies = Vec::new();
        for index in 0..u16::from(dev.proxies) {
            let mut config = proxy_config(dev, index, control_plane, &data_dir)?;
            let listeners = weir_data_plane::Listeners::bind(&config).map_err(daemon)?;
            // So that DNS names the port, too.
            config.advertise =
                listeners.traffic_addr().map(|address| address.to_string()).unwrap_or_default();
            proxies.push((config, listeners));
        }
        let mut samples = Vec::new();
        let backends = dev.backends.unwrap_or(if dev.files.is_empty() { BACKENDS } else { 0 });
        for number in 1..=backends {
            samples.push(sample::Sample::start(&format!("http://{control_plane}"), number)?);
        }

        let (mut daemons, mut traffic) = (JoinSet::new(), Vec::new());
        let control_plane_shutdown = CancellationToken::new();
        let shutdown = control_plane_shutdown.clone();
        daemons.spawn(
            async move { weir_control_plane::serve(config, listeners, shutdown).await.map_err(daemon) },
        );
        let proxies_shutdown = CancellationToken::new();
        for (config, listeners) in proxies {
            traffic.extend(listeners.traffic_addr());
            let shutdown = proxies_shutdown.clone();
            daemons.spawn(async move {
                weir_data_plane::serve(config, listeners, shutdown).await.map_err(daemon)
            });
        }
        let system = Self {
            control_plane,
            dns,
            traffic,
            samples,
            proxies_shutdown,
            control_plane_shutdown,
            _directory: directory,
        };
        Ok((system, daemons))
    }

    /// Waits until requests are answered, and says so.
    pub(super) async fn ready(
        &mut self,
        global: &Global,
        dev: &Dev,
        documents: Documents,
    ) -> Result<(), Error> {
        let url = format!("http://{}", self.control_plane);
        let client = ready::client(&url, START_TIMEOUT).await?;
        let mut revision = 0;
        for sample in &mut self.samples {
            revision = revision.max(sample.registered().await);
        }
        if !documents.wire.is_empty() {
            let request = weir_proto::v1::ApplyRequest {
                documents: documents.wire.clone(),
                file_set: "dev".to_owned(),
                prune: true,
                ..Default::default()
            };
            revision = apply::send(&client, &documents, request).await?.revision;
        }
        ready::connected(&client, self.traffic.len()).await?;
        let outcome = wait::outcome(&client, revision).await?;
        if let Err(e @ Error::RefusedByProxy(_)) = outcome.verdict(client.timeout()) {
            output::note(&e.to_string());
        }
        // With files only their author knows what would be answered.
        if dev.files.is_empty() && !self.samples.is_empty() {
            for address in &self.traffic {
                ready::answers(*address).await;
            }
        }
        self.announce(global, dev)
    }

    fn announce(&self, global: &Global, dev: &Dev) -> Result<(), Error> {
        let control_plane = format!("http://{}", self.control_plane);
        let traffic: Vec<_> = self.traffic.iter().map(|address| format!("http://{address}")).collect();
        let dns = self.dns.map(|address| address.to_string());
        let value = json!({ "ready": true, "traffic": traffic, "control_plane": control_plane, "dns": dns });
        global.output().show_next(&value, || {
            let weir = if self.control_plane == SocketAddr::from(([127, 0, 0, 1], 7400)) {
                "weir".to_owned()
            } else {
                format!("weir --control-plane {control_plane}")
            };
            let mut lines =
                vec![format!("ready: traffic on {}, control plane on {control_plane}", traffic.join(" "))];
            lines.push(String::new());
            lines.push("Try it from another terminal:".to_owned());
            if let (true, Some(first)) = (dev.files.is_empty(), traffic.first()) {
                lines.push(format!("  for i in 1 2 3 4; do curl -s {first}/ | head -1; done"));
            }
            lines.push(format!("  {weir} backend list"));
            if !self.samples.is_empty() {
                lines.push(format!("  {weir} drain {}/{}-1", sample::SERVICE, sample::SERVICE));
            }
            lines.push(format!("  {weir} proxy list"));
            if let Some(address) = self.dns {
                lines.push(format!("  dig @{} -p {} proxies.weir SRV +short", address.ip(), address.port()));
            }
            lines.push(format!("  {weir} watch --past 10"));
            lines.push(String::new());
            lines.push("Ctrl-C ends everything.".to_owned());
            lines
        })
    }

    /// First who takes traffic, then who answers it, then who knows of them.
    pub(super) async fn stop(mut self, mut daemons: Daemons) {
        self.proxies_shutdown.cancel();
        let proxies = async {
            while daemons.len() > 1 {
                if daemons.join_next().await.is_none() {
                    break;
                }
            }
        };
        drop(timeout(STOP_TIMEOUT, proxies).await);
        let mut leaving = JoinSet::new();
        for sample in self.samples.drain(..) {
            leaving.spawn(sample.stop());
        }
        drop(timeout(STOP_TIMEOUT, leaving.join_all()).await);
        self.control_plane_shutdown.cancel();
        drop(timeout(STOP_TIMEOUT, daemons.join_next()).await);
    }
}

fn proxy_config(
    dev: &Dev,
    index: u16,
    control_plane: SocketAddr,
    data_dir: &Path,
) -> Result<weir_data_plane::Config, Error> {
    let url = format!("http://{control_plane}");
    let control_plane = url.parse().map_err(|e| Error::Failed(format!("{url} is not a URL: {e}")))?;
    let name = format!("proxy-{}", index + 1);
    Ok(weir_data_plane::Config {
        control_plane: vec![control_plane],
        listen: nth(dev.listen, index)?.into(),
        admin: nth(dev.proxy_admin, index)?,
        data_dir: dev.data_dir.is_some().then(|| data_dir.join(&name)),
        id: Some(name),
        lame_duck: Duration::ZERO,
        drain_timeout: DRAIN_TIMEOUT,
        ..weir_data_plane::Config::default()
    })
}

/// The address with its port so many further; port 0 stays.
fn nth(first: SocketAddr, index: u16) -> Result<SocketAddr, Error> {
    let port = match first.port() {
        0 => Some(0),
        port => port.checked_add(index),
    };
    let port =
        port.ok_or_else(|| Error::Usage(format!("no port is left after {first} for another proxy")))?;
    Ok(SocketAddr::new(first.ip(), port))
}

fn daemon(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Daemon(Box::new(error))
}
