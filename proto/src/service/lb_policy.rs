//! How to choose among backends: `LbPolicy` in `config.proto`.

use std::time::Duration;

use super::hash_key::{self, HashKey};
use crate::{
    Invalid,
    bounds::{bounded, within},
    v1,
};

/// The most points on a ring.
const MAX_RING_SIZE: u32 = 8 << 20;
/// The most entries of Maglev's table; a prime.
const MAX_TABLE_SIZE: u32 = 5_000_011;

/// How to choose among backends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LbPolicy {
    /// Each in its turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight out of a few.
    LeastRequest(LeastRequest),
    /// The cheaper of two by latency and requests in flight.
    PeakEwma(PeakEwma),
    /// Any, by weight.
    Random,
    /// By the request's key, on a ring.
    RingHash(RingHash),
    /// By the request's key, by Maglev's table.
    Maglev(Maglev),
    /// Each in its turn, by the load that backends report.
    ClientSideWeightedRoundRobin(ReportedLoad),
}

/// Settings of `least_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeastRequest {
    /// How many are compared: 2 to 16.
    pub choice_count: u32,
}

/// Settings of `peak_ewma`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeakEwma {
    /// After this time 1/e of what was measured is left.
    pub decay: Duration,
}

/// Settings of `ring_hash`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingHash {
    /// What is hashed; never empty.
    pub hash_keys: Vec<HashKey>,
    /// Least points on the ring.
    pub minimum_ring_size: u32,
    /// Most points on the ring.
    pub maximum_ring_size: u32,
    /// Percent of what would be even; none is no bound.
    pub hash_balance_factor: Option<u32>,
}

/// Settings of `maglev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maglev {
    /// What is hashed; never empty.
    pub hash_keys: Vec<HashKey>,
    /// A prime.
    pub table_size: u32,
    /// Percent of what would be even; none is no bound.
    pub hash_balance_factor: Option<u32>,
}

/// Settings of `client_side_weighted_round_robin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportedLoad {
    /// How long a backend must have reported before it counts.
    pub blackout_period: Duration,
    /// How long a report counts.
    pub weight_expiration_period: Duration,
    /// How often weights follow.
    pub weight_update_period: Duration,
    /// Percent of the error rate that adds to the utilization.
    pub error_utilization_penalty: u32,
}

impl LbPolicy {
    /// As the field of the message is called: `round_robin`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastRequest(_) => "least_request",
            Self::PeakEwma(_) => "peak_ewma",
            Self::Random => "random",
            Self::RingHash(_) => "ring_hash",
            Self::Maglev(_) => "maglev",
            Self::ClientSideWeightedRoundRobin(_) => "client_side_weighted_round_robin",
        }
    }

    /// What of a request decides; empty where nothing does.
    #[must_use]
    pub fn hash_keys(&self) -> &[HashKey] {
        match self {
            Self::RingHash(ring) => &ring.hash_keys,
            Self::Maglev(maglev) => &maglev.hash_keys,
            _ => &[],
        }
    }
}

impl Default for LeastRequest {
    fn default() -> Self {
        Self { choice_count: 2 }
    }
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self { decay: Duration::from_secs(10) }
    }
}

impl Default for RingHash {
    fn default() -> Self {
        Self {
            hash_keys: vec![HashKey::ClientAddress],
            minimum_ring_size: 1024,
            maximum_ring_size: MAX_RING_SIZE,
            hash_balance_factor: None,
        }
    }
}

impl Default for Maglev {
    fn default() -> Self {
        Self { hash_keys: vec![HashKey::ClientAddress], table_size: 65_537, hash_balance_factor: None }
    }
}

impl Default for ReportedLoad {
    fn default() -> Self {
        Self {
            blackout_period: Duration::from_secs(10),
            weight_expiration_period: Duration::from_mins(3),
            weight_update_period: Duration::from_secs(1),
            error_utilization_penalty: 100,
        }
    }
}

impl TryFrom<v1::LbPolicy> for LbPolicy {
    type Error = Invalid;

