//! How many requests each client address has at one service: a table of fixed size, without locks.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use weir_proto::CircuitBreakers;

use super::rate_limit::hash_of_address;
use crate::padded::Padded;

/// Of a bucket: one line of the processor's cache.
const SLOTS: usize = 8;

/// Low bits of a slot count requests, the others tell addresses apart.
const COUNT: u64 = (1 << 24) - 1;

/// Slots of the largest table.
const MOST: usize = 1 << 16;

/// An address has a slot while it has requests. Where all slots of its bucket are taken by others, its requests are not
/// counted: that lets somebody have too many, and refuses nobody. Threads that bring the first requests of one address in
/// the same moment may give it two slots, which comes to a request or two.
#[derive(Debug)]
pub(crate) struct Shares {
    buckets: Box<[Padded<[AtomicU64; SLOTS]>]>,
    seed: u64,
}

/// One request of an address, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    bucket: usize,
    slot: usize,
}

impl Shares {
    /// Twice as many slots as there may be requests in flight and waiting, so that buckets are seldom full. None where
    /// nobody asks for it.
    pub(crate) fn new(breakers: &CircuitBreakers, before: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        if breakers.max_requests_per_client == 0 {
            return None;
        }
        let requests = breakers.max_requests as usize + 2 * breakers.max_pending_requests as usize;
        let buckets = (2 * requests).clamp(SLOTS, MOST).div_ceil(SLOTS).next_power_of_two();
        if let Some(before) = before.filter(|before| before.buckets.len() == buckets) {
            return Some(Arc::clone(before));
        }
        let buckets = std::iter::repeat_with(Padded::default).take(buckets).collect();
        Some(Arc::new(Self { buckets, seed: RandomState::new().hash_one(()) }))
    }

    /// Requests of this address now.
    pub(crate) fn held(&self, client: IpAddr) -> u32 {
        let (slots, owner) = self.place(client);
        let of_it = |slot: &AtomicU64| Some(slot.load(Relaxed)).filter(|seen| seen & !COUNT == owner);
        let held: u64 = self.buckets[slots].iter().filter_map(of_it).map(|seen| seen & COUNT).sum();
        u32::try_from(held).unwrap_or(u32::MAX)
    }

    /// Counts one more request of this address, if it has less than `most`.
    pub(crate) fn take(self: &Arc<Self>, client: IpAddr, most: u32) -> Result<Option<Share>, Full> {
        let (bucket, owner) = self.place(client);
        let slots = &self.buckets[bucket];
        loop {
            let seen = || slots.iter().map(|slot| slot.load(Relaxed)).enumerate();
            let its = seen().find(|(_, seen)| seen & !COUNT == owner);
            let Some((slot, before)) = its.or_else(|| seen().find(|(_, seen)| seen & COUNT == 0)) else {
                return Ok(None);
            };
            let count = if before & !COUNT == owner { before & COUNT } else { 0 };
            if count >= u64::from(most) {
                return Err(Full);
            }
            if slots[slot].compare_exchange(before, owner | (count + 1), Acquire, Relaxed).is_ok() {
                return Ok(Some(Share { shares: Arc::clone(self), bucket, slot }));
            }
        }
    }

    /// The bucket of an address, and what tells it apart there.
    fn place(&self, client: IpAddr) -> (usize, u64) {
        let hash = hash_of_address(self.seed, client);
        // As many buckets as a power of two, so every bit is used alike. 0 is no address.
        let bucket = usize::try_from(hash >> 32).unwrap_or_default() & (self.buckets.len() - 1);
        (bucket, (hash & !COUNT).max(COUNT + 1))
    }
}

/// The address has as many as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.buckets[self.bucket][self.slot].fetch_sub(1, Release);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn shares(max_requests: u32) -> Arc<Shares> {
        let breakers =
            CircuitBreakers { max_requests, max_requests_per_client: 1, ..CircuitBreakers::default() };
        Shares::new(&breakers, None).unwrap()
    }

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(n).into()
    }

    #[test]
    fn an_address_has_as_many_as_it_may_and_takes_nothing_from_others() {
        let shares = shares(10);
        let mine: Vec<_> = (0..3).map(|_| shares.take(address(1), 3).unwrap().unwrap()).collect();
        assert_eq!(shares.take(address(1), 3).err(), Some(Full));
        assert_eq!((shares.held(address(1)), shares.held(address(2))), (3, 0));
        let other = shares.take(address(2), 3).unwrap().unwrap();
        drop(mine);
        let again: Vec<_> = (0..3).map(|_| shares.take(address(1), 3).unwrap().unwrap()).collect();
        assert_eq!(shares.take(address(1), 3).err(), Some(Full));
        drop((again, other));
        assert!(
            shares
                .buckets
                .iter()
                .flat_map(|bucket| bucket.iter())
                .all(|slot| slot.load(Relaxed) & COUNT == 0)
        );
    }

    #[test]
    fn addresses_without_number_refuse_nobody() {
        let shares = shares(1);
        let taken: Vec<_> = (0..100_000).map(|n| shares.take(address(n), 1).unwrap()).collect();
        let counted = taken.iter().flatten().count();
        assert!(counted <= shares.buckets.len() * SLOTS && counted > 0);
    }

    #[test]
    fn threads_count_as_one() {
        let shares = shares(1_000);
        // So that it has its slot.
        let first = shares.take(address(1), 50).unwrap();
        let taken: usize = std::thread::scope(|scope| {
            let take =
                || (0..50).filter_map(|_| shares.take(address(1), 50).ok().map(std::mem::forget)).count();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 49);
        drop(first);
    }

    #[test]
    fn what_is_counted_outlasts_a_change_of_the_settings() {
        let breakers = CircuitBreakers { max_requests_per_client: 1, ..CircuitBreakers::default() };
        let shares = Shares::new(&breakers, None).unwrap();
        let more = CircuitBreakers { max_requests_per_client: 2, ..breakers };
        assert!(Arc::ptr_eq(&Shares::new(&more, Some(&shares)).unwrap(), &shares));
        assert!(Shares::new(&CircuitBreakers::default(), Some(&shares)).is_none());
    }
}
