//! What many keys have used of a rate: a table of fixed size, without locks.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use tokio::time::Duration;

use super::pace::{Due, Pace};
use crate::{moment::Moment, padded::Padded};

/// Of a bucket: two lines of the processor's cache.
const SLOTS: usize = 8;
/// Of an owner: the slot has been taken, and what the one before it used has not been struck off yet.
const ARRIVING: u64 = 1;

/// A key that is not there takes the place of one in its bucket that has its whole burst again and so lost nothing, else
/// of the one that has the most room.
///
/// Whoever has many addresses can make the proxy forget what others have used, which lets those pass sooner. He cannot
/// make it refuse anybody who is within the limit; he cannot fill memory; and he cannot easily make it forget what he has
/// used himself: the fullest stay longest, and which keys share a bucket depends on a seed that nobody knows. More keys
/// than slots, all of them busy, are in effect not limited at all: then `max_keys` is too small.
///
/// Threads that bring the same new key at the same moment, while another key of the bucket comes to the end of its time,
/// may give it two slots; the first is used from then on. One that has found its key's slot may lose it to another key
/// before it counts. Both take nanoseconds that must coincide, and come to a request or two.
#[derive(Debug)]
pub(super) struct Keys(Box<[Bucket]>);

type Bucket = Padded<[Slot; SLOTS]>;

/// 16 bytes.
#[derive(Debug, Default)]
struct Slot {
    /// What tells keys apart, 63 bits of their hash; 0 while nobody has the slot.
    owner: AtomicU64,
    due: Due,
}

impl Keys {
    /// Room for this many, rounded up to a power of two.
    pub(super) fn new(max_keys: u32) -> Self {
        let buckets = (max_keys as usize).div_ceil(SLOTS).next_power_of_two();
        Self(std::iter::repeat_with(Bucket::default).take(buckets).collect())
    }

    /// Counts a request of the key with this hash, or says how long until one would pass.
    pub(super) fn take(&self, hash: u64, pace: Pace, now: Moment) -> Result<(), Duration> {
        let owner = owner(hash);
        let bucket = self.bucket(hash);
        loop {
            match look(bucket, owner, now) {
                Seen::Its(slot) => return slot.due.take(pace, now),
                Seen::Best(free) => {
                    if let Some(outcome) = free.claim(owner, pace, now) {
                        return outcome;
                    }
                }
                // Only threads that were stopped in the middle of it can hold all slots.
                Seen::Nothing => return Ok(()),
            }
        }
    }

    /// Requests of this key that would pass now.
    pub(super) fn left(&self, hash: u64, pace: Pace, now: Moment) -> u64 {
        let owner = owner(hash);
        let slot = self.bucket(hash).iter().find(|slot| slot.owner.load(Relaxed) & !ARRIVING == owner);
        slot.map_or(pace.burst(), |slot| slot.due.left(pace, now))
    }

    /// What each key has left that has not its whole burst.
    pub(super) fn busy(&self, pace: Pace, now: Moment) -> impl Iterator<Item = u64> {
        let busy = move |slot: &&Slot| slot.due.seen() > now.as_nanos();
        self.0.iter().flat_map(|bucket| bucket.iter()).filter(busy).map(move |slot| slot.due.left(pace, now))
    }

    fn bucket(&self, hash: u64) -> &[Slot] {
        // As many as a power of two, so every bit is used alike.
        let index = usize::try_from(hash >> 32).unwrap_or_default() & (self.0.len() - 1);
        self.0.get(index).map_or(&[], |bucket| &bucket[..])
    }
}

/// What there is for a key in its bucket.
enum Seen<'a> {
    Its(&'a Slot),
    Best(Free<'a>),
    Nothing,
}

/// A slot that may be taken, as it was seen.
struct Free<'a> {
    slot: &'a Slot,
    owner: u64,
    due: u64,
}

/// The key's own slot, else the first that lost nothing, else the one with the most room.
///
/// All are seen in order, each as it is at one moment. So of threads that bring the same new key while slots are free,
/// one gets one: who has seen an earlier slot free, and finds it taken, looks again.
fn look(bucket: &[Slot], owner: u64, now: Moment) -> Seen<'_> {
    let mut best: Option<Free<'_>> = None;
    let room = |free: &Free<'_>| free.due.max(now.as_nanos());
    for slot in bucket {
        let free = slot.see();
        if free.owner & !ARRIVING == owner {
            return Seen::Its(slot);
        }
        let settled = free.owner & ARRIVING == 0;
        if settled && best.as_ref().is_none_or(|best| room(&free) < room(best)) {
            best = Some(free);
        }
    }
    best.map_or(Seen::Nothing, Seen::Best)
}

