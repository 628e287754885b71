//! The endpoints of a service, by priority and zone: which group a request goes to, and what if nobody there has room.
//!
//! Shares follow from health and are computed off the request path. What they say may be old by a moment; what is picked
//! never is, for each pick looks at the endpoint itself, and goes on to the next best where the first choice has nobody.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
};

use weir_proto::Service;

use super::{
    Balance, Pick, Picked, build,
    pick::{Among, Standing},
    shares::{self, Settings, Tally},
};
use crate::{endpoint::Endpoint, moment::Moment};

/// What the shares are parts of.
const WHOLE: u32 = 1 << 20;
/// Instead of a choice: there are several.
const SEVERAL: usize = usize::MAX;
/// In the order in which shares of a group are kept.
const AMONG: [Among; 3] = [Among::Healthy, Among::Degraded, Among::All];

/// The routable endpoints of a service, by priority and zone, each group with its algorithm.
#[derive(Debug)]
pub(crate) struct Groups {
    /// By priority; of one priority, the near ones first.
    all: Box<[Group]>,
    settings: Settings,
    /// The choice that takes everything, or `SEVERAL`.
    only: AtomicUsize,
    /// What each choice takes: three for each group, by `AMONG`.
    shares: Box<[AtomicU32]>,
}

/// Those among which one algorithm picks.
#[derive(Debug)]
struct Group {
    priority: u32,
    zone: Zone,
    members: Arc<[GroupMember]>,
    balance: Arc<dyn Balance>,
}

/// Which zones a group is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Zone {
    /// The proxy's own.
    Near,
    /// The others.
    Far,
    /// They do not matter.
    Any,
}

/// A routable backend, as the algorithms want it.
#[derive(Debug, Clone)]
pub(crate) struct GroupMember {
    pub(crate) endpoint: Arc<Endpoint>,
    /// 1 or more.
    pub(crate) weight: u32,
    pub(crate) priority: u32,
    /// Whether it is in the proxy's own zone.
    pub(crate) is_near: bool,
}

/// A member, for those who show how requests are balanced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) member: &'a GroupMember,
    /// What part of the service's traffic its group takes now: 0 to 1. Nothing where a better priority or zone suffices.
    pub(crate) share: f64,
}

impl Groups {
    /// Over these endpoints, all of them routable. It goes on where `previous`, the one that it replaces, stood.
    pub(crate) fn new(service: &Service, members: &[GroupMember], previous: Option<&Self>) -> Self {
        let groups = by_priority_and_zone(service, members).into_iter().map(|((priority, zone), members)| {
            let members: Arc<[GroupMember]> = members.into();
            // Groups may come and go; the first one's turn is better than none.
            let is_same = |group: &&Group| group.priority == priority && group.zone == zone;
            let before = previous.and_then(|p| p.all.iter().find(is_same).or(p.all.first()));
            let balance = build(&service.lb_policy, &members, before.map(|group| &*group.balance));
            Group { priority, zone, members, balance }
        });
        Self::of(
            groups.collect(),
            Settings { threshold: service.healthy_panic_threshold, factor: service.overprovisioning_factor },
        )
    }

    /// One group, by an algorithm of a test's own.
    #[cfg(test)]
    pub(crate) fn by(balance: Arc<dyn Balance>, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let member = |endpoint| GroupMember { endpoint, weight: 1, priority: 0, is_near: false };
        let members = endpoints.into_iter().map(member).collect();
        let group = Group { priority: 0, zone: Zone::Any, members, balance };
        Self::of([group].into(), Settings { threshold: 50, factor: 140 })
    }

    fn of(all: Box<[Group]>, settings: Settings) -> Self {
        let shares = (0..all.len() * AMONG.len()).map(|_| AtomicU32::default()).collect();
        let groups = Self { all, settings, only: AtomicUsize::default(), shares };
        groups.recount();
        groups
    }

