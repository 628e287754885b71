//! Which of the leases that are due may expire now. Pure: time and counts are passed in.
//!
//! A lease that is due expires at once as long as few do. When many do, it is more likely that something between the
//! backends and the control plane is broken than that they are all gone, and then taking them out would do the harm.
//! What is overdue and dead to every connected proxy expires, whatever else holds: health decides. Anything else is held
//! by the first of these:
//!
//! 1. **Self-preservation.** While fewer than `renewals` of all live leases (at least 10) were renewed within the last
//!    two thirds of their ttl, no more expire than one cap's worth, counted from one ttl before that began.
//! 2. **The cap.** In any window of one ttl, which is the lease's own, at most `max_expiry_percent` of the leases of its
//!    service expire, and of all leases if there are at least 10; but one always may. It is the share of those that lived
//!    just before the window's first expiry. What health confirmed counts in it, too.
//! 3. **Nobody is the last to go.** A lease without which its service had no routable backend is held, if another
//!    backend of that service expired within the last `max_hold`. So a service with one backend obeys its ttl.
//!
//! What is held for longer than `max_hold` goes at the cap's pace: only the second holds it any more.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;
use weir_proto::{BackendId, BackendKey, ServiceName};

use super::window::Window;

/// With fewer leases than this in all, neither the fleet's cap nor self-preservation means anything.
const FLEET: usize = 10;
/// How often services that have nothing to remember are forgotten.
const SWEEP: Duration = Duration::from_secs(10);

/// How leases expire; see [`crate::Config`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Per mille of the live leases: fewer recent renewals begin self-preservation. 0 turns it off.
    pub(crate) renewals: usize,
    /// How many of a hundred leases expire in one ttl.
    pub(crate) max_expiry_percent: usize,
    /// How long a lease is held against its ttl, before only the cap holds it.
    pub(crate) max_hold: Duration,
}

/// A lease that is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    /// Whose it is.
    pub(crate) backend: &'a BackendKey,
    /// How long it lasted without a heartbeat.
    pub(crate) ttl: Duration,
    /// When that was over.
    pub(crate) due: Instant,
    /// Whether it was held before.
    pub(crate) is_overdue: bool,
    /// How many leases of its service live, itself included, and those that are about to expire.
    pub(crate) live: usize,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It expires.
    Expire(Cause),
    /// It stays, for the time being.
    Hold(Hold),
}

/// Why a lease expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was not renewed.
    Silence,
    /// Nor is its backend healthy to any proxy.
    Confirmed,
    /// Nor was it for `max_hold` beyond its ttl.
    MaxHold,
}

/// Why a lease that is due does not expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Hold {
    /// As many of its service expired within a ttl as may.
    ServiceCap,
    /// As many of all services did.
    FleetCap,
    /// Too many renewals are missing.
    SelfPreservation,
    /// Its service would have no routable backend.
    LastBackend,
}

/// What decides.
#[derive(Debug)]
pub(crate) struct Guard {
    rules: Rules,
    fleet: Ledger,
    services: HashMap<ServiceName, Ledger>,
    live: usize,
    longest: Duration,
    /// Self-preservation is on.
    episode: Option<Episode>,
    episodes: u64,
    sweep: Option<Instant>,
}

/// One time of self-preservation.
#[derive(Debug, Clone, Copy)]
struct Episode {
    number: u64,
    begin: Instant,
}

/// What is remembered of a service, or of all leases.
#[derive(Debug, Default)]
struct Ledger {
    window: Window,
    spent: Option<Spent>,
    /// The backend that expired last, and when.
    last: Option<(BackendId, Instant)>,
    /// When another one than that did.
    earlier: Option<Instant>,
}

/// What expired since one ttl before self-preservation began.
#[derive(Debug, Clone, Copy)]
struct Spent {
    episode: u64,
    live: usize,
    count: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { renewals: 850, max_expiry_percent: 15, max_hold: Duration::from_mins(10) }
    }
}

