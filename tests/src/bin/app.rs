//! A small server for `weir run`, and for signals: `weir-test-app PORT EXIT_CODE`. It says where it listens, answers with
//! its name `app`, ends with that code at SIGTERM or when a request for `/exit` arrives, and never outlives its parent.

use std::{env, io, io::Write, net::SocketAddr, process::ExitCode};

use rustix::process::set_parent_process_death_signal;
use tokio::signal::unix::{SignalKind, signal};
use weir_tests::{Backend, Behaviour, Signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<ExitCode> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut numbers = env::args().skip(1).filter_map(|argument| argument.parse::<u16>().ok());
    let (Some(port), Some(code)) = (numbers.next(), numbers.next()) else {
        return Err(io::Error::other("usage: weir-test-app PORT EXIT_CODE"));
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let app = Backend::at(SocketAddr::from(([127, 0, 0, 1], port)), "app", Behaviour::Name).await;
    writeln!(io::stdout(), "app listening on {}", app.address())?;
    app.record();
    let asked = async || loop {
        let exit = |request: &weir_tests::Request| request.head.start().contains("/exit");
        // Not before it is answered.
        if app.recorded().iter().any(exit) && app.answered() == app.requests() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    tokio::select! {
        _ = terminate.recv() => writeln!(io::stdout(), "app was told to end")?,
        () = asked() => writeln!(io::stdout(), "app ends by itself")?,
    }
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