    /// The endpoint for a request, whatever it says to be among.
    pub(crate) fn pick(&self, pick: &Pick<'_>) -> Picked<'_> {
        let choice = self.choose(pick);
        let chosen = self.all.get(choice / AMONG.len());
        match chosen.and_then(|group| group.pick(AMONG[choice % AMONG.len()], pick)) {
            Some((endpoint, among)) => Picked::Endpoint(endpoint, among),
            None => self.fall_back(choice, pick),
        }
    }

    /// The endpoint that a request gets, where that is certain: its key decides, or there is only one.
    pub(crate) fn peek(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        if self.all.iter().all(|group| group.balance.is_by_key()) {
            return match self.pick(pick) {
                Picked::Endpoint(endpoint, _) => Some(endpoint),
                Picked::Full | Picked::Nobody => None,
            };
        }
        let mut admitted = self.admitted(pick);
        admitted.next().filter(|_| admitted.next().is_none())
    }

    /// Every endpoint that a request may get now: of the groups that take traffic, those that the pick admits. An endpoint
    /// that takes less than its share is among them.
    pub(crate) fn admitted(&self, pick: &Pick<'_>) -> impl Iterator<Item = &Arc<Endpoint>> {
        let choices = self.shares.iter().enumerate().filter(|(_, share)| share.load(Relaxed) > 0);
        choices.flat_map(move |(choice, _)| {
            let among = AMONG[choice % AMONG.len()];
            let pick = Pick { among, slow_start: None, spares: false, ..*pick };
            let members = self.all[choice / AMONG.len()].members.iter();
            members.map(|m| &m.endpoint).filter(move |endpoint| pick.admits(endpoint))
        })
    }

    /// Computes what follows from the health of the endpoints anew: off the request path, soon after it has changed.
    pub(crate) fn recount(&self) {
        let tallies: Vec<Tally> = self.all.iter().map(Group::tally).collect();
        let mut rest = &tallies[..];
        let levels = self.all.chunk_by(|a, b| a.priority == b.priority).map(|groups| {
            let (level, others) = rest.split_at(groups.len());
            rest = others;
            level
        });
        let shares = shares::shares(&levels.collect::<Vec<_>>(), self.settings);
        let parts: Vec<u32> = shares.iter().flat_map(|s| [s.healthy, s.degraded, s.all]).map(parts).collect();
        let only = parts.iter().position(|part| *part == WHOLE).unwrap_or(SEVERAL);
        for (share, parts) in self.shares.iter().zip(parts) {
            share.store(parts, Relaxed);
        }
        self.only.store(only, Relaxed);
        for group in &self.all {
            group.balance.recount();
        }
    }

    /// Whether all tables are built.
    pub(crate) fn is_finished(&self) -> bool {
        self.all.iter().all(|group| group.balance.is_finished())
    }

    /// Builds what is not built, unless nobody wants it any more. May take seconds.
    pub(crate) fn finish(&self, wanted: impl Fn() -> bool) {
        for group in self.all.iter().take_while(|_| wanted()) {
            group.balance.finish();
        }
    }

    /// At least once a second, off the request path.
    pub(crate) fn refresh(&self, now: Moment) {
        for group in &self.all {
            group.balance.refresh(now);
        }
    }

    /// Whether any group is used whatever health says.
    pub(crate) fn is_panicking(&self) -> bool {
        self.shares.iter().skip(2).step_by(AMONG.len()).any(|share| share.load(Relaxed) > 0)
    }

    /// All members, by priority and zone.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.all.iter().zip(self.shares.chunks(AMONG.len())).flat_map(|(group, shares)| {
            let share: u32 = shares.iter().map(|share| share.load(Relaxed)).sum();
            let share = f64::from(share) / f64::from(WHOLE);
            group.members.iter().map(move |member| Candidate { member, share })
        })
    }

    /// Which group, among whom: by the shares. For hashing by the key, so that a key stays where it is.
    fn choose(&self, pick: &Pick<'_>) -> usize {
        let only = self.only.load(Relaxed);
        if only == SEVERAL { self.draw(pick) } else { only }
    }

    #[cold]
    fn draw(&self, pick: &Pick<'_>) -> usize {
        let by_key = self.all.first().is_some_and(|group| group.balance.is_by_key());
        // Other bits of the key than those that the algorithm looks at first: Fibonacci hashing.
        let spread = |key: u64| u32::try_from(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44).unwrap_or(0);
        let mut at = if by_key { spread(pick.key) } else { fastrand::u32(..WHOLE) };
        let mut last = 0;
        for (choice, share) in self.shares.iter().enumerate() {
            let share = share.load(Relaxed);
            if at < share {
                return choice;
            }
            at -= share;
            if share > 0 {
                last = choice;
            }
        }
        // Shares are rounded, and may just be written.
        last
    }

    /// The first choice has nobody for this request. Who is healthy anywhere comes before who is degraded, and health is
    /// ignored only where it leaves nobody at all: a limit that is reached is no reason for that.
    #[cold]
    fn fall_back(&self, choice: usize, pick: &Pick<'_>) -> Picked<'_> {
        // Whoever takes less than its share leaves the others more, and if there are none, its own group all the same.
        let pick = &Pick { slow_start: None, spares: false, ..*pick };
        let chosen = self.all.get(choice / AMONG.len()).into_iter();
        let healthy = chosen.chain(&self.all).map(|group| (group, Among::Healthy));
        let degraded = self.all.iter().map(|group| (group, Among::Degraded));
        let panics = |at: &usize| self.shares[at * AMONG.len() + 2].load(Relaxed) > 0;
        let all = (0..self.all.len()).filter(panics).map(|at| (&self.all[at], Among::All));
        for (group, among) in healthy.chain(degraded).chain(all) {
            if let Some((endpoint, among)) = group.pick(among, pick) {
                return Picked::Endpoint(endpoint, among);
            }
        }
        let (mut some, mut hope) = (false, false);
        for member in self.all.iter().flat_map(|group| group.members.iter()) {
            let standing = Standing::of(member.endpoint.marks());
            some |= standing != Standing::Retired;
            hope |= matches!(standing, Standing::Healthy | Standing::Degraded | Standing::Unknown);
        }
        match (some, hope) {
            (false, _) => Picked::Nobody,
            (true, true) => Picked::Full,
            (true, false) => {
                let found = self.all.iter().find_map(|group| group.pick(Among::All, pick));
                found.map_or(Picked::Full, |(endpoint, among)| Picked::Endpoint(endpoint, among))
            }
        }
    }
}

