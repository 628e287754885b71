//! Which backends come, go or change so often that waking all proxies for each time would serve nobody. Pure: time is
//! passed in.
//!
//! After the idea of RFC 2439. Each time that an agent's registration changes what proxies have, although its backend was
//! there lately, the backend's penalty grows by 1; it halves within [`HALF_LIFE`]. A registration that would bring it
//! above the limit is put off until it would not. A first registration counts as well, but is never put off. One that
//! begins to flap once in a second is let in twice, and then about once in a minute: proxies see it go, come, go, come and
//! go. What takes a backend out is never put off.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;
use weir_proto::BackendKey;

/// In this time a penalty halves.
const HALF_LIFE: Duration = Duration::from_mins(1);
/// So long a backend that left, or has no penalty worth the name, is remembered; and nobody is put off for longer.
const MEMORY: Duration = Duration::from_mins(5);
/// What is left of a penalty of 1 after [`MEMORY`].
const NOTHING: f64 = 1.0 / 32.0;
/// What counts for nothing, in half-lives: 6 ms.
const SLACK: f64 = 1e-4;
/// How many backends are remembered. Further ones flap unnoticed.
const MOST: usize = 100_000;
/// How many of these may be there only because they registered for the first time: should all do so at once, there is
/// still room for those that flap.
const MOST_NEW: usize = MOST / 2;
/// When there are so many, those that mean nothing any more are looked for, but not more often than this.
const SWEEP: Duration = Duration::from_secs(1);

/// The penalties.
#[derive(Debug)]
pub(crate) struct Damping {
    /// No penalty grows beyond it; 0 turns damping off.
    limit: f64,
    /// One more flap of a backend with a higher penalty is put off.
    free: f64,
    backends: HashMap<BackendKey, Flaps>,
    /// Those that are put off; some of them may be free again.
    held: HashSet<BackendKey>,
    swept: Option<Instant>,
}

/// What is known of one backend.
#[derive(Debug, Clone, Copy)]
struct Flaps {
    /// As of `at`.
    penalty: f64,
    at: Instant,
    /// How often it came or changed since it was remembered.
    count: u32,
    is_held: bool,
}

/// A registration that is put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldBack {
    /// How often the backend came or changed lately.
    pub(crate) flaps: u32,
    /// When it may come.
    pub(crate) retry_after: Duration,
    /// Whether this is the first time since it was free.
    pub(crate) is_news: bool,
}

impl Damping {
    /// Nobody has flapped yet. 0 as the limit turns damping off.
    pub(crate) fn new(limit: u32) -> Self {
        let limit = f64::from(limit);
        Self {
            limit,
            free: (limit - 1.0).max(NOTHING),
            backends: HashMap::new(),
            held: HashSet::new(),
            swept: None,
        }
    }

    /// Whether the backend was there lately, or is.
    pub(crate) fn knows(&self, key: &BackendKey, now: Instant) -> bool {
        self.backends.get(key).is_some_and(|flaps| flaps.matters(now))
    }

    /// Refuses one more flap of the backend, if that would be too many. Being refused adds nothing.
    pub(crate) fn check(&mut self, key: &BackendKey, now: Instant) -> Result<(), HeldBack> {
        if self.limit == 0.0 {
            return Ok(());
        }
        let Some(flaps) = self.backends.get_mut(key) else { return Ok(()) };
        if flaps.left(now, self.free).is_zero() {
            flaps.is_held = false;
            self.held.remove(key);
            return Ok(());
        }
        let is_news = !std::mem::replace(&mut flaps.is_held, true);
        let held = HeldBack { flaps: flaps.count, retry_after: flaps.left(now, self.free), is_news };
        if is_news {
            self.held.insert(key.clone());
        }
        Err(held)
    }

    /// The backend came for the first time, as far as anybody remembers.
    pub(crate) fn came(&mut self, key: &BackendKey, now: Instant) {
        if self.has_room(now, MOST_NEW) {
            self.flapped(key, now);
        }
    }

    /// The backend flapped.
    pub(crate) fn flapped(&mut self, key: &BackendKey, now: Instant) {
        if let Some(flaps) = self.remember(key, now) {
            flaps.penalty += 1.0;
            flaps.count = flaps.count.saturating_add(1);
        }
    }

    /// The backend is gone: should it come back, that is a flap.
    pub(crate) fn left(&mut self, key: &BackendKey, now: Instant) {
        self.remember(key, now);
    }

    /// How long the backend is still put off, if it is.
    pub(crate) fn held(&self, key: &BackendKey, now: Instant) -> Option<Duration> {
        let flaps = self.backends.get(key).filter(|flaps| flaps.is_held)?;
        Some(flaps.left(now, self.free)).filter(|left| !left.is_zero())
    }

    /// How many are put off.
    pub(crate) fn count_held(&mut self, now: Instant) -> usize {
        let (backends, free) = (&mut self.backends, self.free);
        self.held.retain(|key| {
            let Some(flaps) = backends.get_mut(key) else { return false };
            flaps.is_held &= !flaps.left(now, free).is_zero();
            flaps.is_held
        });
        self.held.len()
    }

