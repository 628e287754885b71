//! The control plane as a program of its own: flags, log, signals, exit code.

mod signals;

use std::{io::Write, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;
use weir_control_plane::{Config, Error, Listeners, LogFormat, serve};

/// The registry of services, backends and routes that configures Weir's proxies.
#[derive(Parser)]
#[command(
    name = "weir-control-plane",
    version,
    after_help = "Exit codes: 0 stopped, 1 failed, 2 wrong usage."
)]
struct Command {
    #[command(flatten)]
    config: Config,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run(Command::parse().config).await else { return ExitCode::SUCCESS };
    let _ = writeln!(std::io::stderr(), "weir-control-plane: {error:#}");
    ExitCode::from(if matches!(error.downcast_ref(), Some(Error::Config(_))) { 2 } else { 1 })
}

async fn run(config: Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).map_err(|e| Error::Config(format!("--log: {e}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    let listeners = Listeners::bind(&config)?;
    let mut out = std::io::stdout();
    writeln!(out, "grpc listening on {}", listeners.grpc_addr())?;
    writeln!(out, "admin listening on {}", listeners.admin_addr())?;
    Ok(serve(config, listeners, signals::shutdown()?).await?)
}
