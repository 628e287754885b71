//! Weir's data plane: a proxy that balances HTTP traffic by a configuration that it keeps whole in memory.
//!
//! [`Listeners::bind`] opens the sockets of the start, [`serve`] runs the proxy on them until it is told to stop.

mod access_log;
mod admin;
mod admission;
mod alarm;
mod answer;
mod balance;
mod body;
mod buffer;
mod config;
mod counters;
mod deadline;
mod descriptors;
mod discovery;
mod downstream;
mod endpoint;
mod error;
mod exchange;
mod explain;
mod grpc;
mod headers;
mod health;
mod http1;
mod http2;
mod identity;
mod last_good;
mod lifecycle;
mod listener;
mod listeners;
mod live;
mod logging;
mod memory;
mod message;
mod metrics;
mod moment;
mod objects;
mod padded;
mod proxy;
mod reason;
mod reply;
mod retry;
mod router;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
mod splice;
mod stream;
mod table;
#[cfg(test)]
mod testing;
mod tls;
mod upgrade;
mod upstream;
mod worker;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub use balance::bench;
pub use config::{AccessLogTarget, Config, Listen, MaxMemory};
pub use error::Error;
pub use lifecycle::serve;
pub use listeners::Listeners;
pub use logging::{LogFormat, Logging};
pub use memory::in_small_pages;
