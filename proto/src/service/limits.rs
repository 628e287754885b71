//! What a service may have under way: `CircuitBreakers`, `AdaptiveConcurrency` and `RateLimit` in `config.proto`.

use std::{sync::Arc, time::Duration};

use super::{DAY, hash_key::always_true};
use crate::{
    Invalid,
    bounds::{bounded, list, number},
    duration::from_wire,
    field, v1,
};

/// The most limits of one service or route.
const MAX_RATE_LIMITS: usize = 16;
const MILLION: u32 = 1_000_000;

/// Bounds on what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitBreakers {
    /// Requests in flight to the service.
    pub max_requests: u32,
    /// Requests that wait for room.
    pub max_pending_requests: u32,
    /// How long one may wait.
    pub queue_timeout: Duration,
    /// Requests in flight to one backend.
    pub max_requests_per_backend: u32,
    /// Connections to one backend.
    pub max_connections_per_backend: u32,
    /// Failures in a row that open the circuit; 0 is never.
    pub consecutive_failures: u32,
    /// How long it stays open before one request is let through.
    pub open_time: Duration,
    /// How long a client may take nothing while others wait for what its request holds.
    pub stall_grace: Duration,
    /// Requests of one client address, in flight and waiting; 0 is any number.
    pub max_requests_per_client: u32,
}

/// How the number of requests in flight is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveConcurrency {
    /// The least limit.
    pub min_limit: u32,
    /// The most.
    pub max_limit: u32,
    /// Of the latencies that are compared.
    pub sample_percentile: u32,
    /// How often the limit follows.
    pub update_interval: Duration,
    /// How often the ideal latency is measured anew.
    pub min_rtt_interval: Duration,
    /// Over so many requests.
    pub min_rtt_samples: u32,
    /// Percent of latency above the ideal that is no sign of load.
    pub buffer_percent: u32,
}

/// So many requests in a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// In each `per`.
    pub requests: u32,
    /// The time.
    pub per: Duration,
    /// At once after a quiet time.
    pub burst: u32,
    /// What is counted together.
    pub key: RateLimitKey,
    /// Keys that are remembered.
    pub max_keys: u32,
}

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RateLimitKey {
    /// Everything.
    #[default]
    All,
    /// What comes from one address; of IPv6 the first 64 bits.
    ClientAddress,
    /// What has the same value in a field; its name in lower case.
    Header(Arc<str>),
}

impl Default for CircuitBreakers {
    fn default() -> Self {
        Self {
            max_requests: 1024,
            max_pending_requests: 1024,
            queue_timeout: Duration::from_secs(1),
            max_requests_per_backend: 1024,
            max_connections_per_backend: 1024,
            consecutive_failures: 0,
            open_time: Duration::from_secs(5),
            stall_grace: Duration::from_secs(1),
            max_requests_per_client: 0,
        }
    }
}

impl Default for AdaptiveConcurrency {
    fn default() -> Self {
        Self {
            min_limit: 3,
            max_limit: 1000,
            sample_percentile: 50,
            update_interval: Duration::from_millis(100),
            min_rtt_interval: Duration::from_mins(1),
            min_rtt_samples: 50,
            buffer_percent: 25,
        }
    }
}

impl TryFrom<v1::CircuitBreakers> for CircuitBreakers {
    type Error = Invalid;

    fn try_from(wire: v1::CircuitBreakers) -> Result<Self, Invalid> {
        let d = Self::default();
        Ok(Self {
            max_requests: bounded!(wire.max_requests, d, 1..=MILLION)?,
            max_pending_requests: bounded!(wire.max_pending_requests, d, 0..=MILLION)?,
            queue_timeout: bounded!(
                wire.queue_timeout,
                d,
                Duration::from_millis(1)..=Duration::from_mins(1)
            )?,
            max_requests_per_backend: bounded!(wire.max_requests_per_backend, d, 1..=MILLION)?,
            max_connections_per_backend: bounded!(wire.max_connections_per_backend, d, 1..=MILLION)?,
            consecutive_failures: bounded!(wire.consecutive_failures, d, 0..=MILLION)?,
            open_time: bounded!(wire.open_time, d, Duration::from_millis(100)..=Duration::from_hours(1))?,
            stall_grace: bounded!(wire.stall_grace, d, Duration::from_millis(100)..=Duration::from_hours(1))?,
            max_requests_per_client: bounded!(wire.max_requests_per_client, d, 0..=MILLION)?,
        })
    }
}

impl TryFrom<v1::AdaptiveConcurrency> for AdaptiveConcurrency {
    type Error = Invalid;

    fn try_from(wire: v1::AdaptiveConcurrency) -> Result<Self, Invalid> {
        const SECOND: Duration = Duration::from_secs(1);
        let mut d = Self::default();
        d.min_limit = bounded!(wire.min_limit, d, 1..=10_000)?;
        d.max_limit = d.max_limit.max(d.min_limit);
        Ok(Self {
            min_limit: d.min_limit,
            max_limit: bounded!(wire.max_limit, d, d.min_limit..=MILLION)?,
            sample_percentile: bounded!(wire.sample_percentile, d, 1..=100)?,
            update_interval: bounded!(wire.update_interval, d, SECOND / 10..=10 * SECOND)?,
            min_rtt_interval: bounded!(wire.min_rtt_interval, d, SECOND..=3600 * SECOND)?,
            min_rtt_samples: bounded!(wire.min_rtt_samples, d, 1..=10_000)?,
            buffer_percent: bounded!(wire.buffer_percent, d, 0..=1000)?,
        })
    }
}

