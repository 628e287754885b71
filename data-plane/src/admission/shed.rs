//! When the proxy itself has more to do than it can: some requests are refused at once, so that the others are served.
//! Never those to its admin page, which does not pass here, and never probes of backends.

mod memory;
mod odds;

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use tokio::time::{self, Duration, MissedTickBehavior};

pub(crate) use self::odds::Usage;
use self::{memory::Meter, odds::Odds};
use crate::{config::Config, moment::nanos, padded::Padded, reason::Reason};

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// So many looks without refusals, and it is said that they are over: 10 s.
const CALM: u32 = 40;

/// What the proxy refuses to protect itself. A request reads one word of its own worker's; while the number of requests
/// is not limited, it writes nothing.
#[derive(Debug)]
pub(crate) struct Shed {
    workers: Box<[Padded<Load>]>,
    meter: Meter,
    /// Memory in use and its limit, as they were seen last; a limit of 0 is none.
    used: AtomicU64,
    limit: AtomicU64,
    max_lateness: Duration,
    max_in_flight: Option<NonZeroU32>,
    in_flight: Padded<AtomicU32>,
}

/// A worker's.
#[derive(Debug, Default)]
struct Load {
    /// What it refuses, by all that is known: the larger of the two.
    odds: AtomicU32,
    by_memory: AtomicU32,
    by_lateness: AtomicU32,
    /// In nanoseconds.
    late: AtomicU64,
}

/// Leave for one request, to its end.
#[derive(Debug)]
pub(crate) struct Admitted(Option<Arc<Shed>>);

/// How loaded the proxy is, for display.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pressure {
    /// None if memory is not limited.
    pub(crate) memory: Option<Usage>,
    /// Of the worker that is latest.
    pub(crate) late: Duration,
    /// Of the requests, at the worker that refuses most: from 0 to 1.
    pub(crate) refused: f64,
    /// Requests that have not ended, and how many there may be. None if their number is not limited.
    pub(crate) in_flight: Option<(u32, u32)>,
}

impl Shed {
    pub(crate) fn new(workers: usize, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            workers: std::iter::repeat_with(Padded::default).take(workers).collect(),
            meter: Meter::new(config.max_memory),
            used: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            max_lateness: config.max_lateness,
            max_in_flight: config.max_requests_in_flight,
            in_flight: Padded::default(),
        })
    }

    /// One that a test has no use for.
    #[cfg(test)]
    pub(crate) fn none() -> Arc<Self> {
        Self::new(1, &Config { max_lateness: Duration::ZERO, ..Config::default() })
    }

    /// Whether this worker takes another request.
    pub(crate) fn admit(self: &Arc<Self>, worker: usize) -> Result<Admitted, Reason> {
        if self.workers.get(worker).is_some_and(|load| load.odds().hit()) {
            return Err(Reason::Shed);
        }
        let Some(most) = self.max_in_flight else { return Ok(Admitted(None)) };
        let enter = |in_flight| (in_flight < most.get()).then_some(in_flight + 1);
        match self.in_flight.fetch_update(Relaxed, Relaxed, enter) {
            Ok(_) => Ok(Admitted(Some(Arc::clone(self)))),
            Err(_) => Err(Reason::Shed),
        }
    }

    /// A worker comes so late to what it does from time to time. It counts when it is late twice: a pause of the whole
    /// process is no load.
    pub(crate) fn late(&self, worker: usize, late: Duration) {
        let Some(load) = self.workers.get(worker) else { return };
        let before = load.late.swap(nanos(late), Relaxed);
        let lasting = late.min(Duration::from_nanos(before));
        load.by_lateness.store(Odds::of_lateness(lasting, self.max_lateness).bits(), Relaxed);
        load.add_up();
    }

    /// How much memory the process may use, as far as that is known.
    pub(crate) fn memory_limit(&self) -> Option<u64> {
        self.meter.read().map(|usage| usage.limit)
    }

    /// Looks at memory from time to time, for ever.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut looks = time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calm = CALM;
        loop {
            looks.tick().await;
            self.look(self.meter.read());
            calm = self.tell(calm);
        }
    }

    pub(crate) fn pressure(&self) -> Pressure {
        let late = self.workers.iter().map(|load| load.late.load(Relaxed)).max().unwrap_or(0);
        let memory = Usage { used: self.used.load(Relaxed), limit: self.limit.load(Relaxed) };
        Pressure {
            memory: (memory.limit > 0).then_some(memory),
            late: Duration::from_nanos(late),
            refused: self.odds().share(),
            in_flight: self.max_in_flight.map(|most| (self.in_flight.load(Relaxed), most.get())),
        }
    }

    fn look(&self, memory: Option<Usage>) {
        let memory = memory.unwrap_or_default();
        self.used.store(memory.used, Relaxed);
        self.limit.store(memory.limit, Relaxed);
        let odds = if memory.limit > 0 { Odds::of_memory(memory) } else { Odds::default() };
        for load in &self.workers {
            load.by_memory.store(odds.bits(), Relaxed);
            load.add_up();
        }
    }

    /// Says when it begins and when it is over. Looks without refusals, up to `CALM`.
    fn tell(&self, calm: u32) -> u32 {
        let Pressure { memory, late, refused, .. } = self.pressure();
        if refused > 0.0 {
            if calm >= CALM {
                let memory = memory.map_or(0, |memory| memory.used * 100 / memory.limit.max(1));
                tracing::warn!(
                    "too much to do: {:.0} % of the requests are refused; {memory} % of the memory is used, the \
                     threads are late by {late:?}",
                    refused * 100.0,
                );
            }
            return 0;
        }
        if calm + 1 == CALM {
            tracing::info!("all requests are taken again");
        }
        (calm + 1).min(CALM)
    }

    fn odds(&self) -> Odds {
        self.workers.iter().map(|load| load.odds()).max().unwrap_or_default()
    }
}

