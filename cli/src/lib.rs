//! The command line of Weir: what an operator does, the agent beside a backend (`weir run`), and the whole system in
//! one process (`weir dev`).

mod agent;
mod client;
mod commands;
mod document;
mod error;
mod exit;
mod output;
mod signals;
mod units;
mod yaml;

use std::{ffi::OsString, time::Duration};

use clap::Parser;

pub use document::Problem;
pub use error::Error;
pub use exit::Exit;

/// What a command leaves behind, as a name lookup that hangs, is not waited for longer than this.
const RUNTIME_SHUTDOWN: Duration = Duration::from_millis(200);

/// Runs one command to its end. The first argument is the program's name. Results go to standard output, why there is
/// none to standard error.
pub fn run(args: impl IntoIterator<Item = impl Into<OsString>>) -> Exit {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    if let Some(exit) = agent::become_command(&args) {
        return exit;
    }
    let command = match commands::Program::try_parse_from(&args) {
        Ok(command) => command,
        Err(e) => {
            // Help and versions are errors to clap, but not to the caller.
            let exit = if e.use_stderr() { Exit::Usage } else { Exit::Ok };
            output::usage(&told_visibly(e, &args));
            return exit;
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return failed(&Error::Failed(format!("cannot start: {}", error::reason(&e)))),
    };
    let result = runtime.block_on(commands::run(command));
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
    result.unwrap_or_else(|e| failed(&e))
}

/// The same error without what an argument has hidden in it.
fn told_visibly(error: clap::Error, args: &[OsString]) -> clap::Error {
    let shown = args.iter().map(|arg| weir_proto::visible(&arg.to_string_lossy()).into_owned());
    commands::Program::try_parse_from(shown).err().unwrap_or(error)
}

fn failed(error: &Error) -> Exit {
    if !matches!(error, Error::BrokenPipe) {
        output::report(error.lines());
    }
    error.exit()
}
