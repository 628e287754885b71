//! The guard over real leases against a plain model: agents fall silent, die, come back and are stopped at random.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use tokio::time::Instant;
use weir_proto::{BackendKey, Epoch, LeaseId, LeaseTerms};

use super::{Case, Cause, FLEET, Guard, Hold, Rules, Verdict};
use crate::{
    lease::{Leases, TICK},
    snapshot::Snapshot,
};

const RULES: Rules = Rules { renewals: 850, max_expiry_percent: 15, max_hold: Duration::from_secs(20) };

/// What the model knows of a lease that lives. Times are those that count: without the pauses.
#[derive(Debug, Clone)]
struct Agent {
    service: u64,
    ttl: Duration,
    renewed: Duration,
    beats: bool,
    dead: bool,
}

/// An expiry, as the model saw it.
#[derive(Debug, Clone)]
struct Expiry {
    at: Duration,
    id: u64,
    service: u64,
    cause: Cause,
    /// How many lived at the beginning of that tick: in the service, and in all.
    live: (usize, usize),
}

struct World {
    leases: Leases,
    guard: Guard,
    now: Instant,
    /// The time that counts.
    counted: Duration,
    agents: BTreeMap<u64, Agent>,
    expiries: Vec<Expiry>,
    /// When self-preservation began.
    episode: Option<Duration>,
    one_ttl: bool,
}

#[derive(Debug, Clone)]
enum Op {
    Silence(u64),
    SilenceEvery(u64),
    Kill(u64),
    Revive(u64),
    ReviveAll,
    Register(u64),
    Wait(u32),
    Pause(u64),
}

impl World {
    fn new(services: &[u64], ttl: Duration, one_ttl: bool) -> Self {
        let now = Instant::now();
        let mut world = Self {
            leases: Leases::restore(&Snapshot::empty(Epoch(1)), now),
            guard: Guard::new(RULES),
            now,
            counted: Duration::ZERO,
            agents: BTreeMap::new(),
            expiries: Vec::new(),
            episode: None,
            one_ttl,
        };
        let mut id = 0;
        for (service, size) in services.iter().enumerate() {
            for _ in 0..*size {
                id += 1;
                let ttl = if one_ttl || id % 2 == 0 { ttl } else { ttl * 2 };
                world.register(id, service as u64, ttl);
            }
        }
        world
    }

    fn register(&mut self, id: u64, service: u64, ttl: Duration) {
        let terms = LeaseTerms { ttl, deregister_after: Duration::ZERO };
        self.leases.grant(LeaseId(id), &key(service, id), terms, self.now);
        self.agents.insert(id, Agent { service, ttl, renewed: self.counted, beats: true, dead: false });
    }

    fn act(&mut self, op: &Op) {
        let mut change = |pick: &dyn Fn(u64) -> bool, beats: bool, dead: bool| {
            for (_, agent) in self.agents.iter_mut().filter(|(id, _)| pick(**id)) {
                (agent.beats, agent.dead) = (beats, dead);
            }
        };
        match *op {
            Op::Silence(one) => change(&|id| id == one, false, false),
            Op::SilenceEvery(n) => change(&|id| id % n == 0, false, false),
            Op::Kill(n) => change(&|id| id % n == 0, false, true),
            Op::Revive(one) => change(&|id| id == one, true, false),
            Op::ReviveAll => change(&|_| true, true, false),
            Op::Register(id) => {
                let (service, ttl) =
                    self.agents.values().next().map_or((0, TICK * 10), |a| (a.service, a.ttl));
                if !self.agents.contains_key(&id) {
                    // A lease's id is never given twice.
                    self.register(1_000 * (self.expiries.len() as u64 + 1) + id, service, ttl);
                }
            }
            Op::Wait(ticks) => (0..ticks).for_each(|_| self.tick(Duration::ZERO)),
            Op::Pause(ms) => self.tick(Duration::from_millis(ms)),
        }
    }

