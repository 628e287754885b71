//! How much memory a proxy needs for tables whose size a few bytes of configuration choose: rings, Maglev's tables, and
//! the keys of rate limits.

use std::collections::BTreeMap;

use super::{LbPolicy, RateLimit, RateLimitKey, RingHash, Service};
use crate::Backend;

/// Bytes that the lookup tables of a proxy may take in all, where nobody says otherwise.
pub const DEFAULT_LOOKUP_TABLE_MEMORY: u64 = 256 << 20;

/// Bytes of a point on a ring, and of what a rate limit knows of a key.
const POINT: u64 = 12;
const KEY: u64 = 16;
/// Keys share a bucket of so many.
const BUCKET: u32 = 8;
/// Points beyond which a ring does not grow of itself: 3 MiB.
const ENOUGH: u32 = 1 << 18;

impl Service {
    /// Bytes of all its tables over these backends, for a proxy in this zone.
    pub fn table_bytes<'a>(&self, backends: impl IntoIterator<Item = &'a Backend>, zone: &str) -> u64 {
        let keys = rate_limit_bytes(&self.rate_limits);
        if !self.lb_policy.has_table() {
            return keys;
        }
        // Each priority has a table of its own, and where zones matter, its near backends have another one.
        let mut groups: BTreeMap<(u32, bool), Weights> = BTreeMap::new();
        for backend in backends {
            let near = self.zone_aware.is_some() && !zone.is_empty() && backend.zone == zone;
            groups.entry((backend.priority, near)).or_default().add(backend.weight_in_force());
        }
        keys + groups.values().map(|weights| self.lb_policy.table_bytes(weights)).sum::<u64>()
    }
}

/// Bytes of the tables of keys of all these limits.
#[must_use]
pub fn rate_limit_bytes(limits: &[RateLimit]) -> u64 {
    let counted = limits.iter().filter(|limit| limit.key != RateLimitKey::All);
    counted.map(|limit| KEY * u64::from(limit.key_slots())).sum()
}

/// A warning, if the tables of all these objects need more than a proxy gives them by default: names the largest.
#[must_use]
pub fn tables_warning(needs: impl IntoIterator<Item = (String, u64)>) -> Option<String> {
    const NAMED: usize = 5;
    let mut needs: Vec<_> = needs.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
    let sum: u64 = needs.iter().map(|(_, bytes)| bytes).sum();
    if sum <= DEFAULT_LOOKUP_TABLE_MEMORY {
        return None;
    }
    needs.sort_by(|(a, less), (b, more)| more.cmp(less).then_with(|| a.cmp(b)));
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let named = needs.iter().take(NAMED).map(|(name, bytes)| format!("{name} ({} MiB)", mib(*bytes)));
    let mut named = named.collect::<Vec<_>>().join(", ");
    if let Some(more) = needs.len().checked_sub(NAMED).filter(|more| *more > 0) {
        named = format!("{named} and {more} more");
    }
    Some(format!(
        "rings, Maglev's tables and keys of rate limits need {} MiB on every proxy, which refuses what goes beyond {} \
         MiB unless its --max-lookup-table-memory is more: {named}",
        mib(sum),
        mib(DEFAULT_LOOKUP_TABLE_MEMORY),
    ))
}

impl RateLimit {
    /// Keys that there is room for: `max_keys`, rounded up.
    #[must_use]
    pub fn key_slots(&self) -> u32 {
        self.max_keys.div_ceil(BUCKET).next_power_of_two() * BUCKET
    }
}