impl Load {
    fn odds(&self) -> Odds {
        Odds::from_bits(self.odds.load(Relaxed))
    }

    /// Two threads may do this at one time; what one of them misses lasts until the next look.
    fn add_up(&self) {
        let odds = self.by_memory.load(Relaxed).max(self.by_lateness.load(Relaxed));
        self.odds.store(odds, Relaxed);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(shed) = &self.0 {
            shed.in_flight.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MaxMemory;

    fn shed(max_requests_in_flight: Option<u32>) -> Arc<Shed> {
        let config = Config {
            max_memory: MaxMemory::Off,
            max_requests_in_flight: max_requests_in_flight.and_then(NonZeroU32::new),
            ..Config::default()
        };
        Shed::new(2, &config)
    }

    fn admitted(shed: &Arc<Shed>, worker: usize) -> usize {
        (0..1_000).filter(|_| shed.admit(worker).is_ok()).count()
    }

    #[test]
    fn a_proxy_at_ease_refuses_nobody() {
        let shed = shed(None);
        shed.look(None);
        shed.late(0, Duration::ZERO);
        assert_eq!(admitted(&shed, 0), 1_000);
        let ease = Pressure { memory: None, late: Duration::ZERO, refused: 0.0, in_flight: None };
        assert_eq!(shed.pressure(), ease);
    }

    #[test]
    fn memory_is_for_all_and_lateness_for_each() {
        let shed = shed(None);
        for _ in 0..2 {
            shed.late(1, Duration::from_secs(2));
        }
        assert_eq!((admitted(&shed, 0), admitted(&shed, 1)), (1_000, 0));
        shed.look(Some(Usage { used: 94, limit: 100 }));
        assert!((400..600).contains(&admitted(&shed, 0)), "about half");
        shed.look(Some(Usage { used: 98, limit: 100 }));
        assert_eq!(admitted(&shed, 0), 0);
        shed.late(1, Duration::ZERO);
        shed.look(Some(Usage { used: 89, limit: 100 }));
        assert_eq!((admitted(&shed, 0), admitted(&shed, 1)), (1_000, 1_000));
    }

    #[test]
    fn one_pause_is_no_load() {
        let shed = shed(None);
        shed.late(0, Duration::from_mins(1));
        assert_eq!(admitted(&shed, 0), 1_000);
        shed.late(0, Duration::from_millis(1));
        shed.late(0, Duration::from_millis(1));
        assert_eq!(admitted(&shed, 0), 1_000);
        assert_eq!(shed.pressure().late, Duration::from_millis(1));
    }

    #[test]
    fn the_number_of_requests_is_exact_over_all_workers() {
        let shed = shed(Some(3));
        let mut held: Vec<_> = (0..3).map(|i| shed.admit(i % 2).unwrap()).collect();
        assert_eq!(shed.admit(0).unwrap_err(), Reason::Shed);
        assert_eq!(shed.pressure().in_flight, Some((3, 3)));
        held.pop();
        drop(shed.admit(1).unwrap());
        held.clear();
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (shed, most) = (&shed, &most);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if let Ok(_admitted) = shed.admit(worker % 2) {
                            most.fetch_max(shed.in_flight.load(Relaxed), Relaxed);
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
        assert_eq!(shed.pressure().in_flight, Some((0, 3)));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_looked_at_again_and_again() {
        let config = Config { max_memory: MaxMemory::Bytes(1), ..Config::default() };
        let shed = Shed::new(1, &config);
        let watch = tokio::spawn(Arc::clone(&shed).watch());
        time::sleep(LOOK * 2).await;
        assert_eq!(admitted(&shed, 0), 0, "nobody lives on one byte");
        shed.look(None);
        assert_eq!(admitted(&shed, 0), 1_000);
        time::sleep(LOOK * 2).await;
        assert_eq!(admitted(&shed, 0), 0);
        watch.abort();
    }

    #[test]
    fn who_may_be_as_late_as_it_likes_refuses_nothing() {
        let shed = Shed::new(1, &Config { max_lateness: Duration::ZERO, ..Config::default() });
        for _ in 0..3 {
            shed.late(0, Duration::from_mins(1));
        }
        assert_eq!(admitted(&shed, 0), 1_000);
    }

    #[test]
    fn only_a_long_calm_ends_a_time_of_refusals() {
        let shed = shed(None);
        assert_eq!(shed.tell(CALM), CALM);
        shed.look(Some(Usage { used: 1, limit: 1 }));
        assert_eq!(shed.tell(shed.tell(CALM)), 0);
        shed.look(None);
        let calm = (0..CALM + 5).fold(0, |calm, _| shed.tell(calm));
        assert_eq!(calm, CALM);
    }
}
