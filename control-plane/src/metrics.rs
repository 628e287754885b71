//! What the control plane counts. Each counter is bumped where the thing happens; what is a state and not a count is
//! read off that state when somebody asks for `/metrics` (`admin.rs`).

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::Error;

/// One label with a value out of a fixed set, so that the number of series is bounded.
pub(crate) type Label = [(&'static str, &'static str); 1];

/// The counters, cheap to clone: all clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Backends that were registered, anew or changed.
    pub registrations: Counter,
    /// Backends that were removed because somebody said so.
    pub deregistrations: Counter,
    /// Drains that ended, by `outcome`: `removed`, `enabled` (somebody took it back), `timed_out` or `given_up` (by who
    /// asked for it, or because the control plane stopped).
    pub drains: Family<Label, Counter>,
    /// Leases that were not renewed in time, by `cause`: `silence`, `unhealthy` (it was overdue, and no proxy found its
    /// backend healthy) or `max_hold` (it was held as long as any is).
    pub expiries: Family<Label, Counter>,
    /// Leases that were due and did not expire, each counted once, by `reason`: `service_cap`, `fleet_cap`,
    /// `self_preservation` or `last_backend`.
    pub held_leases: Family<Label, Counter>,
    /// Registrations that were refused because the backend comes and goes too often.
    pub held_back: Counter,
    /// Leases that heartbeats renewed.
    pub heartbeats: Counter,
    /// Leases that heartbeats named and nobody knows.
    pub unknown_leases: Counter,
    /// How long one transaction of the store takes, to the disk and back.
    pub store_commit: Histogram,
    /// Records of refused changes that could not be kept.
    pub audit_dropped: Counter,
    /// Changes that went into one transaction.
    pub batch_size: Histogram,
    /// States that were published to the proxies.
    pub publishes: Counter,
    /// The encoded size of what was published.
    pub delta_bytes: Histogram,
    /// Bytes of configuration that were handed to discovery streams, by `form`: `delta` or `snapshot`.
    pub sent_bytes: Family<Label, Counter>,
    /// Snapshots that a proxy needed although it had something, by `reason`: `digest` or `requested`.
    pub resyncs: Family<Label, Counter>,
    /// Snapshots that were encoded, each for all who needed one at about the same time.
    pub encoded_snapshots: Counter,
    /// Proxies that needed a snapshot and were told to come back later.
    pub put_off: Counter,
    /// Proxies that need a snapshot, by `state`: `sending` or `waiting` (in line, because they have nothing).
    pub resync_places: Family<Label, Gauge>,
    /// Objects that proxies named as refused, counted once for each acknowledgement that adds one.
    pub refused_objects: Counter,
    /// Changes of backends' conditions that were too many to be told one by one.
    pub untold_conditions: Counter,
    /// Open streams, by `call`.
    pub streams: Family<Label, Gauge>,
    /// DNS answers, by `type` of the question and `code` of the answer.
    pub dns_answers: Family<[(&'static str, &'static str); 2], Counter>,
    /// DNS messages that have no answer, by `reason`: `malformed`, `response`, `not_encoded` or `not_sent`.
    pub dns_dropped: Family<Label, Counter>,
    /// Open TCP connections for DNS.
    pub dns_connections: Gauge,
}

