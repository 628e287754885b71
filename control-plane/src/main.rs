//! The control plane as a program of its own: flags, log, signals, exit code.

mod log;
mod signals;

use std::{io::Write, process::ExitCode};

use clap::Parser;
use weir_control_plane::{Config, Error, Listeners, serve};

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
    log::start(&config)?;
    let listeners = Listeners::bind(&config)?;
    writeln!(std::io::stdout(), "{listeners}")?;
    Ok(serve(config, listeners, signals::shutdown()?).await?)
}
