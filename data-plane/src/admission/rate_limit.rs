//! So many requests in a time, of all clients together or of each: `RateLimit` in `config.proto`.

mod keys;
mod pace;

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
};

use tokio::time::Duration;
use weir_proto::{RateLimit, RateLimitKey};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::{
    keys::Keys,
    pace::{Due, Pace},
};
use crate::{message::Fields, moment::Moment, padded::Padded};

/// All limits of a service or a route.
#[derive(Debug, Default)]
pub(crate) struct Limits(Vec<Arc<Limiter>>);

/// One limit, and what has been used of it at this proxy.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: RateLimit,
    pace: Pace,
    used: Used,
}

#[derive(Debug)]
enum Used {
    ByAll(Padded<Due>),
    ByKey { keys: Keys, seed: u64 },
}

/// How near a limit is, for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nearness {
    /// Keys that have used something; 1 or 0 without keys.
    pub(crate) keys: usize,
    /// Requests that pass at once after a quiet time.
    pub(crate) burst: u64,
    /// What the one that has used most has left of them.
    pub(crate) left: u64,
}

impl Limits {
    /// A limit that was among the `previous` ones goes on with what has been used.
    pub(crate) fn new(limits: &[RateLimit], previous: &Self) -> Self {
        let mut previous = previous.0.clone();
        let limiter = |limit: &RateLimit| match previous.iter().position(|known| known.limit == *limit) {
            Some(known) => previous.swap_remove(known),
            None => Arc::new(Limiter::new(limit)),
        };
        let mut all: Vec<_> = limits.iter().map(limiter).collect();
        // A client that is refused for itself must not use up what is for all.
        all.sort_by_key(|limiter| matches!(limiter.used, Used::ByAll(_)));
        Self(all)
    }

    /// Counts a request, or says how long until one would pass. Those that are refused count only for the limits that
    /// they had passed before.
    pub(crate) fn check(&self, client: IpAddr, fields: &Fields, now: Moment) -> Result<(), Duration> {
        self.0.iter().try_for_each(|limiter| limiter.check(client, fields, now))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Limiter> {
        self.0.iter().map(|limiter| &**limiter)
    }
}

impl Limiter {
    pub(crate) fn new(limit: &RateLimit) -> Self {
        let used = match limit.key {
            RateLimitKey::All => Used::ByAll(Padded::default()),
            RateLimitKey::ClientAddress | RateLimitKey::Header(_) => {
                Used::ByKey { keys: Keys::new(limit.max_keys), seed: RandomState::new().hash_one(()) }
            }
        };
        Self { limit: limit.clone(), pace: Pace::of(limit), used }
    }

    /// What it limits.
    pub(crate) fn limit(&self) -> &RateLimit {
        &self.limit
    }

    /// Counts a request, or says how long until one would pass.
    pub(crate) fn check(&self, client: IpAddr, fields: &Fields, now: Moment) -> Result<(), Duration> {
        match &self.used {
            Used::ByAll(due) => due.take(self.pace, now),
            Used::ByKey { keys, seed } => match key(&self.limit.key, *seed, client, fields) {
                Some(hash) => keys.take(hash, self.pace, now),
                None => Ok(()),
            },
        }
    }

    /// Requests like this one that would pass now. None if it is not limited. Counts nothing.
    pub(crate) fn left(&self, client: IpAddr, fields: &Fields, now: Moment) -> Option<u64> {
        match &self.used {
            Used::ByAll(due) => Some(due.left(self.pace, now)),
            Used::ByKey { keys, seed } => {
                let hash = key(&self.limit.key, *seed, client, fields)?;
                Some(keys.left(hash, self.pace, now))
            }
        }
    }

