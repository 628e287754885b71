//! What became of a revision on each proxy, for those who wait for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use weir_proto::{ProxyId, Revision, v1::Outcome};

use super::{Fleet, KeptOut, Refusal, Roster, member::Member};

/// How long a proxy whose stream was lost may still acknowledge, before nobody waits for it any more. The same after a
/// start of the control plane for those it knew before.
pub(super) const AWAY_AFTER: Duration = Duration::from_secs(30);
/// Changes are gathered for this long,
const GATHER: Duration = Duration::from_millis(50);
/// or this, if so few are awaited: they answer within milliseconds.
const GATHER_FEW: (usize, Duration) = (16, Duration::from_millis(5));

/// What became of a revision on one proxy; see `ProxyOutcome` in `admin.proto`.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub outcome: Outcome,
    /// Which revision's acknowledgement counted, and when that came.
    pub acknowledged: Option<(Revision, SystemTime)>,
    /// What it refused when it acknowledged.
    pub refused: Arc<[Refusal]>,
    pub connected: bool,
    /// Why it will not acknowledge by itself.
    pub kept_out: Option<KeptOut>,
    /// When it is not waited for any more, whatever happens.
    until: Option<Instant>,
}

/// One reader's place in what becomes of a revision.
#[derive(Debug)]
pub(crate) struct Outcomes {
    fleet: Fleet,
    changed: watch::Receiver<u64>,
    revision: Revision,
    told: BTreeMap<ProxyId, Told>,
    /// Up to which change of the roster it was looked at.
    seen: u64,
    /// Whether anything was told.
    begun: bool,
}

impl Fleet {
    /// Follows what becomes of a revision, which must exist.
    pub(crate) fn outcomes(&self, revision: Revision) -> Outcomes {
        Outcomes {
            fleet: self.clone(),
            changed: self.acknowledged.subscribe(),
            revision,
            told: BTreeMap::new(),
            seen: 0,
            begun: false,
        }
    }
}

impl Outcomes {
    /// At first what became of the revision on every proxy; from then on what changed, as soon as anything did. In the
    /// order of their ids.
    pub(crate) async fn next(&mut self) -> BTreeMap<ProxyId, Told> {
        if !self.begun {
            self.begun = true;
            return self.look();
        }
        loop {
            let away = self.told.values().filter_map(|told| told.until).min();
            tokio::select! {
                // The sender lives in the fleet, which this reader holds.
                _ = self.changed.changed() => {
                    let few = self.pending() <= GATHER_FEW.0;
                    sleep(if few { GATHER_FEW.1 } else { GATHER }).await;
                }
                () = sleep_until(away.unwrap_or_else(Instant::now)), if away.is_some() => {}
            }
            let news = self.look();
            if !news.is_empty() {
                return news;
            }
        }
    }

    /// Whether nobody is waited for any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending() == 0
    }

    fn pending(&self) -> usize {
        self.told.values().filter(|told| told.outcome == Outcome::Pending).count()
    }

    /// What is new since it was looked at last. Looks only at those that changed, and those whose time is up.
    fn look(&mut self) -> BTreeMap<ProxyId, Told> {
        self.changed.borrow_and_update();
        let now = Instant::now();
        let due = self.told.iter().filter(|(_, told)| told.until.is_some_and(|until| until <= now));
        let mut ids: BTreeSet<_> = due.map(|(id, _)| id.clone()).collect();
        let roster = self.fleet.lock();
        ids.extend(roster.changed_since(self.seen).cloned());
        self.seen = roster.changes();
        let mut news = BTreeMap::new();
        for id in ids {
            let before = self.told.get(&id);
            let after = match roster.member(&id) {
                // Nobody needs to hear of a proxy that has gone, but those who wait for it.
                None if before.is_none() => continue,
                Some(member) if before.is_none() && !member.is_of_interest(now) => continue,
                Some(member) => Told::of(member, self.revision, &roster, now),
                None => Told::gone(),
            };
            if before.is_none_or(|before| !before.says(&after)) {
                news.insert(id.clone(), after.clone());
            }
            self.told.insert(id, after);
        }
        news
    }
}

impl Told {
    fn of(member: &Member, revision: Revision, roster: &Roster, now: Instant) -> Self {
        let connected = member.is_connected();
        if let Some(found) = member.acknowledgement(revision) {
            let refused = found.refused.iter().any(|refusal| refusal.changed == revision);
            return Self {
                outcome: if refused { Outcome::Refused } else { Outcome::Acknowledged },
                acknowledged: Some((found.revision, found.at)),
                refused: Arc::clone(&found.refused),
                connected,
                kept_out: None,
                until: None,
            };
        }
        let stands = |kept: &KeptOut| connected && kept.stands(roster.current(), roster.accepted());
        if let Some(kept_out) = member.kept_out.filter(stands) {
            return Self { outcome: Outcome::KeptOut, connected, kept_out: Some(kept_out), ..Self::gone() };
        }
        let left = member.disconnected_at.filter(|_| !member.is_gone());
        let until = left.map(|left| left.instant + AWAY_AFTER).filter(|until| now < *until);
        let outcome = if connected || until.is_some() { Outcome::Pending } else { Outcome::Away };
        Self { outcome, connected, until, ..Self::gone() }
    }

    fn gone() -> Self {
        let (acknowledged, refused) = (None, Arc::from([]));
        let connected = false;
        Self { outcome: Outcome::Away, acknowledged, refused, connected, kept_out: None, until: None }
    }

    /// Whether both say the same.
    fn says(&self, other: &Self) -> bool {
        (self.outcome, self.acknowledged, self.connected)
            == (other.outcome, other.acknowledged, other.connected)
            && self.refused == other.refused
            && self.kept_out == other.kept_out
    }
}
