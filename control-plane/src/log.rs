//! The log of the process, on standard error.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt};
use weir_control_plane::{Config, Error, LogFormat};
use weir_proto::log::{Form, Spelled};

/// Starts logging as the settings say; colours are for a terminal alone.
pub(crate) fn start(config: &Config) -> Result<(), Error> {
    let filter = EnvFilter::try_new(weir_proto::log::filter(&config.log))
        .map_err(|e| Error::Config(format!("--log: {e}")))?;
    let colored = stderr().is_terminal();
    let form = match config.log_format {
        LogFormat::Json => Form::Json,
        LogFormat::Text if colored => Form::Colored,
        LogFormat::Text => Form::Plain,
    };
    let writer = move || Spelled::new(stderr(), form);
    let log = fmt().with_env_filter(filter).with_writer(writer).with_ansi(colored);
    // To say that nobody reads the log any more would be a panic in whatever task has something to log.
    let log = log.log_internal_errors(false);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
