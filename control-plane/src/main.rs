//! The control plane as a program of its own: flags, log, signals, exit code.

mod log;

use std::{io::Write, process::ExitCode};

use clap::Parser;
use mimalloc::MiMalloc;
use weir_control_plane::{Config, Error, Listeners, Restore, restore, serve};
use weir_proto::visible;

/// Many small objects of few sizes live long and are changed all the time: it keeps each size in pages of its own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The registry of services, backends and routes that configures Weir's proxies.
#[derive(Parser)]
#[command(
    name = "weir-control-plane",
    version,
    after_help = "Exit codes: 0 stopped or restored, 1 failed, 2 wrong usage."
)]
struct Command {
    #[command(flatten)]
    config: Config,

    #[command(subcommand)]
    instead: Option<Instead>,
}

/// What it does instead of running.
#[derive(clap::Subcommand)]
enum Instead {
    /// Make the store anew out of a backup, and end
    ///
    /// Everything in the backup is checked before anything is touched. The store gets a new epoch, so that proxies notice.
    Restore(Restore),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Command::parse();
    // A huge page stays whole for one small object that is left in it. Where that cannot be said, all stays as it was.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let done = match command.instead {
        None => run(command.config).await,
        Some(Instead::Restore(wanted)) => make_anew(&wanted),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    let _ = writeln!(std::io::stderr(), "weir-control-plane: {}", visible(&format!("{error:#}")));
    ExitCode::from(if matches!(error.downcast_ref(), Some(Error::Config(_))) { 2 } else { 1 })
}

async fn run(config: Config) -> anyhow::Result<()> {
    log::start(&config)?;
    weir_proto::warn_of_renamed(&[
        ("WEIR_LISTEN", "WEIR_CONTROL_PLANE_LISTEN"),
        ("WEIR_ADMIN", "WEIR_CONTROL_PLANE_ADMIN"),
    ]);
    let reload =
        "nothing to reload: what is declared changes by `weir apply`, the settings with the next start";
    let shutdown = weir_proto::signals::shutdown(reload)?;
    let listeners = Listeners::bind(&config)?;
    writeln!(std::io::stdout(), "{listeners}")?;
    Ok(serve(config, listeners, shutdown).await?)
}

fn make_anew(wanted: &Restore) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", restore(wanted)?)?;
    Ok(())
}