impl Cause {
    /// As metrics name it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Confirmed => "unhealthy",
            Self::MaxHold => "max_hold",
        }
    }
}

impl Hold {
    /// As metrics name it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::ServiceCap => "service_cap",
            Self::FleetCap => "fleet_cap",
            Self::SelfPreservation => "self_preservation",
            Self::LastBackend => "last_backend",
        }
    }

    /// For people.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::ServiceCap => "as many leases of its service expired within one ttl as may",
            Self::FleetCap => "as many leases of all services expired within one ttl as may",
            Self::SelfPreservation => {
                "so many renewals are missing that the network is more likely broken than the backends"
            }
            Self::LastBackend => {
                "its service would have no routable backend without it, and others expired shortly before"
            }
        }
    }
}

impl Guard {
    /// Nothing has expired yet.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            fleet: Ledger::default(),
            services: HashMap::new(),
            live: 0,
            longest: Duration::ZERO,
            episode: None,
            episodes: 0,
            sweep: None,
        }
    }

    /// How many leases live now, how many of them were not renewed within two thirds of their ttl, and the longest ttl
    /// that any has had. Answers whether self-preservation begins (true) or ends. To be called before any
    /// [`Guard::decide`] of the same moment.
    pub(crate) fn observe(
        &mut self,
        now: Instant,
        live: usize,
        late: usize,
        longest: Duration,
    ) -> Option<bool> {
        (self.live, self.longest) = (live, longest);
        if self.sweep.is_none_or(|at| at <= now) {
            self.sweep = Some(now + SWEEP);
            let (kept, episode) = (self.rules.max_hold.max(longest), self.episode);
            self.services.retain(|_, ledger| ledger.matters(now, kept, episode));
        }
        let missing = live.saturating_sub(late) * 1_000 < self.rules.renewals * live;
        // Those that expired meanwhile keep counting: else ten leases would be nine as soon as one has.
        let enough = live + self.episode.map_or(0, |episode| self.fleet.spent_in(episode)) >= FLEET;
        match (self.episode, missing && enough) {
            (None, true) => {
                self.episodes += 1;
                self.episode = Some(Episode { number: self.episodes, begin: now });
                Some(true)
            }
            (Some(_), false) => {
                self.episode = None;
                Some(false)
            }
            _ => None,
        }
    }

    #[cfg(test)]
    pub(crate) fn is_preserving(&self) -> bool {
        self.episode.is_some()
    }

    /// Decides about one lease; an expiry is counted, as if it had happened. `confirmed` is whether every proxy finds the
    /// backend dead, `last` whether its service would have no routable backend without it; both are asked only if it
    /// matters.
    pub(crate) fn decide(
        &mut self,
        now: Instant,
        case: Case<'_>,
        confirmed: impl FnOnce() -> bool,
        last: impl FnOnce() -> bool,
    ) -> Verdict {
        let (rules, episode, live) = (self.rules, self.episode, self.live);
        let (key, ttl) = (case.backend, case.ttl);
        let (fleet, service) = (&mut self.fleet, self.services.entry(key.service.clone()).or_default());
        if let Some(episode) = episode {
            fleet.enter(episode, ttl, live);
            service.enter(episode, ttl, case.live);
        }
        let is_over = now.saturating_duration_since(case.due) >= rules.max_hold;
        let others_expired = || service.others_expired(&key.id, now, rules.max_hold);
        let is_spent = || service.is_spent(episode, rules) || fleet.is_spent(episode, rules);
        let verdict = if case.is_overdue && confirmed() {
            Verdict::Expire(Cause::Confirmed)
        } else if !is_over && is_spent() {
            Verdict::Hold(Hold::SelfPreservation)
        } else if service.is_full(now, ttl, rules) {
            Verdict::Hold(Hold::ServiceCap)
        } else if fleet.base(now, ttl, live) >= FLEET && fleet.is_full(now, ttl, rules) {
            Verdict::Hold(Hold::FleetCap)
        } else if !is_over && others_expired() && last() {
            Verdict::Hold(Hold::LastBackend)
        } else {
            Verdict::Expire(if is_over { Cause::MaxHold } else { Cause::Silence })
        };
        if matches!(verdict, Verdict::Expire(_)) {
            fleet.add(now, live, self.longest, None);
            service.add(now, case.live, self.longest, Some(&key.id));
        }
        verdict
    }

    /// A lease that was decided to expire at the last moment did not.
    pub(crate) fn withdraw(&mut self, backend: &BackendKey) {
        self.fleet.withdraw();
        if let Some(service) = self.services.get_mut(&backend.service) {
            service.withdraw();
        }
    }

    /// Nothing ran for so long: that time counts for nothing.
    pub(crate) fn shift(&mut self, by: Duration) {
        if let Some(episode) = &mut self.episode {
            episode.begin += by;
        }
        self.fleet.shift(by);
        self.services.values_mut().for_each(|service| service.shift(by));
    }
}

