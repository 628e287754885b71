//! Weir's data plane: a proxy that balances HTTP traffic by a configuration that it keeps whole in memory.

mod balance;
mod config;
mod discovery;
mod endpoint;
mod error;
mod identity;
mod last_good;
mod listeners;
mod logging;
mod metrics;
mod objects;
mod padded;
mod router;
mod table;
#[cfg(test)]
mod testing;

pub use config::{AccessLogTarget, Config, Listen};
pub use error::Error;
pub use logging::{LogFormat, Logging};
