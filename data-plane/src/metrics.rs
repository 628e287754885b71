//! What `/metrics` shows.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// What becomes of the configuration on its way from the control plane into force. Cheap to clone: all share one count.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigMetrics {
    pub(crate) epoch: Gauge<u64, AtomicU64>,
    pub(crate) revision: Gauge<u64, AtomicU64>,
    pub(crate) refused: Gauge<u64, AtomicU64>,
    pub(crate) connected: Gauge,
    pub(crate) connects: Counter,
    pub(crate) connect_failures: Counter,
    pub(crate) resyncs: Counter,
    pub(crate) ignored_older: Counter,
    pub(crate) kept_out_epochs: Counter,
    pub(crate) last_good_writes: Counter,
    pub(crate) last_good_failures: Counter,
}
