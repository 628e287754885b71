//! The one harness of the end-to-end tests and benches: clusters, backends, clients, processes.
//!
//! Everything listens on ports that the system chooses, ends when it is dropped, and waits for conditions with a
//! deadline. It reports what goes wrong by panicking, as tests do.
#![expect(clippy::missing_panics_doc, reason = "a harness reports by panicking")]

mod api;
mod backend;
mod client;
mod cluster;
mod daemons;
mod events;
mod load;
mod port;
mod process;
mod recorder;
mod scripted;
mod wait;
mod wire;

pub use api::{Api, Heartbeats};
pub use backend::{Backend, Behaviour, Request};
pub use client::{Client, Response, get};
pub use cluster::{Builder, Cluster, Proxy};
pub use daemons::Daemons;
pub use events::Events;
pub use load::{Load, Outcome};
pub use port::Port;
pub use process::{Process, Signal};
pub use recorder::{Received, Recorder};
pub use scripted::Scripted;
pub use wait::{PATIENCE, at_once, until};
pub use wire::{End, Head, Wire};
