//! States that proxies keep out, and serve on from what they had: their own word, or what follows from their Hello.

use std::{collections::BTreeMap, time::SystemTime};

use tokio::time::Instant;
use weir_proto::{Epoch, ProxyId, Revision, v1};

use super::{Fleet, Membership, Roster, StreamId, member::Now};
use crate::snapshot::Position;

/// Proxies that an alarm names.
const MOST_NAMED: usize = 3;

/// That one proxy keeps a state out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptOut {
    pub reason: v1::KeptOutReason,
    /// What it keeps out.
    pub offered: Position,
    /// What it has, if it said so.
    pub own: Option<Position>,
    /// How much there is of what it keeps out and of what it serves, if it said so.
    pub size: Option<Size>,
    pub since: SystemTime,
}

/// The size of one state, and of another one that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub objects: u64,
    pub objects_in_force: u64,
    pub backends: u64,
    pub backends_in_force: u64,
}

impl KeptOut {
    /// As the control plane concludes it.
    pub(crate) fn concluded(reason: v1::KeptOutReason, offered: Position, own: Position) -> Self {
        Self { reason, offered, own: Some(own), size: None, since: SystemTime::now() }
    }

    /// As the proxy says it, which has that state; None if it is over.
    pub(crate) fn said(wire: &v1::KeptOut, own: Option<Position>) -> Option<Self> {
        let size = Size {
            objects: wire.objects,
            objects_in_force: wire.objects_in_force,
            backends: wire.backends,
            backends_in_force: wire.backends_in_force,
        };
        let offered = Position::from(wire.offered?);
        Some(Self { reason: wire.reason(), offered, own, size: Some(size), since: SystemTime::now() })
    }

    /// Whether it keeps out what there is now. What an operator accepted since then it has yet to judge.
    pub(super) fn stands(&self, current: Position, accepted: Revision) -> bool {
        self.offered.epoch == current.epoch && self.offered.revision >= accepted
    }

    /// Why, and what settles it.
    pub(crate) fn sentence(&self) -> String {
        use v1::KeptOutReason as Reason;
        let Position { epoch, revision, .. } = self.offered;
        let own = self.own.map_or(Revision(0), |own| own.revision);
        let copied = "likely its directory was copied back, or a machine's snapshot restored; to go on from what \
                      the store has, run `weir epoch accept`, which begins a new epoch";
        match (self.reason, self.size) {
            (Reason::Ahead, _) => format!(
                "the store is behind: its newest revision was {revision}, in force is revision {own} of the same \
                 epoch; {copied}"
            ),
            (Reason::Fork, _) => format!(
                "the store has another history of this epoch: in force is a revision {own} that it does not have; \
                 {copied}"
            ),
            (Reason::Shrinks, Some(Size { backends, backends_in_force, .. })) => format!(
                "revision {revision} is kept out: it has {backends} backends, in force are {backends_in_force}, and it \
                 is not known that the others were removed; if it is meant, run `weir epoch accept`"
            ),
            (Reason::OtherEpoch, Some(Size { objects, objects_in_force, backends, backends_in_force })) => {
                format!(
                    "the epoch {epoch} is kept out: it has {objects} objects and {backends} backends, in force are \
                     {objects_in_force} and {backends_in_force} of another epoch; likely the store was lost or \
                     replaced; if what it has now is meant, run `weir epoch accept`"
                )
            }
            _ => format!(
                "revision {revision} of epoch {epoch} is not acknowledged, and another one is in force; likely the store \
                 was lost or replaced; if what it has now is meant, run `weir epoch accept`"
            ),
        }
    }

    pub(super) fn wire(&self) -> v1::KeptOutState {
        let (own, size) = (self.own.unwrap_or_default(), self.size);
        let of = |number: fn(Size) -> u64| size.map_or(0, number);
        v1::KeptOutState {
            reason: self.reason as i32,
            epoch: self.offered.epoch.0,
            revision: self.offered.revision.0,
            own_epoch: own.epoch.0,
            own_revision: own.revision.0,
            objects: of(|size| size.objects),
            objects_in_force: of(|size| size.objects_in_force),
            backends: of(|size| size.backends),
            backends_in_force: of(|size| size.backends_in_force),
            since: Some(self.since.into()),
            message: self.sentence(),
        }
    }

    fn is_other_history(&self) -> bool {
        matches!(self.reason, v1::KeptOutReason::Ahead | v1::KeptOutReason::Fork)
    }

    /// Whether both are the same news.
    fn is_as(&self, other: &Self) -> bool {
        (self.reason, self.offered.epoch) == (other.reason, other.offered.epoch)
    }
}