impl Ledger {
    /// Begins to count what an episode of self-preservation takes, with what expired in the window before.
    fn enter(&mut self, episode: Episode, ttl: Duration, live: usize) {
        if self.spent.is_none_or(|spent| spent.episode != episode.number) {
            let (count, live) = self.window.within(episode.begin, ttl).unwrap_or((0, live));
            self.spent = Some(Spent { episode: episode.number, live, count });
        }
    }

    fn spent_in(&self, episode: Episode) -> usize {
        self.spent.filter(|spent| spent.episode == episode.number).map_or(0, |spent| spent.count)
    }

    fn is_spent(&self, episode: Option<Episode>, rules: Rules) -> bool {
        let spent = self.spent.zip(episode).filter(|(spent, episode)| spent.episode == episode.number);
        spent.is_some_and(|(spent, _)| spent.count >= cap(spent.live, rules))
    }

    fn is_full(&self, now: Instant, ttl: Duration, rules: Rules) -> bool {
        self.window.within(now, ttl).is_some_and(|(count, live)| count >= cap(live, rules))
    }

    /// How many leases the cap is a share of.
    fn base(&self, now: Instant, ttl: Duration, live: usize) -> usize {
        self.window.within(now, ttl).map_or(live, |(_, live)| live)
    }

    fn others_expired(&self, id: &BackendId, now: Instant, max_hold: Duration) -> bool {
        let other = match &self.last {
            Some((last, at)) if last != id => Some(*at),
            _ => self.earlier,
        };
        other.is_some_and(|at| at + max_hold > now)
    }

    fn add(&mut self, now: Instant, live: usize, longest: Duration, id: Option<&BackendId>) {
        self.window.add(now, live, longest);
        if let Some(spent) = &mut self.spent {
            spent.count += 1;
        }
        if let Some(id) = id {
            match &mut self.last {
                Some((last, at)) if last == id => *at = now,
                last => self.earlier = last.replace((id.clone(), now)).map(|(_, at)| at),
            }
        }
    }

    /// Takes back what was added last. That it was the last to expire stays noted: that only holds others longer.
    fn withdraw(&mut self) {
        self.window.withdraw();
        if let Some(spent) = &mut self.spent {
            spent.count = spent.count.saturating_sub(1);
        }
    }

    fn shift(&mut self, by: Duration) {
        self.window.shift(by);
        for at in self.last.iter_mut().map(|(_, at)| at).chain(&mut self.earlier) {
            *at += by;
        }
    }

    /// Whether it says anything that an empty one does not.
    fn matters(&self, now: Instant, kept: Duration, episode: Option<Episode>) -> bool {
        episode.is_some_and(|episode| self.spent_in(episode) > 0)
            || self.last.as_ref().is_some_and(|(_, at)| *at + kept > now)
    }
}

/// How many of so many may expire in one ttl.
fn cap(live: usize, rules: Rules) -> usize {
    (live * rules.max_expiry_percent / 100).max(1)
}
