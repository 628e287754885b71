//! What the program says about itself, on standard error.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use weir_proto::log::{Form, Spelled};

use crate::Error;

/// The settings of the program's log.
#[derive(Debug, Clone, Args)]
pub struct Logging {
    /// What to log: a level, or levels by module as `info,weir_data_plane=debug`; of libraries their errors, and more
    /// where they are named
    #[arg(long, env = "WEIR_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// How to write it
    #[arg(long, env = "WEIR_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

impl Logging {
    /// Starts the log of this process. Fails on a filter that cannot be read.
    pub fn start(&self) -> Result<(), Error> {
        let filter = EnvFilter::try_new(weir_proto::log::filter(&self.log)).map_err(|e| Error::Setting {
            name: "--log",
            reason: format!("{e}; as info or info,weir_data_plane=debug"),
        })?;
        let colored = std::io::stderr().is_terminal();
        let form = match self.log_format {
            LogFormat::Json => Form::Json,
            LogFormat::Text if colored => Form::Colored,
            LogFormat::Text => Form::Plain,
        };
        let writer = move || Spelled::new(std::io::stderr(), form);
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colored);
        // To say that nobody reads the log any more would be a panic in whatever task has something to log.
        let lines = lines.log_internal_errors(false);
        match self.log_format {
            LogFormat::Text => lines.init(),
            LogFormat::Json => lines.json().init(),
        }
        Ok(())
    }
}
