//! The control plane from outside: a whole one in this process, spoken to over its sockets.

mod admin;
mod discovery;
mod errors;
mod harness;
mod history;
mod holds;
mod http;
mod lifecycle;
mod outcomes;
mod registry;
mod silence;
mod storm;