    /// Looks through all keys.
    pub(crate) fn nearness(&self, now: Moment) -> Nearness {
        let burst = self.pace.burst();
        let of = |left: &mut dyn Iterator<Item = u64>| {
            left.fold(Nearness { keys: 0, burst, left: burst }, |near, left| Nearness {
                keys: near.keys + 1,
                left: near.left.min(left),
                ..near
            })
        };
        match &self.used {
            Used::ByAll(due) => {
                of(&mut Some(due.left(self.pace, now)).filter(|left| *left < burst).into_iter())
            }
            Used::ByKey { keys, .. } => of(&mut keys.busy(self.pace, now)),
        }
    }
}

/// The hash of what requests are counted by; none if this one lacks it.
fn key(by: &RateLimitKey, seed: u64, client: IpAddr, fields: &Fields) -> Option<u64> {
    match by {
        RateLimitKey::All => None,
        RateLimitKey::ClientAddress => Some(hash_of_address(seed, client)),
        RateLimitKey::Header(name) => {
            let lines = fields.iter().filter(|field| field.spelling.eq_ignore_ascii_case(name.as_bytes()));
            // Each line is the seed of the next, so that they cannot be cut in another way to the same effect.
            lines.fold(None, |hash, line| Some(xxh3_64_with_seed(line.value, hash.unwrap_or(seed))))
        }
    }
}

/// What tells clients apart.
pub(super) fn hash_of_address(seed: u64, client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => xxh3_64_with_seed(&address.octets(), seed),
        // Whoever has one address of a network of this size has all of them (RFC 4291 section 2.5.4).
        IpAddr::V6(address) => xxh3_64_with_seed(&address.octets()[..8], seed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Moment {
        Moment::from_nanos(1)
    }
    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn limit(requests: u32, key: RateLimitKey) -> RateLimit {
        RateLimit { requests, per: Duration::from_secs(1), burst: requests, key, max_keys: 1024 }
    }

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push_spelled(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn of_all_threads_exactly_the_burst_passes() {
        let limiter = Limiter::new(&limit(10_000, RateLimitKey::All));
        let hammer =
            || (0..5_000).filter(|_| limiter.check(CLIENT, &Fields::default(), now()).is_ok()).count();
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(hammer)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 10_000);
    }

    #[test]
    fn clients_are_told_apart_by_what_they_cannot_change_at_will() {
        let limiter = Limiter::new(&limit(1, RateLimitKey::ClientAddress));
        let passes = |client: &str| limiter.check(client.parse().unwrap(), &Fields::default(), now()).is_ok();
        assert!(passes("192.0.2.1") && passes("192.0.2.2"));
        assert!(!passes("192.0.2.1") && !passes("::ffff:192.0.2.1"), "the same, in two spellings");
        assert!(passes("2001:db8:0:1::1") && passes("2001:db8:0:2::1"));
        assert!(!passes("2001:db8:0:1:ffff::2"), "of the same network");
        assert_eq!(limiter.nearness(now()), Nearness { keys: 4, burst: 1, left: 0 });
    }

    #[test]
    fn requests_without_the_field_are_not_limited() {
        let limiter = Limiter::new(&limit(1, RateLimitKey::Header("x-tenant".into())));
        let check = |lines: &[(&str, &str)]| limiter.check(CLIENT, &fields(lines), now()).is_ok();
        assert!(check(&[("X-Tenant", "a")]) && !check(&[("x-tenant", "a")]));
        assert!(check(&[("x-tenant", "b")]));
        assert!(check(&[("x-tenant", "")]) && !check(&[("x-tenant", "")]), "empty is a value");
        assert!(check(&[("x-tenant", "a"), ("host", "h"), ("x-tenant", "b")]));
        assert!(!check(&[("x-tenant", "a"), ("x-tenant", "b")]), "all of its lines");
        assert!(check(&[("x-tenant", "ab")]), "and only as they are");
        for _ in 0..9 {
            assert!(check(&[("x-other", "a")]));
        }
        let left = |lines: &[(&str, &str)]| limiter.left(CLIENT, &fields(lines), now());
        assert_eq!(
            (left(&[]), left(&[("x-tenant", "a")]), left(&[("x-tenant", "z")])),
            (None, Some(0), Some(1))
        );
    }

    #[test]
    fn who_is_refused_for_itself_does_not_use_up_what_is_for_all() {
        let (all, each) = (limit(5, RateLimitKey::All), limit(2, RateLimitKey::ClientAddress));
        let limits = Limits::new(&[all, each], &Limits::default());
        let passed = |client: &str| {
            let client = client.parse().unwrap();
            (0..100).filter(|_| limits.check(client, &Fields::default(), now()).is_ok()).count()
        };
        assert_eq!((passed("192.0.2.1"), passed("192.0.2.2"), passed("192.0.2.3")), (2, 2, 1));
    }

    #[test]
    fn a_limit_that_stays_keeps_what_was_used() {
        let (stays, goes, comes) =
            (limit(1, RateLimitKey::All), limit(2, RateLimitKey::All), limit(3, RateLimitKey::All));
        let check = |limits: &Limits| limits.check(CLIENT, &Fields::default(), now()).is_ok();
        let before = Limits::new(&[stays.clone(), goes], &Limits::default());
        assert!(check(&before) && !check(&before));
        let after = Limits::new(&[comes.clone(), stays], &before);
        assert!(!check(&after));
        assert!(check(&Limits::new(&[comes.clone(), comes], &before)));
        assert!(Limits::new(&[], &before).is_empty() && check(&Limits::default()));
        assert_eq!(after.iter().map(|limiter| limiter.limit().requests).collect::<Vec<_>>(), [3, 1]);
    }
}
