//! What `/metrics` shows: what becomes of the configuration (counted here), and of requests (`metrics/traffic.rs`).

mod backends;
mod limits;
mod tls;
mod traffic;

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

pub(crate) use self::{backends::Backends, limits::LimitsInUse, tls::Tls, traffic::Traffic};

/// What becomes of the configuration on its way from the control plane into force. All clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigMetrics {
    pub(crate) revision: Gauge<u64, AtomicU64>,
    pub(crate) refused: Gauge<u64, AtomicU64>,
    pub(crate) open_listeners: Gauge<u64, AtomicU64>,
    pub(crate) lookup_table_bytes: Gauge<u64, AtomicU64>,
    pub(crate) lookup_table_max_bytes: Gauge<u64, AtomicU64>,
    pub(crate) connected: Gauge,
    pub(crate) connects: Counter,
    pub(crate) connect_failures: Counter,
    pub(crate) resyncs: Counter,
    pub(crate) beyond_bounds: Counter,
    pub(crate) ignored_older: Counter,
    pub(crate) kept_out_epochs: Counter,
    pub(crate) last_good_writes: Counter,
    pub(crate) last_good_failures: Counter,
    pub(crate) last_good_failing: Gauge,
}

impl ConfigMetrics {
    /// Makes them known to those who ask.
    pub(crate) fn describe(&self, to: &mut Registry) {
        to.register("config_revision", "Revision in force, 0 before the first", self.revision.clone());
        to.register("config_refused_objects", "Objects that keep their previous form", self.refused.clone());
        to.register(
            "open_listeners",
            "Addresses that traffic is accepted on; without one the proxy is not ready",
            self.open_listeners.clone(),
        );
        to.register(
            "lookup_table_bytes",
            "Memory of rings, Maglev's tables and the keys of rate limits",
            self.lookup_table_bytes.clone(),
        );
        to.register(
            "lookup_table_max_bytes",
            "How much there may be in all",
            self.lookup_table_max_bytes.clone(),
        );
        to.register("control_plane_connected", "1 while a stream is open", self.connected.clone());
        to.register("control_plane_connects", "Streams opened", self.connects.clone());
        to.register(
            "control_plane_connect_failures",
            "Attempts that opened no stream",
            self.connect_failures.clone(),
        );
        to.register("config_resyncs", "Whole snapshots asked for", self.resyncs.clone());
        to.register(
            "config_beyond_bounds",
            "Configurations that are larger, or took longer, than this proxy takes",
            self.beyond_bounds.clone(),
        );
        to.register("config_ignored_older", "Revisions ignored as older", self.ignored_older.clone());
        to.register(
            "config_kept_out_epochs",
            "States that were kept out: of another epoch and lacking too much, or of another history",
            self.kept_out_epochs.clone(),
        );
        to.register("last_good_writes", "Copies written to disk", self.last_good_writes.clone());
        to.register(
            "last_good_failures",
            "Copies that could not be written",
            self.last_good_failures.clone(),
        );
        to.register(
            "last_good_failing",
            "1 while what is in force could not be written to disk",
            self.last_good_failing.clone(),
        );
    }
}
