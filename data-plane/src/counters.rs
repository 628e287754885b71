//! What happened, counted where it happened: each worker has its own counters, which are summed when they are read.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::time::Duration;

use crate::reason::Reason;

/// Workers beyond this share counters; a worker needs no more than a processor, and counting stays right.
const SLOTS: usize = 64;

/// Upper bounds of the buckets of request durations; the last bucket has none.
pub(crate) const DURATION_BUCKETS: [Duration; 14] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Grows only. Relaxed: sums are read while they grow.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// By the thread that it belongs to, and no other: what is read stays true until it is written.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker counts, apart from services.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerCounters {
    /// Connections from clients that were accepted; those that have ended.
    pub(crate) connections_opened: Count,
    pub(crate) connections_closed: Count,
    /// Closed right after they were accepted, because the listener had as many as it may.
    pub(crate) connections_refused: Count,
    /// Connections to backends that stood; those that have ended.
    pub(crate) upstream_opened: Count,
    pub(crate) upstream_closed: Count,
    /// Connections that were ended because their backend, or their client, made work without asking or answering.
    pub(crate) upstream_floods: Count,
    pub(crate) floods: Count,
    /// Requests that went out on a connection that had served one before.
    pub(crate) upstream_reused: Count,
    pub(crate) upstream_stale: Count,
    /// Requests whose head was received; those that have ended. Tunnels are requests that have not ended.
    pub(crate) requests_started: Count,
    pub(crate) requests_ended: Count,
    /// Attempts after the first, hedges too.
    pub(crate) retries: Count,
    /// Copies of requests that were sent to other services.
    pub(crate) mirrored: Count,
    /// Bytes read from and written to clients, heads included.
    pub(crate) bytes_received: Count,
    pub(crate) bytes_sent: Count,
    /// Fields that posed as others by `_` for `-`, and went no further.
    pub(crate) aliases_dropped: Count,
    /// Handshakes of clients that failed.
    pub(crate) tls_failures: Count,
    /// Requests that ended in a panic.
    pub(crate) panics: Count,
    /// Lines of the access log that found no room.
    pub(crate) access_log_dropped: Count,
    /// Outcomes of requests that never got as far as a service.
    pub(crate) unrouted: Outcomes,
}

/// The sum of all workers' counters.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct WorkerSums {
    pub(crate) connections_opened: u64,
    pub(crate) connections_open: u64,
    pub(crate) connections_refused: u64,
    pub(crate) upstream_opened: u64,
    pub(crate) upstream_open: u64,
    pub(crate) upstream_floods: u64,
    pub(crate) floods: u64,
    pub(crate) upstream_reused: u64,
    pub(crate) upstream_stale: u64,
    pub(crate) in_flight: u64,
    pub(crate) retries: u64,
    pub(crate) mirrored: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) aliases_dropped: u64,
    pub(crate) tls_failures: u64,
    pub(crate) panics: u64,
    pub(crate) access_log_dropped: u64,
    pub(crate) unrouted: OutcomeSums,
}

/// How requests ended.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// Requests that were routed to it, whether they have ended or not.
    pub(crate) started: Count,
    /// Relayed, by class of status: 1xx to 5xx.
    relayed: [Count; 5],
    /// Ended by ourselves, by `Reason as usize`.
    reasons: Box<[Count]>,
    /// By `DURATION_BUCKETS`, and the rest.
    durations: [Count; DURATION_BUCKETS.len() + 1],
    duration_micros: Count,
}

/// The sum of the outcomes at all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutcomeSums {
    /// 1xx to 5xx.
    pub(crate) relayed: [u64; 5],
    /// By `Reason as usize`; `Reason::Ok` is always 0 here, see `relayed`.
    pub(crate) reasons: Vec<u64>,
    /// Not cumulated: each request is in one bucket.
    pub(crate) durations: [u64; DURATION_BUCKETS.len() + 1],
    pub(crate) duration_micros: u64,
}

/// The outcomes of one service at each worker. Room is made for a worker when it first serves the service.
#[derive(Debug)]
pub(crate) struct ServiceCounters {
    slots: Box<[OnceLock<Box<Outcomes>>]>,
}

