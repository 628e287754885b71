//! Requests through real sockets: raw clients, two workers, raw backends.

mod attacks;
mod connections;
mod failures;
mod harness;
mod http2;
mod refusals;
mod relaying;
mod tables;
mod tiers;
mod upgrades;
mod uploads;
