//! `weir dev`: the whole system in one process, to try things out.

mod ready;
mod sample;
mod system;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use tokio::time::timeout;

use crate::{
    Error, Exit,
    commands::{
        Global,
        dev::system::{Daemons, System},
    },
    document, output,
    signals::Signals,
};

/// How long everything may take until requests are answered.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// Sample backends, unless files say what there is.
const BACKENDS: u8 = 3;

/// What to run, and where.
#[derive(Debug, Args)]
#[command(after_help = "Everything ends with Ctrl-C. --control-plane and --timeout have no meaning here.")]
pub(super) struct Dev {
    /// Sample backends [default: 3; with --file 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=64))]
    backends: Option<u8>,
    /// Proxies: the first on --listen, each further one on the next port
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    proxies: u8,
    /// Files or directories to apply at the start
    #[arg(short, long = "file", value_name = "FILE", num_args = 1..)]
    files: Vec<PathBuf>,
    /// Keep the state here [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the first proxy accepts traffic; port 0 takes free ones for all
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the first proxy's admin page is; port 0 takes free ones for all
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9901")]
    proxy_admin: SocketAddr,
    /// Where the control plane listens, on a loopback address; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7400")]
    control_plane_listen: SocketAddr,
    /// Where the control plane's admin page is; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7401")]
    control_plane_admin: SocketAddr,
    /// Where DNS is answered, over UDP and TCP: IP:port, or `off`; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7453")]
    dns: weir_control_plane::Dns,
    /// What the daemons log, to standard error: a level, or levels by module
    #[arg(long, env = "WEIR_LOG", hide_env_values = true, value_name = "FILTER", default_value = "error")]
    log: String,
}

pub(super) async fn run(global: &Global, dev: Dev) -> Result<Exit, Error> {
    if !dev.control_plane_listen.ip().is_loopback() {
        return Err(Error::Usage(
            "--control-plane-listen must be a loopback address: whoever reaches the port can change everything; \
             to serve other machines run weir-control-plane"
                .to_owned(),
        ));
    }
    log(&dev.log)?;
    let documents = document::load(&dev.files)?;
    let mut signals = Signals::listen()?;
    let (mut system, mut daemons) = System::start(&dev)?;
    tokio::select! {
        started = timeout(START_TIMEOUT, system.ready(global, &dev, documents)) => match started {
            Ok(started) => started?,
            Err(_) => return Err(Error::Timeout(format!("nothing is answered after {START_TIMEOUT:?}"))),
        },
        failed = ended(&mut daemons) => return Err(failed),
        () = signals.next() => return stop(system, daemons, signals).await,
    }
    tokio::select! {
        failed = ended(&mut daemons) => Err(failed),
        () = signals.next() => stop(system, daemons, signals).await,
    }
}

/// Ends everything in good order; a second signal ends it at once.
async fn stop(system: System, daemons: Daemons, mut signals: Signals) -> Result<Exit, Error> {
    tokio::select! {
        () = system.stop(daemons) => Ok(Exit::Ok),
        () = signals.next() => Ok(Exit::Failed),
    }
}

/// Waits for a daemon that ends although nobody asked it to.
async fn ended(daemons: &mut Daemons) -> Error {
    match daemons.join_next().await {
        Some(Ok(Err(e))) => e,
        Some(Err(e)) => Error::Failed(format!("a daemon failed: {e}")),
        Some(Ok(Ok(()))) | None => Error::Failed("a daemon ended by itself".to_owned()),
    }
}

fn log(filter: &str) -> Result<(), Error> {
    let filter: tracing_subscriber::EnvFilter =
        weir_proto::log::filter(filter).parse().map_err(|e| Error::Usage(format!("--log {filter}: {e}")))?;
    // A second call in one process keeps the first one's log.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(output::log)
        .with_ansi(output::is_log_colored());
    // To say that nobody reads the log any more would be a panic in whatever task has something to log.
    drop(lines.log_internal_errors(false).try_init());
    Ok(())
}