impl Slot {
    /// What the owner has used, and not what one has who comes in this moment.
    fn see(&self) -> Free<'_> {
        let mut owner = self.owner.load(Acquire);
        loop {
            let due = self.due.seen();
            let still = self.owner.load(Acquire);
            if owner == still {
                return Free { slot: self, owner, due };
            }
            owner = still;
        }
    }
}

impl Free<'_> {
    /// Takes the slot and counts a first request. None if somebody else took it first.
    fn claim(self, owner: u64, pace: Pace, now: Moment) -> Option<Result<(), Duration>> {
        let Self { slot, owner: before, due } = self;
        slot.owner.compare_exchange(before, owner | ARRIVING, Relaxed, Relaxed).ok()?;
        let outcome = slot.due.restart(due, pace, now);
        slot.owner.store(owner, Release);
        Some(outcome)
    }
}

/// Never 0, and never with the mark of one who arrives.
fn owner(hash: u64) -> u64 {
    (hash & !ARRIVING).max(ARRIVING << 1)
}

#[cfg(test)]
mod tests {
    use weir_proto::{RateLimit, RateLimitKey};

    use super::*;

    fn now() -> Moment {
        Moment::from_nanos(1)
    }

    fn pace(burst: u32) -> Pace {
        let per = Duration::from_secs(1);
        Pace::of(&RateLimit { requests: 1, per, burst, key: RateLimitKey::ClientAddress, max_keys: 1024 })
    }

    /// Hashes are evenly spread; so are these.
    fn hash(n: u64) -> u64 {
        n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }

    #[test]
    fn a_slot_is_as_small_as_was_said() {
        assert_eq!((size_of::<Slot>(), size_of::<Bucket>()), (16, 128));
        assert_eq!((Keys::new(1024).0.len(), Keys::new(1025).0.len()), (128, 256));
    }

    #[test]
    fn keys_are_counted_apart() {
        let (keys, pace) = (Keys::new(1024), pace(2));
        for key in 0..100 {
            assert_eq!(keys.left(hash(key), pace, now()), 2);
            assert!(keys.take(hash(key), pace, now()).is_ok());
            assert!(keys.take(hash(key), pace, now()).is_ok());
            assert!(keys.take(hash(key), pace, now()).is_err());
            assert_eq!(keys.left(hash(key), pace, now()), 0);
        }
        assert_eq!(keys.busy(pace, now()).collect::<Vec<_>>(), [0; 100]);
    }

    /// Each table is one bucket, and just large enough: threads meet where keys are new.
    #[test]
    fn of_all_threads_exactly_the_burst_passes_for_each_key() {
        const KEYS: u64 = 8;
        const TABLES: usize = 30_000;
        let tables: Vec<_> = (0..TABLES).map(|_| Keys::new(8)).collect();
        let hammer = |seed| {
            let mut order: Vec<_> = (0..2 * KEYS).map(|n| hash(n % KEYS)).collect();
            fastrand::Rng::with_seed(seed).shuffle(&mut order);
            let passed =
                |keys: &Keys| order.iter().filter(|hash| keys.take(**hash, pace(3), now()).is_ok()).count();
            tables.iter().map(passed).sum::<usize>()
        };
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || hammer(seed))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, TABLES * 8 * 3);
    }

    #[test]
    fn a_flood_of_keys_refuses_nobody_and_does_not_clear_who_has_used_all() {
        let (keys, pace) = (Keys::new(1024), pace(3));
        let glutton = hash(0);
        for _ in 0..3 {
            assert!(keys.take(glutton, pace, now()).is_ok());
        }
        for key in 1..100_000 {
            assert!(keys.take(hash(key), pace, now()).is_ok(), "its first request");
        }
        assert!(keys.take(glutton, pace, now()).is_err());
        assert_eq!(keys.busy(pace, now()).count(), 1024);
    }

    #[test]
    fn a_slot_is_free_again_when_its_owner_has_lost_nothing() {
        let (keys, pace) = (Keys::new(8), pace(2));
        for key in 0..8 {
            assert!(keys.take(hash(key), pace, now()).is_ok());
        }
        // One of them has used more, and is still there when the others are gone.
        assert!(keys.take(hash(5), pace, now()).is_ok());
        let later = now().plus(Duration::from_millis(1_500));
        for key in 10..17 {
            assert!(keys.take(hash(key), pace, later).is_ok());
        }
        assert_eq!(keys.left(hash(5), pace, later), 1);
        assert_eq!(keys.busy(pace, later).count(), 8);
    }
}