impl WorkerCounters {
    pub(crate) fn sum<'a>(all: impl IntoIterator<Item = &'a WorkerCounters>) -> WorkerSums {
        let mut sum = WorkerSums::default();
        for one in all {
            // The ends are read first, so that a difference is never below 0.
            let (closed, upstream_closed) = (one.connections_closed.get(), one.upstream_closed.get());
            let ended = one.requests_ended.get();
            sum.connections_opened += one.connections_opened.get();
            sum.connections_open += one.connections_opened.get() - closed;
            sum.connections_refused += one.connections_refused.get();
            sum.upstream_opened += one.upstream_opened.get();
            sum.upstream_open += one.upstream_opened.get() - upstream_closed;
            sum.upstream_floods += one.upstream_floods.get();
            sum.floods += one.floods.get();
            sum.upstream_reused += one.upstream_reused.get();
            sum.upstream_stale += one.upstream_stale.get();
            sum.in_flight += one.requests_started.get().saturating_sub(ended);
            sum.retries += one.retries.get();
            sum.mirrored += one.mirrored.get();
            sum.bytes_received += one.bytes_received.get();
            sum.bytes_sent += one.bytes_sent.get();
            sum.aliases_dropped += one.aliases_dropped.get();
            sum.tls_failures += one.tls_failures.get();
            sum.panics += one.panics.get();
            sum.access_log_dropped += one.access_log_dropped.get();
            sum.unrouted.add(&one.unrouted);
        }
        sum
    }
}

impl Outcomes {
    /// `status` is the backend's, if `reason` is `Ok`.
    pub(crate) fn count(&self, reason: Reason, status: u16, took: Duration) {
        match reason {
            Reason::Ok => self.relayed[usize::from(status / 100).clamp(1, 5) - 1].add(1),
            reason => self.reasons[reason as usize].add(1),
        }
        self.durations[DURATION_BUCKETS.partition_point(|bound| *bound < took)].add(1);
        self.duration_micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

impl OutcomeSums {
    fn add(&mut self, outcomes: &Outcomes) {
        let add = |sums: &mut [u64], counts: &[Count]| {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count.get();
            }
        };
        add(&mut self.relayed, &outcomes.relayed);
        add(&mut self.reasons, &outcomes.reasons);
        add(&mut self.durations, &outcomes.durations);
        self.duration_micros += outcomes.duration_micros.get();
    }
}

impl ServiceCounters {
    /// Where the worker of this number counts.
    pub(crate) fn at(&self, worker: usize) -> &Outcomes {
        self.slots[worker % SLOTS].get_or_init(Box::default)
    }

    /// Requests that were routed to the service.
    pub(crate) fn started(&self) -> u64 {
        self.slots.iter().filter_map(OnceLock::get).map(|outcomes| outcomes.started.get()).sum()
    }

    pub(crate) fn sum(&self) -> OutcomeSums {
        let mut sum = OutcomeSums::default();
        for outcomes in self.slots.iter().filter_map(OnceLock::get) {
            sum.add(outcomes);
        }
        sum
    }
}

impl Default for Outcomes {
    fn default() -> Self {
        Self {
            started: Count::default(),
            relayed: Default::default(),
            reasons: Reason::ALL.iter().map(|_| Count::default()).collect(),
            durations: Default::default(),
            duration_micros: Count::default(),
        }
    }
}

impl Default for OutcomeSums {
    fn default() -> Self {
        Self {
            relayed: Default::default(),
            reasons: vec![0; Reason::ALL.len()],
            durations: Default::default(),
            duration_micros: 0,
        }
    }
}

impl Default for ServiceCounters {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| OnceLock::new()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_all_workers_are_summed() {
        let counters = ServiceCounters::default();
        counters.at(0).count(Reason::Ok, 204, Duration::from_millis(1));
        counters.at(1).count(Reason::Ok, 503, Duration::from_millis(2));
        counters.at(SLOTS).count(Reason::ConnectRefused, 502, Duration::from_mins(1));
        let sum = counters.sum();
        assert_eq!(sum.relayed, [0, 1, 0, 0, 1]);
        assert_eq!(sum.reasons[Reason::ConnectRefused as usize], 1);
        assert_eq!((sum.durations[1], sum.durations[2], sum.durations[14]), (1, 1, 1));
        assert_eq!(sum.duration_micros, 60_003_000);
    }
}
