//! How many requests a service can have in flight, found from how long they take: the gradient controller of Envoy's
//! adaptive concurrency filter, after Netflix's concurrency-limits ("Performance Under Load", 2018).
//!
//! From time to time the limit goes down to the least for a moment, which shows how long a request takes that waits for
//! nobody. At other times the limit grows while requests take about that long, and shrinks in proportion when they take
//! longer.

mod latencies;
#[cfg(test)]
mod tests;

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use tokio::time::Duration;
use weir_proto::AdaptiveConcurrency;

use self::latencies::Latencies;
use crate::{
    moment::{Moment, nanos},
    padded::Padded,
};

/// Updates in a row at the least limit, after which the ideal is doubted: perhaps the service has become slower.
const DOUBTS: u32 = 5;
/// A measurement that has not got all its samples by then is content with `FEW`: the limit is low while it lasts. (Envoy
/// waits for ever.)
const PATIENCE: Duration = Duration::from_secs(1);
const FEW: u32 = 5;
/// The time between measurements is longer by up to this share, so that proxies do not all measure at once.
const JITTER: f64 = 0.15;

/// The limit of one service at this proxy. Requests read `limit` and count in `latencies`; the rest is for `update`,
/// which one task calls.
#[derive(Debug)]
pub(crate) struct Adaptive {
    settings: AdaptiveConcurrency,
    limit: Padded<AtomicU32>,
    phase: AtomicU32,
    /// Samples of requests that began before this do not count.
    began: AtomicU64,
    /// Samples of a measurement.
    measured: Padded<AtomicU32>,
    latencies: Latencies,
    /// The limit after the measurement.
    resumed: AtomicU32,
    /// The ideal latency, in nanoseconds; 0 before the first measurement.
    ideal: AtomicU64,
    next_update: AtomicU64,
    next_measurement: AtomicU64,
    /// Updates in a row that left it at the least.
    at_least: AtomicU32,
}

/// Latencies move the limit.
const FOLLOWING: u32 = 0;
/// The limit is the least, and the ideal latency is being found.
const MEASURING: u32 = 1;
/// There are enough samples.
const MEASURED: u32 = 2;

impl Adaptive {
    /// Begins with a measurement, and so with the least limit; but with what `previous` had found, where the settings of
    /// a service changed.
    pub(crate) fn new(settings: AdaptiveConcurrency, previous: Option<&Self>, now: Moment) -> Self {
        let kept = previous.map_or(settings.min_limit, |previous| previous.resumed.load(Relaxed));
        let limit = kept.clamp(settings.min_limit, settings.max_limit);
        let ideal = previous.map_or(0, |previous| previous.ideal.load(Relaxed));
        let adaptive = Self {
            settings,
            limit: Padded(AtomicU32::new(limit)),
            phase: AtomicU32::new(FOLLOWING),
            began: AtomicU64::new(now.as_nanos()),
            measured: Padded::default(),
            latencies: Latencies::default(),
            resumed: AtomicU32::new(limit),
            ideal: AtomicU64::new(ideal),
            next_update: AtomicU64::new(now.plus(settings.update_interval).as_nanos()),
            next_measurement: AtomicU64::new(0),
            at_least: AtomicU32::new(0),
        };
        adaptive.plan_measurement(now);
        if ideal == 0 {
            adaptive.measure(now);
        }
        adaptive
    }

    pub(crate) fn settings(&self) -> &AdaptiveConcurrency {
        &self.settings
    }

    /// Requests that may be in flight now.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// The ideal latency, once it is known.
    pub(crate) fn ideal(&self) -> Option<Duration> {
        Some(self.ideal.load(Relaxed)).filter(|ideal| *ideal > 0).map(Duration::from_nanos)
    }

    /// Whether the limit is the least because the ideal latency is being found.
    #[cfg(test)]
    fn is_measuring(&self) -> bool {
        self.phase.load(Relaxed) == MEASURING
    }

