//! Weir's control plane: the one registry of services, backends and routes, and its way to the proxies.
//!
//! [`Listeners::bind`] takes the sockets, [`serve`] is the program; `main.rs` adds flags, log and signals.

mod address_policy;
mod admin;
mod backup;
mod caller;
mod config;
mod descriptors;
mod dns;
mod drain;
mod error;
mod events;
mod fleet;
mod grpc;
mod incoming;
mod journal;
mod lease;
mod listeners;
mod metrics;
mod publish;
mod registry;
mod rpc;
mod serve;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
mod snapshot;
mod store;

pub use backup::{Restore, restore};
pub use config::{Config, LeaseConfig, LogFormat};
pub use dns::{Dns, DnsDomain};
pub use error::{Error, Fault};
pub use listeners::Listeners;
pub use serve::serve;