    fn try_from(wire: v1::LbPolicy) -> Result<Self, Invalid> {
        use v1::lb_policy::Policy;
        let Some(policy) = wire.policy else {
            let known = "round_robin, least_request, peak_ewma, random, ring_hash, maglev and \
                         client_side_weighted_round_robin";
            return Err(Invalid::new(
                "",
                format_args!("names no policy that this version knows; known: {known}"),
            ));
        };
        Ok(match policy {
            Policy::RoundRobin(v1::RoundRobin {}) => Self::RoundRobin,
            Policy::LeastRequest(wire) => Self::LeastRequest(within("least_request", wire)?),
            Policy::PeakEwma(wire) => Self::PeakEwma(within("peak_ewma", wire)?),
            Policy::Random(v1::Random {}) => Self::Random,
            Policy::RingHash(wire) => Self::RingHash(within("ring_hash", wire)?),
            Policy::Maglev(wire) => Self::Maglev(within("maglev", wire)?),
            Policy::ClientSideWeightedRoundRobin(wire) => {
                Self::ClientSideWeightedRoundRobin(within("client_side_weighted_round_robin", wire)?)
            }
        })
    }
}

impl TryFrom<v1::LeastRequest> for LeastRequest {
    type Error = Invalid;

    fn try_from(wire: v1::LeastRequest) -> Result<Self, Invalid> {
        let d = Self::default();
        Ok(Self { choice_count: bounded!(wire.choice_count, d, 2..=16)? })
    }
}

impl TryFrom<v1::PeakEwma> for PeakEwma {
    type Error = Invalid;

    fn try_from(wire: v1::PeakEwma) -> Result<Self, Invalid> {
        let d = Self::default();
        Ok(Self { decay: bounded!(wire.decay, d, Duration::from_millis(100)..=Duration::from_mins(10))? })
    }
}

impl TryFrom<v1::RingHash> for RingHash {
    type Error = Invalid;

    fn try_from(wire: v1::RingHash) -> Result<Self, Invalid> {
        let d = Self::default();
        let minimum_ring_size = bounded!(wire.minimum_ring_size, d, 1..=MAX_RING_SIZE)?;
        Ok(Self {
            minimum_ring_size,
            maximum_ring_size: bounded!(wire.maximum_ring_size, d, minimum_ring_size..=MAX_RING_SIZE)?,
            hash_balance_factor: balance_factor(wire.hash_balance_factor)?,
            hash_keys: hash_key::list(wire.hash_keys)?,
        })
    }
}

impl TryFrom<v1::Maglev> for Maglev {
    type Error = Invalid;

    fn try_from(wire: v1::Maglev) -> Result<Self, Invalid> {
        let d = Self::default();
        let table_size = bounded!(wire.table_size, d, 2..=MAX_TABLE_SIZE)?;
        if !is_prime(table_size) {
            let next = (table_size..=MAX_TABLE_SIZE).find(|n| is_prime(*n)).unwrap_or(MAX_TABLE_SIZE);
            let reason = format_args!("must be a prime, {table_size} is none; the next is {next}");
            return Err(Invalid::new("table_size", reason));
        }
        Ok(Self {
            table_size,
            hash_balance_factor: balance_factor(wire.hash_balance_factor)?,
            hash_keys: hash_key::list(wire.hash_keys)?,
        })
    }
}

impl TryFrom<v1::ClientSideWeightedRoundRobin> for ReportedLoad {
    type Error = Invalid;

    fn try_from(wire: v1::ClientSideWeightedRoundRobin) -> Result<Self, Invalid> {
        const SECOND: Duration = Duration::from_secs(1);
        let d = Self::default();
        Ok(Self {
            blackout_period: bounded!(wire.blackout_period, d, Duration::ZERO..=600 * SECOND)?,
            weight_expiration_period: bounded!(wire.weight_expiration_period, d, SECOND..=3600 * SECOND)?,
            weight_update_period: bounded!(wire.weight_update_period, d, SECOND / 10..=60 * SECOND)?,
            error_utilization_penalty: bounded!(wire.error_utilization_penalty, d, 0..=10_000)?,
        })
    }
}

