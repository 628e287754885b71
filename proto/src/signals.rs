//! The signals of a daemon. SIGTERM and SIGINT: the first asks for a graceful end, the second ends the process at once. No
//! other signal ends it that is sent to programs for another purpose: SIGHUP, SIGUSR1, SIGUSR2 and SIGALRM are told of in
//! the log; SIGPIPE the runtime ignores. SIGQUIT is left as it is: it ends the process with a core dump, for those who want
//! one.

use std::{io, process};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first signal to end cancels. The second one exits with 128 + its number, as shells expect. `reload` says
/// what there is to reload at SIGHUP. Called before anybody is told where the program listens: whoever knows that may send
/// it a signal.
pub fn shutdown(reload: &'static str) -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    outlive(SignalKind::hangup(), "SIGHUP", reload)?;
    for (kind, name) in [
        (SignalKind::user_defined1(), "SIGUSR1"),
        (SignalKind::user_defined2(), "SIGUSR2"),
        (SignalKind::alarm(), "SIGALRM"),
    ] {
        outlive(kind, name, "it means nothing to this program")?;
    }
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

fn outlive(kind: SignalKind, name: &'static str, what: &'static str) -> io::Result<()> {
    let mut signals = signal(kind)?;
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            crate::seldom!(info, signal = name, "{what}");
        }
    });
    Ok(())
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
    }
}