    /// The entry of a backend, its penalty that of now. None if damping is off or there is no room.
    fn remember(&mut self, key: &BackendKey, now: Instant) -> Option<&mut Flaps> {
        if self.limit == 0.0 || !(self.backends.contains_key(key) || self.has_room(now, MOST)) {
            return None;
        }
        let fresh = Flaps { penalty: 0.0, at: now, count: 0, is_held: false };
        let flaps = self.backends.entry(key.clone()).or_insert(fresh);
        *flaps =
            if flaps.matters(now) { Flaps { penalty: flaps.penalty(now), at: now, ..*flaps } } else { fresh };
        Some(flaps)
    }

    fn has_room(&mut self, now: Instant, most: usize) -> bool {
        if self.backends.len() >= most && self.swept.is_none_or(|at| at + SWEEP <= now) {
            self.swept = Some(now);
            self.backends.retain(|_, flaps| flaps.matters(now));
            self.held.retain(|key| self.backends.contains_key(key));
        }
        self.backends.len() < most
    }
}

impl Flaps {
    fn penalty(&self, now: Instant) -> f64 {
        let halvings = now.saturating_duration_since(self.at).div_duration_f64(HALF_LIFE);
        self.penalty * (-halvings).exp2()
    }

    /// Until the penalty is `free`; a little more than that, so that whoever waits for so long is free.
    fn left(&self, now: Instant, free: f64) -> Duration {
        let halvings = (self.penalty(now) / free).log2();
        if halvings > SLACK { HALF_LIFE.mul_f64(halvings + SLACK).min(MEMORY) } else { Duration::ZERO }
    }

    /// Whether anything of it is left.
    fn matters(&self, now: Instant) -> bool {
        self.at + MEMORY > now || self.penalty(now) > NOTHING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(n: usize) -> BackendKey {
        BackendKey::try_from(format!("web/{n}").as_str()).expect("valid")
    }

    /// Registers a backend that is gone and has it leave at once; whether that was let through.
    fn flap(damping: &mut Damping, now: Instant) -> bool {
        let come = damping.check(&key(1), now).is_ok();
        if come {
            damping.flapped(&key(1), now);
            damping.left(&key(1), now);
        }
        come
    }

    #[test]
    fn once_a_second_is_let_in_twice_and_then_about_once_a_minute() {
        let (mut damping, t0) = (Damping::new(2), Instant::now());
        damping.left(&key(1), t0);
        let come: Vec<u32> = (1..600).filter(|n| flap(&mut damping, t0 + *n * SECOND)).collect();
        assert_eq!(come[..2], [1, 2], "{come:?}");
        assert!((59..63).contains(&(come[2] - come[0])), "{come:?}");
        assert!(come[1..].windows(2).all(|pair| (58..63).contains(&(pair[1] - pair[0]))), "{come:?}");
    }

    #[test]
    fn whoever_waits_as_long_as_told_is_free_and_refusals_add_nothing() {
        for limit in 1..6 {
            let (mut damping, mut now) = (Damping::new(limit), Instant::now());
            damping.left(&key(1), now);
            assert!((0..limit).all(|_| flap(&mut damping, now)), "{limit}");
            let held = damping.check(&key(1), now).expect_err("too many");
            assert_eq!((held.flaps, held.is_news), (limit, true));
            assert!(held.retry_after <= MEMORY);
            for _ in 0..100 {
                let again = damping.check(&key(1), now).expect_err("still");
                assert_eq!((again.retry_after, again.is_news), (held.retry_after, false));
            }
            assert_eq!((damping.held(&key(1), now), damping.count_held(now)), (Some(held.retry_after), 1));
            let almost = held.retry_after.saturating_sub(SECOND);
            assert!(damping.check(&key(1), now + almost).is_err());
            now += held.retry_after;
            assert_eq!((damping.held(&key(1), now), damping.count_held(now)), (None, 0));
            assert_eq!(damping.check(&key(1), now), Ok(()));
        }
    }

    #[test]
    fn a_new_one_that_goes_at_once_is_let_in_once_more() {
        let (mut damping, now) = (Damping::new(2), Instant::now());
        damping.came(&key(1), now);
        damping.left(&key(1), now);
        assert_eq!([flap(&mut damping, now), flap(&mut damping, now)], [true, false]);
    }

    #[test]
    fn however_many_are_new_there_is_room_for_those_that_flap() {
        let (mut damping, now) = (Damping::new(2), Instant::now());
        (0..MOST).for_each(|n| damping.came(&key(n), now));
        assert_eq!(damping.backends.len(), MOST_NEW);
        damping.left(&key(MOST), now);
        assert!(damping.knows(&key(MOST), now));
    }

    #[test]
    fn who_is_quiet_is_forgotten() {
        let (mut damping, now) = (Damping::new(2), Instant::now());
        assert!(!damping.knows(&key(1), now));
        damping.left(&key(1), now);
        assert!(damping.knows(&key(1), now + MEMORY - SECOND));
        assert!(!damping.knows(&key(1), now + MEMORY));
    }

    #[test]
    fn without_a_limit_nobody_is_put_off() {
        let (mut damping, now) = (Damping::new(0), Instant::now());
        assert!((0..100).all(|_| flap(&mut damping, now)));
        assert!(!damping.knows(&key(1), now));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let (mut damping, now) = (Damping::new(2), Instant::now());
        (0..MOST + 10).for_each(|n| damping.left(&key(n), now));
        assert_eq!(damping.backends.len(), MOST);
        assert!(!damping.knows(&key(MOST), now));
        let later = now + MEMORY;
        damping.left(&key(MOST), later);
        assert!(damping.knows(&key(MOST), later) && damping.backends.len() == 1, "the old ones went");
    }
}