fn balance_factor(wire: Option<u32>) -> Result<Option<u32>, Invalid> {
    match wire {
        None | Some(0) => Ok(None),
        Some(factor @ 101..=1000) => Ok(Some(factor)),
        Some(factor) => {
            Err(Invalid::new("hash_balance_factor", format_args!("must be 0 or 101 to 1000, is {factor}")))
        }
    }
}

fn is_prime(n: u32) -> bool {
    n >= 2 && (2..=n.isqrt()).all(|d| !n.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::lb_policy::Policy;

    fn parse(policy: Policy) -> Result<LbPolicy, String> {
        LbPolicy::try_from(v1::LbPolicy { policy: Some(policy) }).map_err(|e| e.to_string())
    }

    #[test]
    fn every_policy_needs_no_more_than_its_name() {
        for (policy, expected) in [
            (Policy::RoundRobin(v1::RoundRobin {}), LbPolicy::RoundRobin),
            (
                Policy::LeastRequest(v1::LeastRequest::default()),
                LbPolicy::LeastRequest(LeastRequest::default()),
            ),
            (Policy::PeakEwma(v1::PeakEwma::default()), LbPolicy::PeakEwma(PeakEwma::default())),
            (Policy::Random(v1::Random {}), LbPolicy::Random),
            (Policy::RingHash(v1::RingHash::default()), LbPolicy::RingHash(RingHash::default())),
            (Policy::Maglev(v1::Maglev::default()), LbPolicy::Maglev(Maglev::default())),
            (
                Policy::ClientSideWeightedRoundRobin(v1::ClientSideWeightedRoundRobin::default()),
                LbPolicy::ClientSideWeightedRoundRobin(ReportedLoad::default()),
            ),
        ] {
            assert_eq!(parse(policy), Ok(expected));
        }
    }

    #[test]
    fn a_policy_that_is_not_known_is_refused_and_never_replaced() {
        let refusal = LbPolicy::try_from(v1::LbPolicy { policy: None }).unwrap_err();
        assert!(refusal.reason.starts_with("names no policy that this version knows"), "{refusal}");
    }

    #[test]
    fn sizes_fit_together() {
        let ring = |minimum_ring_size, maximum_ring_size| {
            parse(Policy::RingHash(v1::RingHash {
                minimum_ring_size,
                maximum_ring_size,
                ..Default::default()
            }))
        };
        assert!(ring(Some(64), Some(64)).is_ok());
        assert_eq!(
            ring(Some(65), Some(64)),
            Err("ring_hash.maximum_ring_size: must be 65 to 8388608, is 64".to_owned())
        );
        assert_eq!(
            ring(None, Some(1000)),
            Err("ring_hash.maximum_ring_size: must be 1024 to 8388608, is 1000".to_owned())
        );
        let choices = parse(Policy::LeastRequest(v1::LeastRequest { choice_count: Some(1) }));
        assert_eq!(choices, Err("least_request.choice_count: must be 2 to 16, is 1".to_owned()));
    }

    #[test]
    fn a_table_has_a_prime_of_entries() {
        let table = |table_size| {
            parse(Policy::Maglev(v1::Maglev { table_size: Some(table_size), ..Default::default() }))
        };
        for good in [2, 3, 65_537, MAX_TABLE_SIZE] {
            assert!(table(good).is_ok(), "{good}");
        }
        let reason = "maglev.table_size: must be a prime, 65536 is none; the next is 65537";
        assert_eq!(table(65_536), Err(reason.to_owned()));
        assert!(table(1).is_err() && table(9).is_err() && table(MAX_TABLE_SIZE - 1).is_err());
        assert!(table(MAX_TABLE_SIZE + 1).is_err());
    }

    #[test]
    fn the_bound_of_a_load_is_above_what_is_even() {
        let bounded = |factor| balance_factor(factor).map_err(|e| e.to_string());
        assert_eq!(
            (bounded(None), bounded(Some(0)), bounded(Some(101))),
            (Ok(None), Ok(None), Ok(Some(101)))
        );
        for factor in [1, 100, 1001] {
            let reason = format!("hash_balance_factor: must be 0 or 101 to 1000, is {factor}");
            assert_eq!(bounded(Some(factor)), Err(reason));
        }
    }
}
