//! Requests through real sockets: raw clients, two workers, raw backends.

mod attacks;
mod breakers;
mod closing;
mod connections;
mod deadlines;
mod failures;
mod faults;
mod harness;
mod hedging;
mod http2;
mod limited;
mod mirroring;
mod posts;
mod refusals;
mod relaying;
mod replay;
mod retries;
mod scripts;
mod sizes;
mod stale;
mod stalls;
mod tables;
mod tiers;
mod upgrades;
mod uploads;
