//! The data plane as a program of its own: flags, log, signals, exit code.

use std::{
    io::{Write, stderr},
    process::ExitCode,
};

use clap::Parser;
use mimalloc::MiMalloc;
use weir_data_plane::{Config, Error, Listeners, Logging, serve};
use weir_proto::visible;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// A proxy that balances HTTP traffic as the control plane says, and goes on without it.
#[derive(Parser)]
#[command(name = "weir-data-plane", version, after_help = "Exit codes: 0 stopped, 1 failed, 2 wrong usage.")]
struct Command {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    logging: Logging,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run(Command::parse()).await else { return ExitCode::SUCCESS };
    let _ = writeln!(stderr(), "weir-data-plane: {}", visible(&error.to_string()));
    ExitCode::from(if matches!(error.downcast_ref(), Some(Error::Setting { .. })) { 2 } else { 1 })
}

async fn run(Command { config, logging }: Command) -> anyhow::Result<()> {
    weir_data_plane::in_small_pages();
    logging.start()?;
    weir_proto::warn_of_renamed(&[("WEIR_LISTEN", "WEIR_PROXY_LISTEN"), ("WEIR_ADMIN", "WEIR_PROXY_ADMIN")]);
    let reload = "changed certificates and keys are read by themselves, within a second or two";
    let shutdown = weir_proto::signals::shutdown(reload)?;
    let listeners = Listeners::bind(&config)?;
    listeners.announce(&config)?;
    Ok(serve(config, listeners, shutdown).await?)
}