impl Metrics {
    /// Fresh counters, all of them known to `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            registrations: Counter::default(),
            deregistrations: Counter::default(),
            drains: Family::default(),
            expiries: Family::default(),
            held_leases: Family::default(),
            held_back: Counter::default(),
            heartbeats: Counter::default(),
            unknown_leases: Counter::default(),
            // 100 µs (a page in memory) to 3 s (a disk in distress).
            store_commit: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            audit_dropped: Counter::default(),
            batch_size: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            publishes: Counter::default(),
            delta_bytes: Histogram::new(exponential_buckets(64.0, 4.0, 10)),
            sent_bytes: Family::default(),
            resyncs: Family::default(),
            encoded_snapshots: Counter::default(),
            put_off: Counter::default(),
            resync_places: Family::default(),
            refused_objects: Counter::default(),
            untold_conditions: Counter::default(),
            streams: Family::default(),
            dns_answers: Family::default(),
            dns_dropped: Family::default(),
            dns_connections: Gauge::default(),
        };
        metrics.describe(registry);
        metrics
    }

    fn describe(&self, to: &mut Registry) {
        to.register("registrations", "Backends registered, anew or changed", self.registrations.clone());
        to.register("deregistrations", "Backends removed on request", self.deregistrations.clone());
        to.register("drains", "Drains that ended", self.drains.clone());
        to.register("lease_expiries", "Leases not renewed in time", self.expiries.clone());
        to.register("held_leases", "Leases that were due and held", self.held_leases.clone());
        to.register("held_back_registrations", "Registrations put off", self.held_back.clone());
        to.register("heartbeats", "Leases renewed by heartbeats", self.heartbeats.clone());
        to.register("unknown_leases", "Leases in heartbeats that nobody knows", self.unknown_leases.clone());
        to.register_with_unit(
            "store_commit",
            "One transaction of the store, synced",
            Unit::Seconds,
            self.store_commit.clone(),
        );
        let dropped = self.audit_dropped.clone();
        to.register("audit_records_dropped", "Records of refused changes that could not be kept", dropped);
        to.register("store_batch_size", "Changes in one transaction", self.batch_size.clone());
        to.register("publishes", "States published to the proxies", self.publishes.clone());
        to.register_with_unit(
            "published_delta",
            "Encoded size of a published change",
            Unit::Bytes,
            self.delta_bytes.clone(),
        );
        to.register_with_unit(
            "sent",
            "Configuration handed to discovery streams",
            Unit::Bytes,
            self.sent_bytes.clone(),
        );
        to.register("resyncs", "Snapshots sent again to proxies", self.resyncs.clone());
        to.register("encoded_snapshots", "Snapshots encoded, each for many", self.encoded_snapshots.clone());
        to.register("put_off_proxies", "Proxies told to come back for a snapshot", self.put_off.clone());
        to.register("resync_places", "Proxies that need a snapshot", self.resync_places.clone());
        to.register("refused_objects", "Objects newly refused by a proxy", self.refused_objects.clone());
        let untold = self.untold_conditions.clone();
        to.register("untold_condition_changes", "Changes of backends' conditions without an event", untold);
        to.register("streams", "Open streams", self.streams.clone());
        to.register("dns_answers", "DNS answers", self.dns_answers.clone());
        to.register("dns_dropped", "DNS messages without an answer", self.dns_dropped.clone());
        to.register("dns_connections", "Open TCP connections for DNS", self.dns_connections.clone());
    }

    /// Counts a stream as open until the answer is dropped.
    pub(crate) fn open_stream(&self, call: &'static str) -> OpenStream {
        let gauge = self.streams.get_or_create_owned(&[("call", call)]);
        gauge.inc();
        OpenStream(gauge)
    }

    /// The same, if there are no more than `most` with it.
    pub(crate) fn open_stream_of(&self, call: &'static str, most: usize) -> Result<OpenStream, Error> {
        let open = self.open_stream(call);
        let is_room = usize::try_from(open.0.get()).is_ok_and(|streams| streams <= most);
        is_room.then_some(open).ok_or(Error::TooMany { what: "streams of that kind", most })
    }
}

/// What is a state and not a count: set from that state when somebody asks.
#[derive(Debug)]
pub(crate) struct Gauges {
    pub revision: Gauge<u64, AtomicU64>,
    /// By `kind`.
    pub objects: Family<Label, Gauge>,
    pub live_leases: Gauge,
    /// Leases that are due and held.
    pub overdue_leases: Gauge,
    /// 1 while it is on.
    pub self_preservation: Gauge,
    pub held_back_backends: Gauge,
    pub connected_proxies: Gauge,
    pub proxies_behind: Gauge,
    /// Proxies that keep out what the store has, by `reason`: `other_epoch`, `shrinks`, `ahead` or `fork`.
    pub kept_out_proxies: Family<Label, Gauge>,
    /// Backends as connected proxies find them, added up over the proxies, by `condition`.
    pub conditions: Family<Label, Gauge>,
}

impl Gauges {
    /// Fresh gauges, all of them known to `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let gauges = Self {
            revision: Gauge::default(),
            objects: Family::default(),
            live_leases: Gauge::default(),
            overdue_leases: Gauge::default(),
            self_preservation: Gauge::default(),
            held_back_backends: Gauge::default(),
            connected_proxies: Gauge::default(),
            proxies_behind: Gauge::default(),
            kept_out_proxies: Family::default(),
            conditions: Family::default(),
        };
        registry.register("revision", "The newest durable revision", gauges.revision.clone());
        registry.register("objects", "Objects in the configuration", gauges.objects.clone());
        registry.register("live_leases", "Leases that live", gauges.live_leases.clone());
        registry.register("overdue_leases", "Leases that are due and held", gauges.overdue_leases.clone());
        let preservation = gauges.self_preservation.clone();
        registry.register("self_preservation", "1 while too many renewals are missing", preservation);
        let held_back = gauges.held_back_backends.clone();
        registry.register("held_back_backends", "Backends that come and go too often", held_back);
        let connected = gauges.connected_proxies.clone();
        registry.register("connected_proxies", "Proxies with a stream", connected);
        let behind = gauges.proxies_behind.clone();
        registry.register("proxies_behind", "Connected proxies behind the published revision", behind);
        let kept_out = gauges.kept_out_proxies.clone();
        registry.register("kept_out_proxies", "Proxies that keep out what the store has", kept_out);
        let conditions = gauges.conditions.clone();
        registry.register("backend_conditions", "Backends in trouble, counted by each proxy", conditions);
        gauges
    }
}

/// A stream that is counted as open.
#[derive(Debug)]
pub(crate) struct OpenStream(Gauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
impl Default for Metrics {
    /// Counters that nobody reads out.
    fn default() -> Self {
        Self::new(&mut Registry::default())
    }
}
