//! The log of the process, on standard error.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt};
use weir_control_plane::{Config, Error, LogFormat};

/// Starts logging as the settings say; colours are for a terminal alone.
pub(crate) fn start(config: &Config) -> Result<(), Error> {
    let filter = EnvFilter::try_new(weir_proto::log::filter(&config.log))
        .map_err(|e| Error::Config(format!("--log: {e}")))?;
    let log = fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal());
    // To say that nobody reads the log any more would be a panic in whatever task has something to log.
    let log = log.log_internal_errors(false);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
