//! The list of proxies: pure bookkeeping, with the time passed in.

mod changes;
mod listing;
mod memory;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;
use weir_proto::{Epoch, ProxyId, Revision, v1};

use self::changes::Changes;
use super::{
    acknowledged::Refusal,
    conditions::News,
    draining::Draining,
    member::{Identity, Member, Now, Report, Stream, StreamId},
};
use crate::snapshot::Position;

/// Proxies that are connected or remembered. Beyond it the one that left first is forgotten.
pub(crate) const MOST_PROXIES: usize = 10_000;

/// The proxies that are connected, and those that lately were.
#[derive(Debug)]
pub(crate) struct Roster {
    members: BTreeMap<ProxyId, Member>,
    /// What they should all have.
    current: Position,
    /// The newest revision of that epoch at which an operator said that it is meant, as far as it is known.
    accepted: Revision,
    streams: u64,
    changes: Changes,
    /// Those of whom the store is to learn something.
    unwritten: BTreeSet<ProxyId>,
    /// Whether the list of those that clients are sent to may be another one by now.
    is_stale: bool,
    /// Whether it will be, when time passes.
    is_waning: bool,
}

impl Roster {
    /// Nobody yet.
    pub(crate) fn new(current: Position) -> Self {
        Self {
            members: BTreeMap::new(),
            current,
            accepted: Revision(0),
            streams: 0,
            changes: Changes::default(),
            unwritten: BTreeSet::new(),
            is_stale: false,
            is_waning: false,
        }
    }

    /// Enters a proxy whose stream began; an older stream of the same proxy is told to end. None if there is no room,
    /// because so many proxies are connected.
    pub(crate) fn connect(
        &mut self,
        identity: Identity,
        stream: impl FnOnce(StreamId) -> Stream,
        now: Now,
    ) -> Option<StreamId> {
        let previous = self.take(&identity.id);
        if self.members.len() >= MOST_PROXIES && !self.forget_oldest() {
            // Only a proxy without an older stream can be refused: one with a stream has its room.
            return None;
        }
        self.streams += 1;
        let id = StreamId(self.streams);
        let mut member = Member::new(identity, stream(id), now);
        if let Some(previous) = previous {
            member.succeed(previous);
        }
        let name = member.identity.id.clone();
        self.members.insert(name.clone(), member);
        self.touch(&name);
        self.unwritten.insert(name);
        Some(id)
    }

    /// Notes that a stream ended. Whether it was the proxy's newest.
    pub(crate) fn disconnect(&mut self, id: &ProxyId, stream: StreamId, now: Now) -> bool {
        let Some(member) = self.of_stream(id, stream) else { return false };
        member.leave(now);
        self.is_stale = true;
        self.touch(id);
        self.unwritten.insert(id.clone());
        true
    }

    /// Notes an acknowledgement. Answers the refusals that are new with it.
    pub(crate) fn acknowledge(
        &mut self,
        id: &ProxyId,
        stream: StreamId,
        position: Position,
        refused: Vec<Refusal>,
        now: Now,
    ) -> Vec<v1::Refused> {
        let current = self.current;
        let Some(member) = self.of_stream(id, stream) else { return Vec::new() };
        let is_first = !member.serves;
        let fresh = member.acknowledge(position, refused, current.epoch, now);
        // A proxy may be quicker than the word of the newest revision on its way to this list.
        let is_newest = position.epoch == current.epoch && position.revision >= current.revision;
        member.behind_since = if is_newest { None } else { member.behind_since.or(Some(now.wall)) };
        self.is_stale |= is_first;
        self.touch(id);
        fresh
    }

    /// Notes a report. Answers what is new with it of those backends that exist; the first of a process that nothing
    /// was known of is no news.
    pub(crate) fn report(
        &mut self,
        id: &ProxyId,
        stream: StreamId,
        report: Report,
        exists: impl Fn(&str) -> bool,
    ) -> Vec<News> {
        let Some(member) = self.of_stream(id, stream) else { return Vec::new() };
        let is_first = member.told.is_none();
        let news = member.told.get_or_insert_default().follow(&report.conditions, exists);
        let drains = report.state == v1::ProxyState::Draining;
        let moves = member.heard(report);
        self.is_stale |= drains || moves;
        if moves {
            self.unwritten.insert(id.clone());
        }
        if is_first { Vec::new() } else { news }
    }

    /// Notes that there is a newer state.
    pub(crate) fn published(&mut self, position: Position, accepted: Revision, now: Now) {
        self.current = position;
        self.accepted = accepted;
        for member in self.members.values_mut() {
            if member.behind_since.is_none() && !member.has(position.epoch, position.revision) {
                member.behind_since = Some(now.wall);
            }
        }
    }

    /// What they should all have.
    pub(crate) fn current(&self) -> Position {
        self.current
    }

    /// The newest revision of the present epoch at which an operator said that it is meant.
    pub(super) fn accepted(&self) -> Revision {
        self.accepted
    }

    /// Forgets who left too long ago, but for those that clients are still sent to.
    pub(crate) fn forget(&mut self, now: Now) {
        let forgotten = self.members.values().filter(|m| !m.listed && m.left_long_ago(now.instant));
        let forgotten: Vec<_> = forgotten.map(|member| member.identity.id.clone()).collect();
        for id in &forgotten {
            self.take(id);
        }
    }

    /// Everybody who is connected or was within the last hour, in the order of their ids.
    pub(crate) fn members(&self, now: Instant) -> impl Iterator<Item = &Member> {
        self.members.values().filter(move |member| !member.left_long_ago(now))
    }

    /// Everybody who is connected, in the order of their ids.
    pub(crate) fn connected(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.is_connected())
    }

    /// How far the proxies are with draining `backend` since `revision`.
    pub(crate) fn draining(&self, now: Instant, epoch: Epoch, revision: Revision, backend: &str) -> Draining {
        let mut draining = Draining::default();
        for member in self.members.values() {
            draining.add(member, now, epoch, revision, backend);
        }
        draining
    }

    /// The member, if `stream` is still its stream: a stream that was replaced has nothing to say any more.
    pub(super) fn of_stream(&mut self, id: &ProxyId, stream: StreamId) -> Option<&mut Member> {
        let member = self.members.get_mut(id)?;
        member.is_on(stream).then_some(member)
    }

    fn forget_oldest(&mut self) -> bool {
        let left = self.members.values().filter_map(|m| m.disconnected_at.map(|at| (at, &m.identity.id)));
        let Some(oldest) = left.min_by_key(|(at, _)| at.instant).map(|(_, id)| id.clone()) else {
            return false;
        };
        self.take(&oldest).is_some()
    }
}