    /// One turn of the lease loop, late by `pause`.
    fn tick(&mut self, pause: Duration) {
        self.now += TICK + pause;
        self.counted += TICK;
        if !pause.is_zero() {
            self.leases.extend(self.now - pause, self.now);
            self.guard.shift(pause);
        }
        for (id, agent) in &mut self.agents {
            // Each at its own moments, a few of them too late for comfort.
            let interval = agent.ttl / 3 + TICK * u32::try_from(id % 3).expect("small");
            if agent.beats && agent.renewed + interval <= self.counted {
                agent.renewed = self.counted;
                assert!(self.leases.renew(LeaseId(*id), self.now));
            }
        }
        let due = self.leases.due(self.now);
        self.check_count(self.leases.late(), |agent| agent.ttl * 2 / 3);
        self.guard.observe(self.now, self.leases.live(), self.leases.late(), self.leases.longest_ttl());
        match (self.guard.is_preserving(), self.episode) {
            (true, None) => self.episode = Some(self.counted),
            (false, Some(_)) => self.episode = None,
            _ => {}
        }
        let (live, mut going) = (self.agents.clone(), Vec::new());
        for silent in due.silent {
            let id = silent.id.0;
            let agent = live[&id].clone();
            assert!(agent.renewed + agent.ttl <= self.counted, "it was renewed");
            let others = live.iter().filter(|(other, a)| a.service == agent.service && **other != id);
            let is_last = !others.clone().any(|(other, _)| !going.contains(other));
            let asked = Case {
                backend: &silent.backend,
                ttl: silent.ttl,
                due: silent.due,
                is_overdue: silent.is_overdue,
                live: silent.live,
            };
            assert_eq!(silent.live, 1 + others.count());
            match self.guard.decide(self.now, asked, || agent.dead, || is_last) {
                Verdict::Expire(cause) => {
                    self.leases.begin_expiry(silent.id, self.now).expect("it is due");
                    self.leases.forget(silent.id);
                    self.agents.remove(&id);
                    going.push(id);
                    let in_service = live.values().filter(|a| a.service == agent.service).count();
                    let (at, service, live) = (self.counted, agent.service, (in_service, live.len()));
                    self.expiries.push(Expiry { at, id, service, cause, live });
                    self.check_expiry(&agent, is_last);
                }
                Verdict::Hold(why) => {
                    self.leases.hold(silent.id, why, self.now);
                    self.check_hold(id, &agent, why, is_last);
                }
            }
        }
        // In every tick, everybody who is due was decided about.
        self.check_count(self.leases.overdue(), |agent| agent.ttl);
    }

    /// So many were not renewed for as long as `silence` says; nobody is counted early, nor more than a tick late.
    fn check_count(&self, count: usize, silence: impl Fn(&Agent) -> Duration) {
        let by = |now: Duration| self.agents.values().filter(|a| a.renewed + silence(a) <= now).count();
        let range = by(self.counted.saturating_sub(TICK))..=by(self.counted);
        assert!(range.contains(&count), "{count}, not {range:?}");
    }

    fn check_expiry(&self, agent: &Agent, is_last: bool) {
        let this = self.expiries.last().expect("one");
        let overdue_for = self.counted.saturating_sub(agent.renewed + agent.ttl);
        match this.cause {
            Cause::Confirmed => return assert!(agent.dead && overdue_for >= TICK, "{this:?}"),
            Cause::MaxHold => assert!(overdue_for >= RULES.max_hold, "{this:?}"),
            Cause::Silence => {
                assert!(overdue_for < RULES.max_hold, "{this:?}");
                assert!(
                    !is_last || !self.others_expired(this.id, agent.service, 1),
                    "nobody is left: {this:?}"
                );
                if let Some(begin) = self.episode.filter(|_| self.one_ttl) {
                    // The share of what lived before the first of them.
                    for of in [Some(agent.service), None] {
                        let (count, most) =
                            self.since((begin + TICK).saturating_sub(agent.ttl), of).expect("this");
                        assert!(count <= most, "{count} of {most} in self-preservation: {this:?}");
                    }
                }
            }
        }
        assert!(!self.is_full(agent, Some(agent.service), 1), "beyond the service's cap: {this:?}");
        assert!(!self.is_full(agent, None, 1), "beyond the fleet's cap: {this:?}");
    }