impl TryFrom<v1::RateLimit> for RateLimit {
    type Error = Invalid;

    fn try_from(wire: v1::RateLimit) -> Result<Self, Invalid> {
        let many = 1000 * MILLION;
        let requests = number("requests", Some(wire.requests), 0, 1, many)?;
        let second = Duration::from_secs(1);
        Ok(Self {
            requests,
            per: from_wire("per", wire.per, second, Duration::from_millis(1), DAY)?,
            burst: number("burst", wire.burst, requests, 1, many)?,
            key: wire
                .key
                .map_or(Ok(RateLimitKey::All), RateLimitKey::try_from)
                .map_err(|e| e.within("key"))?,
            max_keys: number("max_keys", wire.max_keys, 1 << 16, 1 << 10, 1 << 20)?,
        })
    }
}

impl TryFrom<v1::RateLimitKey> for RateLimitKey {
    type Error = Invalid;

    /// A key with nothing in it is refused: it is one of a newer version, and never everything.
    fn try_from(wire: v1::RateLimitKey) -> Result<Self, Invalid> {
        use v1::rate_limit_key::Key;
        match wire.key {
            None => Err(Invalid::new(
                "",
                "names no key that this version knows; known: client_address and header",
            )),
            Some(Key::ClientAddress(true)) => Ok(Self::ClientAddress),
            Some(Key::ClientAddress(false)) => Err(always_true("client_address")),
            Some(Key::Header(name)) => field::name(&name).map(Self::Header).map_err(|e| e.within("header")),
        }
    }
}

/// The limits of a service or a route.
pub(crate) fn rate_limits(wire: Vec<v1::RateLimit>) -> Result<Vec<RateLimit>, Invalid> {
    list("rate_limits", wire, MAX_RATE_LIMITS, RateLimit::try_from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_needs_no_more_than_a_number() {
        let wire = v1::RateLimit { requests: 100, ..Default::default() };
        let limit = RateLimit {
            requests: 100,
            per: Duration::from_secs(1),
            burst: 100,
            key: RateLimitKey::All,
            max_keys: 65_536,
        };
        assert_eq!(rate_limits(vec![wire]), Ok(vec![limit]));
    }

    #[test]
    fn the_limit_at_fault_is_named() {
        let reason = |change: fn(&mut v1::RateLimit)| {
            let good = v1::RateLimit { requests: 1, ..Default::default() };
            let mut bad = good.clone();
            change(&mut bad);
            rate_limits(vec![good, bad]).unwrap_err().to_string()
        };
        assert_eq!(
            reason(|wire| wire.requests = 0),
            "rate_limits[1].requests: must be 1 to 1000000000, is 0"
        );
        assert_eq!(
            reason(|wire| wire.max_keys = Some(1023)),
            "rate_limits[1].max_keys: must be 1024 to 1048576, is 1023"
        );
        assert_eq!(
            reason(|wire| wire.key = Some(v1::RateLimitKey { key: None })),
            "rate_limits[1].key: names no key that this version knows; known: client_address and header"
        );
        let denied = |wire: &mut v1::RateLimit| {
            wire.key = Some(v1::RateLimitKey { key: Some(v1::rate_limit_key::Key::ClientAddress(false)) });
        };
        assert!(reason(denied).starts_with("rate_limits[1].key.client_address: must be true"));
        let many = vec![v1::RateLimit { requests: 1, ..Default::default() }; 17];
        assert_eq!(rate_limits(many).unwrap_err().to_string(), "rate_limits: must be at most 16, are 17");
    }

    #[test]
    fn the_most_is_no_less_than_the_least() {
        let limits = |min_limit, max_limit| {
            let wire = v1::AdaptiveConcurrency { min_limit, max_limit, ..Default::default() };
            AdaptiveConcurrency::try_from(wire).map(|a| (a.min_limit, a.max_limit)).map_err(|e| e.to_string())
        };
        assert_eq!((limits(None, None), limits(Some(2000), None)), (Ok((3, 1000)), Ok((2000, 2000))));
        assert_eq!(limits(Some(5), Some(4)), Err("max_limit: must be 5 to 1000000, is 4".to_owned()));
        assert_eq!(limits(None, Some(2)), Err("max_limit: must be 3 to 1000000, is 2".to_owned()));
    }

    #[test]
    fn a_queue_may_be_empty_but_a_service_takes_something() {
        let wire = v1::CircuitBreakers { max_pending_requests: Some(0), ..Default::default() };
        assert_eq!(CircuitBreakers::try_from(wire).map(|b| b.max_pending_requests), Ok(0));
        let wire = v1::CircuitBreakers { max_requests: Some(0), ..Default::default() };
        let reason = CircuitBreakers::try_from(wire).unwrap_err().to_string();
        assert_eq!(reason, "max_requests: must be 1 to 1000000, is 0");
    }
}
