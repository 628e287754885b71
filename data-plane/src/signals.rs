//! SIGTERM and SIGINT: the first asks for a graceful end, the second ends the process at once. SIGHUP ends nothing: files
//! are looked at every second anyway, and whoever sends it expects no more than that.

use std::{io, process};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first signal cancels. The second signal exits with 128 + its number, as shells expect. Called before
/// anybody is told where the program listens: whoever knows that may tell it to stop.
pub(crate) fn shutdown() -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("changed certificates and keys are read by themselves, within a second or two");
        }
    });
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        let name = next(&mut interrupt, &mut terminate).await;
        tracing::info!(signal = %name.as_raw_value(), "stopping; a second signal ends at once");
        token.cancel();
        let second = next(&mut interrupt, &mut terminate).await;
        process::exit(128 + second.as_raw_value());
    });
    Ok(shutdown)
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
    }
}
