//! The limit against a service that is simulated: so many servers, and a queue before them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use proptest::prelude::*;

use super::*;

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;
/// What a request takes that waits for nobody, on average.
const WORK: Duration = Duration::from_millis(10);

fn settings() -> AdaptiveConcurrency {
    AdaptiveConcurrency { min_rtt_interval: Duration::from_secs(10), ..AdaptiveConcurrency::default() }
}

fn at(nanos: u64) -> Moment {
    Moment::from_nanos(nanos)
}

/// M/M/c (Kendall's notation) behind the limit; what comes while the limit is reached is refused.
struct Simulation {
    adaptive: Adaptive,
    random: fastrand::Rng,
    now: u64,
    next_arrival: u64,
    servers: u32,
    queue: VecDeque<u64>,
    /// When each request under way ends, and when it was sent.
    served: BinaryHeap<Reverse<(u64, u64)>>,
}

/// What a time of the simulation was like.
struct Seen {
    /// Answers, as a share of what the servers can do.
    goodput: f64,
    /// 99 of 100 answers took no longer.
    slow: Duration,
    /// At each update without a measurement.
    limits: Vec<u32>,
    measurements: usize,
}

impl Simulation {
    fn new(servers: u32, seed: u64) -> Self {
        // For the times of measurements.
        fastrand::seed(seed);
        Self {
            adaptive: Adaptive::new(settings(), None, at(0)),
            random: fastrand::Rng::with_seed(seed),
            now: 0,
            next_arrival: 0,
            servers,
            queue: VecDeque::new(),
            served: BinaryHeap::new(),
        }
    }

    /// `load` is in relation to what the servers can do.
    fn run(&mut self, seconds: u64, load: f64) -> Seen {
        let end = self.now + seconds * SECOND;
        let pause = WORK.div_f64(f64::from(self.servers) * load);
        let mut took = Vec::new();
        let mut seen = Seen { goodput: 0.0, slow: Duration::ZERO, limits: Vec::new(), measurements: 0 };
        while self.now < end {
            let next_end = self.served.peek().map_or(u64::MAX, |Reverse((end, _))| *end);
            let next_update = self.adaptive.next_update().as_nanos();
            self.now = self.next_arrival.min(next_end).min(next_update);
            if self.now == next_update {
                let measured = self.adaptive.is_measuring();
                let _ = self.adaptive.update(at(self.now));
                if self.adaptive.is_measuring() {
                    seen.measurements += usize::from(!measured);
                } else {
                    seen.limits.push(self.adaptive.limit());
                }
            } else if self.now == next_end {
                let Some(Reverse((_, sent))) = self.served.pop() else { continue };
                took.push(Duration::from_nanos(self.now - sent));
                let _ = self.adaptive.sample(Duration::from_nanos(self.now - sent), at(self.now));
            } else {
                self.next_arrival = self.now + self.exponential(pause);
                if self.served.len() + self.queue.len() < self.adaptive.limit() as usize {
                    self.queue.push_back(self.now);
                }
            }
            while self.served.len() < self.servers as usize
                && let Some(sent) = self.queue.pop_front()
            {
                let end = self.now + self.exponential(WORK);
                self.served.push(Reverse((end, sent)));
            }
        }
        took.sort_unstable();
        let most = Duration::from_secs(seconds).div_duration_f64(WORK) * f64::from(self.servers);
        seen.goodput = f64::from(u32::try_from(took.len()).unwrap()) / most;
        seen.slow = took[took.len() * 99 / 100];
        seen
    }

    fn exponential(&mut self, mean: Duration) -> u64 {
        nanos(mean.mul_f64(-(1.0 - self.random.f64()).ln())) + 1
    }
}

impl Seen {
    fn limit(&self) -> f64 {
        f64::from(self.limits.iter().sum::<u32>()) / f64::from(u32::try_from(self.limits.len()).unwrap())
    }
}

/// 50 samples of times that vary so much tell their median to a fifth; so one unlucky measurement costs something until
/// the next ones.
#[test]
fn three_times_the_load_leaves_the_work_done_and_the_wait_short() {
    const TRIES: u8 = 4;
    for servers in [10, 40] {
        let mut goodput = 0.0;
        for seed in 0..TRIES {
            let mut simulation = Simulation::new(servers, seed.into());
            simulation.run(10, 3.0);
            let seen = simulation.run(30, 3.0);
            let per_server = seen.limit() / f64::from(servers);
            assert!((1.0..2.5).contains(&per_server), "{per_server} with {servers} servers, {seed}");
            assert!(seen.slow < Duration::from_millis(70), "{:?} with {servers} servers, {seed}", seen.slow);
            assert!((2..=3).contains(&seen.measurements), "{}", seen.measurements);
            goodput += seen.goodput / f64::from(TRIES);
        }
        assert!(goodput > 0.95, "{goodput} with {servers} servers");
    }
}