impl Fleet {
    /// How many proxies that are there keep something out, by each reason that there is.
    pub(crate) fn kept_out(&self) -> BTreeMap<&'static str, usize> {
        let reasons = [
            v1::KeptOutReason::OtherEpoch,
            v1::KeptOutReason::Shrinks,
            v1::KeptOutReason::Ahead,
            v1::KeptOutReason::Fork,
            v1::KeptOutReason::Unspecified,
        ];
        let mut counts: BTreeMap<_, _> = reasons.into_iter().map(|reason| (label(reason), 0)).collect();
        for (_, kept_out) in self.lock().keeping_out(Instant::now()) {
            *counts.entry(label(kept_out.reason)).or_default() += 1;
        }
        counts
    }

    /// What an operator has to settle: a sentence for each reason, with the proxies that it concerns.
    pub(crate) fn alarms(&self) -> Vec<String> {
        let roster = self.lock();
        let mut groups: BTreeMap<&str, Vec<(&ProxyId, &KeptOut)>> = BTreeMap::new();
        for (id, kept_out) in roster.keeping_out(Instant::now()) {
            groups.entry(label(kept_out.reason)).or_default().push((id, kept_out));
        }
        let alarm = |group: &Vec<(&ProxyId, &KeptOut)>| {
            let named: Vec<_> = group.iter().take(MOST_NAMED).map(|(id, _)| id.to_string()).collect();
            let more = match group.len().saturating_sub(MOST_NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let sentence = group.first().map(|(_, kept_out)| kept_out.sentence()).unwrap_or_default();
            format!("{}{more}: {sentence}", named.join(", "))
        };
        groups.values().map(alarm).collect()
    }

    /// Whether proxies of which an alarm tells have other histories of that epoch: then only a new one can be joined by
    /// all.
    pub(crate) fn has_other_histories(&self, epoch: Epoch) -> bool {
        let roster = self.lock();
        let mut keeping = roster.keeping_out(Instant::now());
        keeping.any(|(_, kept)| kept.is_other_history() && kept.offered.epoch == epoch)
    }
}

impl Membership {
    /// The proxy keeps this out, or nothing any more.
    pub(crate) fn keeps_out(&self, kept_out: Option<KeptOut>) {
        if self.fleet.change(|roster, now| roster.keep_out(&self.id, self.stream, kept_out, now)) {
            self.tell_kept_out(kept_out);
        }
    }

    pub(super) fn tell_kept_out(&self, kept_out: Option<KeptOut>) {
        let said = kept_out.map_or_else(|| "keeps nothing out any more".to_owned(), |kept| kept.sentence());
        let message = format!("proxy {}: {said}", self.id);
        if kept_out.is_some() {
            weir_proto::seldom!(error, proxy = %self.id, "{message}");
        }
        self.fleet.tell(v1::EventType::StateKeptOut, &self.id, None, message);
        self.fleet.changed.send_replace(());
    }
}

impl Roster {
    /// Notes what a proxy keeps out; whether that is news.
    pub(super) fn keep_out(
        &mut self,
        id: &ProxyId,
        stream: StreamId,
        kept_out: Option<KeptOut>,
        now: Now,
    ) -> bool {
        let Some(member) = self.of_stream(id, stream) else { return false };
        let before = std::mem::replace(&mut member.kept_out, kept_out);
        if let Some(kept_out) = &mut member.kept_out {
            let goes_on = before.filter(|before| before.is_as(kept_out));
            kept_out.since = goes_on.map_or(now.wall, |before| before.since);
        }
        let is_same = match (&before, &kept_out) {
            (Some(before), Some(after)) => before.is_as(after),
            (before, after) => before.is_none() && after.is_none(),
        };
        if before != kept_out {
            self.touch(id);
        }
        !is_same
    }

    /// Who keeps something out, of those that are there or were a moment ago.
    fn keeping_out(&self, now: Instant) -> impl Iterator<Item = (&ProxyId, &KeptOut)> {
        let live = self.members(now).filter(move |member| member.is_live(now));
        live.filter_map(|member| Some((&member.identity.id, member.kept_out.as_ref()?)))
    }
}

fn label(reason: v1::KeptOutReason) -> &'static str {
    match reason {
        v1::KeptOutReason::OtherEpoch => "other_epoch",
        v1::KeptOutReason::Shrinks => "shrinks",
        v1::KeptOutReason::Ahead => "ahead",
        v1::KeptOutReason::Fork => "fork",
        v1::KeptOutReason::Unspecified => "unknown",
    }
}