    fn check_hold(&self, id: u64, agent: &Agent, why: Hold, is_last: bool) {
        let is_over = self.counted >= agent.renewed + agent.ttl + RULES.max_hold;
        match why {
            Hold::ServiceCap => assert!(self.is_full(agent, Some(agent.service), 0), "for nothing"),
            Hold::FleetCap => assert!(self.is_full(agent, None, 0), "for nothing"),
            Hold::LastBackend => {
                assert!(!is_over && is_last && self.others_expired(id, agent.service, 0), "for nothing");
            }
            Hold::SelfPreservation => assert!(!is_over && self.episode.is_some(), "for nothing"),
        }
    }

    /// Whether as many as may, and `more`, expired in the ttl that ends now: of a service, or of all.
    fn is_full(&self, agent: &Agent, of: Option<u64>, more: usize) -> bool {
        let begin = (self.counted + TICK).saturating_sub(agent.ttl);
        self.since(begin, of).is_some_and(|(count, most)| count >= most + more)
    }

    /// How many expired since then, and how many might; none if there is nothing to say.
    fn since(&self, begin: Duration, of: Option<u64>) -> Option<(usize, usize)> {
        let since: Vec<_> =
            self.expiries.iter().filter(|e| e.at >= begin && of.is_none_or(|of| e.service == of)).collect();
        let first = since.first()?;
        let live = if of.is_some() { first.live.0 } else { first.live.1 };
        if of.is_none() && live < FLEET {
            return Some((0, 1));
        }
        Some((since.len(), (live * RULES.max_expiry_percent / 100).max(1)))
    }

    /// Whether backends of the service but this one expired lately, the last `skip` expiries aside.
    fn others_expired(&self, id: u64, service: u64, skip: usize) -> bool {
        let before = &self.expiries[..self.expiries.len() - skip];
        before.iter().any(|e| e.service == service && e.id != id && e.at + RULES.max_hold > self.counted)
    }
}

fn key(service: u64, id: u64) -> BackendKey {
    BackendKey::try_from(format!("s{service}/b{id}").as_str()).expect("valid")
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        2 => (1..40u64).prop_map(Op::Silence),
        2 => (1..6u64).prop_map(Op::SilenceEvery),
        1 => (2..9u64).prop_map(Op::Kill),
        2 => (1..40u64).prop_map(Op::Revive),
        1 => Just(Op::ReviveAll),
        1 => (1..40u64).prop_map(Op::Register),
        6 => (1..60u32).prop_map(Op::Wait),
        1 => (1..600_000u64).prop_map(Op::Pause),
    ];
    prop::collection::vec(op, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Never beyond the cap in any window, nor beyond one cap's worth in self-preservation; never the last one; nothing
    /// that was renewed; and nothing is held without its reason, so that within the cap a lease lasts its ttl and a tick.
    #[test]
    fn leases_expire_by_the_rule_and_all_recover(
        services in prop::collection::vec(1..20u64, 1..5),
        ttl in 1..4u64,
        one_ttl: bool,
        ops in ops(),
        all_die: bool,
    ) {
        let mut world = World::new(&services, Duration::from_secs(ttl), one_ttl);
        for op in &ops {
            world.act(op);
        }
        let longest = 2 * Duration::from_secs(ttl);
        let ticks = |time: Duration| u32::try_from(time.as_millis() / TICK.as_millis()).expect("few");
        if all_die {
            // Whatever holds them: after `max_hold` they go, and that takes a ttl for each at most.
            world.act(&Op::SilenceEvery(1));
            let left = u32::try_from(world.agents.len()).expect("few");
            world.act(&Op::Wait(ticks(longest + RULES.max_hold + longest * (left + 1))));
            prop_assert_eq!(world.leases.live(), 0);
        } else {
            let before: Vec<_> = world.agents.keys().copied().collect();
            world.act(&Op::ReviveAll);
            world.act(&Op::Wait(ticks(longest)));
            let after: Vec<_> = world.agents.keys().copied().collect();
            prop_assert_eq!((before, world.leases.overdue(), world.leases.late()), (after, 0, 0));
            prop_assert!(!world.guard.is_preserving());
        }
    }
}