impl LbPolicy {
    fn has_table(&self) -> bool {
        matches!(self, Self::RingHash(_) | Self::Maglev(_))
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 8 million points")]
    fn table_bytes(&self, weights: &Weights) -> u64 {
        match self {
            Self::RingHash(ring) => ring.points(weights.sum, weights.most).ceil() as u64 * POINT,
            // The number of a backend takes two bytes while there are few.
            Self::Maglev(maglev) => {
                u64::from(maglev.table_size) * if weights.count <= 1 << 16 { 2 } else { 4 }
            }
            _ => 0,
        }
    }
}

impl RingHash {
    /// Points of the ring over backends whose weights have this sum, of which the heaviest has `most`: it has as many as
    /// the least ring, unless they would be too many in all.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "weights sum up to less than 2^52")]
    pub fn points(&self, sum: u64, most: u32) -> f64 {
        let wanted = f64::from(self.minimum_ring_size) * sum as f64 / f64::from(most.max(1));
        let room = ENOUGH.max(self.minimum_ring_size).min(self.maximum_ring_size);
        wanted.min(f64::from(room))
    }
}

/// Of the backends of one table.
#[derive(Debug, Default)]
struct Weights {
    count: u64,
    sum: u64,
    most: u32,
}

impl Weights {
    fn add(&mut self, weight: u32) {
        self.count += 1;
        self.sum += u64::from(weight);
        self.most = self.most.max(weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Maglev, ServiceName, ZoneAware, v1};

    fn backends(n: u16) -> Vec<Backend> {
        let wire = |n: u16| v1::Backend {
            service: "web".into(),
            address: format!("10.0.0.1:{n}"),
            priority: Some(u32::from(n % 2)),
            zone: if n < 3 { "a".into() } else { String::new() },
            ..v1::Backend::default()
        };
        (1..=n).map(|n| Backend::try_from(wire(n)).expect("valid")).collect()
    }

    fn service(lb_policy: LbPolicy) -> Service {
        Service { lb_policy, ..Service::with_defaults(ServiceName::try_from("web").expect("valid")) }
    }

    #[test]
    fn each_priority_and_zone_has_a_table_of_its_own() {
        let ring = RingHash { minimum_ring_size: 8 << 20, ..RingHash::default() };
        let mut service = service(LbPolicy::RingHash(ring));
        assert_eq!(service.table_bytes(&backends(1), "a"), 12 * (8 << 20));
        assert_eq!(service.table_bytes(&backends(4), "a"), 2 * 12 * (8 << 20));
        service.zone_aware = Some(ZoneAware { min_backends: 1 });
        assert_eq!(service.table_bytes(&backends(4), "a"), 4 * 12 * (8 << 20));
        assert_eq!(service.table_bytes(&backends(4), ""), 2 * 12 * (8 << 20));
    }

    #[test]
    fn what_is_too_much_in_all_is_warned_of_with_the_largest_named() {
        let needs = |n: u64| (0..n).map(|n| (format!("service s{n}"), (90 + n % 2) << 20));
        assert_eq!(tables_warning(needs(2)), None);
        let warning = tables_warning(needs(10)).expect("too much");
        assert!(warning.contains(" need 905 MiB on every proxy, "), "{warning}");
        assert!(warning.ends_with(": service s1 (91 MiB), service s3 (91 MiB), service s5 (91 MiB), service s7 (91 MiB), service s9 (91 MiB) and 5 more"), "{warning}");
    }

    #[test]
    fn a_table_of_maglev_and_of_keys_counts_and_turns_do_not() {
        let maglev = service(LbPolicy::Maglev(Maglev { table_size: 5_000_011, ..Maglev::default() }));
        assert_eq!(maglev.table_bytes(&backends(1), ""), 10_000_022);
        let mut turns = service(LbPolicy::RoundRobin);
        assert_eq!(turns.table_bytes(&backends(4), ""), 0);
        let limit =
            |key| v1::RateLimit { requests: 1, max_keys: Some(1_000_000), key, ..v1::RateLimit::default() };
        let by_address = v1::RateLimitKey { key: Some(v1::rate_limit_key::Key::ClientAddress(true)) };
        let limits =
            [limit(None), limit(Some(by_address))].map(|wire| RateLimit::try_from(wire).expect("valid"));
        turns.rate_limits = limits.to_vec();
        assert_eq!(turns.table_bytes(&[], ""), 16 << 20);
    }
}