#[test]
fn a_limit_that_is_far_too_high_comes_down_in_seconds() {
    let mut simulation = Simulation::new(20, 7);
    simulation.run(30, 0.5);
    assert_eq!(simulation.adaptive.limit(), 1000, "nobody had to wait");
    simulation.run(3, 3.0);
    let seen = simulation.run(5, 3.0);
    assert!((20.0..50.0).contains(&seen.limit()), "{}", seen.limit());
}

#[test]
fn it_follows_a_service_that_grows_and_one_that_shrinks() {
    let mut simulation = Simulation::new(20, 7);
    simulation.run(10, 3.0);
    for servers in [40, 10] {
        simulation.servers = servers;
        simulation.run(5, 3.0);
        let seen = simulation.run(20, 3.0);
        assert!(seen.goodput > 0.9, "{} with {servers}", seen.goodput);
        let servers = f64::from(servers);
        assert!((servers..2.5 * servers).contains(&seen.limit()), "{} for {servers} servers", seen.limit());
    }
}

#[test]
fn the_ideal_is_measured_at_the_least_limit_by_requests_of_that_time() {
    let adaptive = Adaptive::new(settings(), None, at(SECOND));
    assert!(adaptive.is_measuring() && adaptive.limit() == 3 && adaptive.ideal().is_none());
    let millis = Duration::from_millis;
    for _ in 0..100 {
        assert!(!adaptive.sample(millis(500), at(SECOND + 499 * MILLI)), "it was sent before");
    }
    for _ in 0..49 {
        assert!(!adaptive.sample(millis(20), at(2 * SECOND)));
    }
    assert!(adaptive.is_measuring());
    assert!(adaptive.sample(millis(20), at(2 * SECOND)), "the last: those who wait may look");
    assert!(!adaptive.is_measuring());
    assert!(!adaptive.sample(millis(900), at(2 * SECOND)), "one too many");
    let _ = adaptive.update(at(2 * SECOND));
    let ideal = adaptive.ideal().unwrap().as_secs_f64();
    assert!((ideal / 0.02 - 1.0).abs() < 1.0 / 16.0, "{ideal}");
}

#[test]
fn a_slow_service_is_not_held_down_until_it_has_answered_often() {
    let adaptive = Adaptive::new(settings(), None, at(0));
    for _ in 0..FEW - 1 {
        assert!(!adaptive.sample(Duration::from_millis(700), at(SECOND)));
    }
    assert!(!adaptive.update(at(5 * SECOND)) && adaptive.is_measuring());
    assert!(!adaptive.sample(Duration::from_millis(700), at(5 * SECOND)));
    assert!(!adaptive.update(at(6 * SECOND)) && !adaptive.is_measuring());
    assert!(!adaptive.sample(Duration::from_millis(700), at(6 * SECOND)));
    assert!(adaptive.update(at(7 * SECOND)), "and so it grows");
    assert_eq!(adaptive.limit(), 5);
}

#[test]
fn without_answers_nothing_changes_and_at_the_least_the_ideal_is_doubted() {
    let mut simulation = Simulation::new(20, 7);
    simulation.run(5, 3.0);
    let (adaptive, now) = (simulation.adaptive, simulation.now);
    let limit = adaptive.limit();
    assert!(!adaptive.update(at(now + SECOND)) && adaptive.limit() == limit);
    let mut time = now + 2 * SECOND;
    while !adaptive.is_measuring() {
        assert!(!adaptive.sample(Duration::from_secs(1), at(time)) && !adaptive.update(at(time)));
        time += SECOND / 10;
    }
    let updates = (time - now - 2 * SECOND) / (SECOND / 10);
    assert!((DOUBTS.into()..20).contains(&updates), "{updates}");
}

#[test]
fn other_settings_go_on_with_what_was_found() {
    let mut simulation = Simulation::new(20, 7);
    simulation.run(5, 3.0);
    let before = simulation.adaptive;
    let wider = Adaptive::new(AdaptiveConcurrency { max_limit: 5_000, ..settings() }, Some(&before), at(0));
    assert_eq!((wider.limit(), wider.ideal()), (before.limit(), before.ideal()));
    let narrower = Adaptive::new(AdaptiveConcurrency { max_limit: 7, ..settings() }, Some(&before), at(0));
    assert_eq!(narrower.limit(), 7);
}

proptest! {
    #[test]
    fn one_step_is_never_large(limit in 1_u32..=1_000_000, ideal: u32, took: u32, buffer in 0_u32..=1_000) {
        let micros = |n: u32| Duration::from_micros(u64::from(n));
        let next = f64::from(next(limit, micros(ideal), micros(took), buffer));
        let limit = f64::from(limit);
        prop_assert!(next >= (limit / 2.0).floor() && next <= 2.0 * limit + (2.0 * limit).sqrt());
    }
}