impl Group {
    fn pick(&self, among: Among, pick: &Pick<'_>) -> Option<(&Arc<Endpoint>, Among)> {
        let picked = if pick.among == among {
            self.balance.pick(pick)
        } else {
            self.balance.pick(&Pick { among, ..*pick })
        };
        picked.map(|endpoint| (endpoint, among))
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for member in self.members.iter() {
            let standing = Standing::of(member.endpoint.marks());
            tally.routable += u32::from(standing != Standing::Retired);
            tally.unknown += u32::from(standing == Standing::Unknown);
            tally.healthy += u32::from(standing == Standing::Healthy);
            tally.degraded += u32::from(standing == Standing::Degraded);
        }
        tally
    }
}

/// Near endpoints are a group of their own, where the service wants that and there are enough of them.
fn by_priority_and_zone(
    service: &Service,
    members: &[GroupMember],
) -> BTreeMap<(u32, Zone), Vec<GroupMember>> {
    let mut near: BTreeMap<u32, u32> = BTreeMap::new();
    for member in members.iter().filter(|m| m.is_near) {
        *near.entry(member.priority).or_default() += 1;
    }
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for member in members {
        let near = near.get(&member.priority).copied().unwrap_or(0);
        let zone = match service.zone_aware {
            Some(zones) if near >= zones.min_backends => {
                if member.is_near {
                    Zone::Near
                } else {
                    Zone::Far
                }
            }
            _ => Zone::Any,
        };
        groups.entry((member.priority, zone)).or_default().push(member.clone());
    }
    groups
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is 0 to 1")]
fn parts(share: f64) -> u32 {
    (share * f64::from(WHOLE)).round() as u32
}