    /// A backend has answered, in the time that it `took` since the request was sent. Not for failures: they are fast.
    /// Whether the limit has grown, so that those who wait are to be called.
    #[must_use]
    pub(crate) fn sample(&self, took: Duration, now: Moment) -> bool {
        // What was sent before a measurement began waited for others.
        if now.since(Moment::from_nanos(self.began.load(Relaxed))) < took {
            return false;
        }
        match self.phase.load(Acquire) {
            FOLLOWING => self.latencies.count(took),
            MEASURING => {
                let earlier = self.measured.fetch_add(1, Relaxed);
                if earlier < self.settings.min_rtt_samples {
                    self.latencies.count(took);
                }
                if earlier.saturating_add(1) == self.settings.min_rtt_samples {
                    self.limit.store(self.resumed.load(Relaxed), Relaxed);
                    self.phase.store(MEASURED, Release);
                    return true;
                }
            }
            _ => {}
        }
        false
    }

    /// Follows the latencies, if `update_interval` is over. Whether the limit has grown, so that those who wait are to be
    /// called.
    #[must_use]
    pub(crate) fn update(&self, now: Moment) -> bool {
        if now.as_nanos() < self.next_update.load(Relaxed) {
            return false;
        }
        self.next_update.store(now.plus(self.settings.update_interval).as_nanos(), Relaxed);
        let before = self.limit();
        match self.phase.load(Acquire) {
            FOLLOWING => self.follow(now),
            MEASURING if !self.is_content(now) => {}
            _ => self.conclude(now),
        }
        self.limit() > before
    }

    /// When `update` has something to do.
    #[cfg(test)]
    fn next_update(&self) -> Moment {
        Moment::from_nanos(self.next_update.load(Relaxed))
    }

    fn follow(&self, now: Moment) {
        let (least, most) = (self.settings.min_limit, self.settings.max_limit);
        if let Some(took) = self.latencies.take(self.settings.sample_percentile) {
            let ideal = Duration::from_nanos(self.ideal.load(Relaxed));
            let limit = next(self.limit(), ideal, took, self.settings.buffer_percent).clamp(least, most);
            self.limit.store(limit, Relaxed);
            self.resumed.store(limit, Relaxed);
            let at_least = if limit == least { self.at_least.load(Relaxed).saturating_add(1) } else { 0 };
            self.at_least.store(at_least, Relaxed);
        }
        let doubted = self.at_least.load(Relaxed) >= DOUBTS;
        if doubted || now.as_nanos() >= self.next_measurement.load(Relaxed) {
            self.measure(now);
        }
    }

    fn measure(&self, now: Moment) {
        self.latencies.take(100);
        self.measured.store(0, Relaxed);
        self.began.store(now.as_nanos(), Relaxed);
        self.limit.store(self.settings.min_limit, Relaxed);
        self.phase.store(MEASURING, Release);
    }

    /// Whether a measurement that lacks samples has taken long enough.
    fn is_content(&self, now: Moment) -> bool {
        let lasted = now.since(Moment::from_nanos(self.began.load(Relaxed)));
        lasted >= PATIENCE && self.measured.load(Relaxed) >= FEW.min(self.settings.min_rtt_samples)
    }

    fn conclude(&self, now: Moment) {
        if let Some(found) = self.latencies.take(self.settings.sample_percentile) {
            let (found, known) = (nanos(found), self.ideal.load(Relaxed));
            let doubted = self.at_least.swap(0, Relaxed) >= DOUBTS;
            // Half of what was known: few samples are easily wrong by a fifth. (Envoy forgets it all.)
            let ideal = if known == 0 || doubted { found } else { u64::midpoint(known, found) };
            self.ideal.store(ideal, Relaxed);
        }
        self.plan_measurement(now);
        self.limit.store(self.resumed.load(Relaxed), Relaxed);
        self.phase.store(FOLLOWING, Release);
    }

    fn plan_measurement(&self, now: Moment) {
        let pause = self.settings.min_rtt_interval.mul_f64(1.0 + JITTER * fastrand::f64());
        self.next_measurement.store(now.plus(pause).as_nanos(), Relaxed);
    }
}

/// The gradient is the ideal latency, with its buffer, in relation to the one that was met. It never changes the limit to
/// less than half or more than twice; what is added is room for a queue, without which the limit would never grow.
fn next(limit: u32, ideal: Duration, took: Duration, buffer_percent: u32) -> u32 {
    let allowed = ideal.as_secs_f64() * (1.0 + f64::from(buffer_percent) / 100.0);
    let gradient = (allowed / took.as_secs_f64().max(1e-9)).clamp(0.5, 2.0);
    let limit = f64::from(limit) * gradient;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and is never negative"
    )]
    let next = (limit + limit.sqrt()) as u32;
    next
}
