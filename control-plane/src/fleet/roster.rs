//! The list of proxies: pure bookkeeping, with the time passed in.

use std::{collections::BTreeMap, time::Duration};

use weir_proto::{Epoch, ProxyId, Revision, v1};

use super::{
    bounds::{self, MOST_KEPT},
    conditions::News,
    member::{Draining, Identity, Member, Now, Report, Stream, StreamId},
};
use crate::snapshot::Position;

/// How long a proxy is remembered after its stream ended.
pub(crate) const REMEMBERED: Duration = Duration::from_hours(1);
/// Proxies that are connected or remembered. Beyond it the one that left first is forgotten.
pub(crate) const MOST_PROXIES: usize = 10_000;

/// The proxies that are connected, and those that lately were.
#[derive(Debug)]
pub(crate) struct Roster {
    members: BTreeMap<ProxyId, Member>,
    /// What they should all have.
    current: Position,
    streams: u64,
}

impl Roster {
    /// Nobody yet.
    pub(crate) fn new(current: Position) -> Self {
        Self { members: BTreeMap::new(), current, streams: 0 }
    }

    /// Enters a proxy whose stream began; an older stream of the same proxy is told to end. None if there is no room,
    /// because so many proxies are connected.
    pub(crate) fn connect(
        &mut self,
        identity: Identity,
        stream: impl FnOnce(StreamId) -> Stream,
        now: Now,
    ) -> Option<StreamId> {
        self.forget(now);
        let previous = self.members.remove(&identity.id);
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
        self.members.insert(member.identity.id.clone(), member);
        Some(id)
    }

    /// Notes that a stream ended. Whether it was the proxy's newest.
    pub(crate) fn disconnect(&mut self, id: &ProxyId, stream: StreamId, now: Now) -> bool {
        let Some(member) = self.of_stream(id, stream) else { return false };
        member.leave(now);
        true
    }

    /// Notes an acknowledgement. Answers the refusals that are new with it.
    pub(crate) fn acknowledge(
        &mut self,
        id: &ProxyId,
        stream: StreamId,
        position: Position,
        mut refused: Vec<v1::Refused>,
        now: Now,
    ) -> Vec<v1::Refused> {
        let current = self.current;
        let Some(member) = self.of_stream(id, stream) else { return Vec::new() };
        refused.truncate(MOST_KEPT);
        refused.iter_mut().for_each(bounds::refusal);
        let fresh = refused.iter().filter(|r| !member.refused.contains(r)).cloned().collect();
        member.acknowledged = Some(position);
        member.refused = refused;
        // A proxy may be quicker than the word of the newest revision on its way to this list.
        let is_newest = position.epoch == current.epoch && position.revision >= current.revision;
        member.behind_since = if is_newest { None } else { member.behind_since.or(Some(now.wall)) };
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
        member.report = Some(report);
        if is_first { Vec::new() } else { news }
    }

    /// Notes that there is a newer state.
    pub(crate) fn published(&mut self, position: Position, now: Now) {
        self.current = position;
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

    /// Forgets who left too long ago.
    pub(crate) fn forget(&mut self, now: Now) {
        self.members.retain(|_, member| {
            member.disconnected_at.is_none_or(|left| now.instant.duration_since(left.instant) < REMEMBERED)
        });
    }

    /// Everybody, in the order of their ids.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// How far the connected proxies are with draining `backend` since `revision`.
    pub(crate) fn draining(&self, epoch: Epoch, revision: Revision, backend: &str) -> Draining {
        let mut draining = Draining::default();
        for member in self.members.values().filter(|m| m.is_connected()) {
            let report = member.report.as_ref();
            let count = report.and_then(|r| r.draining.get(backend).copied());
            // What a proxy reports may be anything.
            draining.in_flight = draining.in_flight.saturating_add(count.unwrap_or(0));
            if !member.has(epoch, revision) {
                draining.unacknowledged.push(member.identity.id.clone());
            } else if count.is_none() || report.is_none_or(|r| r.revision < revision) {
                draining.uncounted += 1;
            }
        }
        draining
    }

    /// The member, if `stream` is still its stream: a stream that was replaced has nothing to say any more.
    fn of_stream(&mut self, id: &ProxyId, stream: StreamId) -> Option<&mut Member> {
        let member = self.members.get_mut(id)?;
        member.is_on(stream).then_some(member)
    }

    fn forget_oldest(&mut self) -> bool {
        let left = self.members.values().filter_map(|m| m.disconnected_at.map(|at| (at, &m.identity.id)));
        let Some(oldest) = left.min_by_key(|(at, _)| at.instant).map(|(_, id)| id.clone()) else {
            return false;
        };
        self.members.remove(&oldest).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;
    use weir_proto::Digest;

    use super::{
        super::{
            bounds::{MOST_NAME, MOST_TEXT},
            conditions::Conditions,
        },
        *,
    };

    fn at(revision: u64) -> Position {
        Position { epoch: Epoch(7), revision: Revision(revision), digest: Digest(0) }
    }

    fn identity(id: &str, boot_id: u64) -> Identity {
        Identity {
            id: ProxyId::try_from(id).expect("a proxy's id"),
            boot_id,
            version: String::new(),
            zone: String::new(),
            advertised_address: String::new(),
            peer_address: String::new(),
        }
    }

    fn report(revision: u64, in_flight: &[(&str, u64)]) -> Report {
        Report {
            state: v1::ProxyState::Serving,
            in_flight: 0,
            draining: in_flight.iter().map(|(b, n)| ((*b).to_owned(), *n)).collect(),
            revision: Revision(revision),
            conditions: Arc::new(Conditions::heard(Vec::new())),
        }
    }

    fn stream(end: &CancellationToken) -> impl FnOnce(StreamId) -> Stream {
        let end = end.clone();
        |id| Stream { id, end, questions: Arc::default() }
    }

    /// A roster at revision 5, and a moment.
    fn roster() -> (Roster, Now) {
        (Roster::new(at(5)), Now::read())
    }

    fn join(roster: &mut Roster, id: &str, boot_id: u64, now: Now) -> (ProxyId, StreamId, CancellationToken) {
        let identity = identity(id, boot_id);
        let (id, end) = (identity.id.clone(), CancellationToken::new());
        let stream = roster.connect(identity, stream(&end), now).expect("room");
        (id, stream, end)
    }

    fn only(roster: &Roster) -> &Member {
        roster.members().next().expect("a member")
    }

    #[test]
    fn a_second_stream_of_the_same_proxy_ends_the_first_and_silences_it() {
        let (mut roster, now) = roster();
        let (id, first, first_ends) = join(&mut roster, "p", 1, now);
        let (_, _, second_ends) = join(&mut roster, "p", 1, now);
        assert!(first_ends.is_cancelled() && !second_ends.is_cancelled());
        roster.acknowledge(&id, first, at(5), Vec::new(), now);
        roster.report(&id, first, report(5, &[]), |_| true);
        assert!(!roster.disconnect(&id, first, now), "the end of the old stream is not the proxy's");
        let member = only(&roster);
        assert!(member.is_connected() && member.acknowledged.is_none() && member.report.is_none());
    }

    #[test]
    fn behind_from_the_first_revision_that_is_missing_until_the_newest_is_acknowledged() {
        let (mut roster, now) = roster();
        let later = |seconds| Now { wall: now.wall + Duration::from_secs(seconds), ..now };
        let (id, stream, _) = join(&mut roster, "p", 1, now);
        roster.acknowledge(&id, stream, at(5), Vec::new(), later(1));
        assert_eq!(only(&roster).behind_since, None);
        roster.published(at(6), later(2));
        roster.published(at(7), later(3));
        roster.acknowledge(&id, stream, at(6), Vec::new(), later(4));
        assert_eq!(only(&roster).behind_since, Some(later(2).wall));
        roster.acknowledge(&id, stream, at(8), Vec::new(), later(5));
        roster.published(at(8), later(6));
        assert_eq!(only(&roster).behind_since, None, "quicker than the word of revision 8");
    }

    #[test]
    fn a_reconnect_keeps_what_a_restart_forgets() {
        let (mut roster, now) = roster();
        let (id, stream, _) = join(&mut roster, "p", 1, now);
        roster.acknowledge(&id, stream, at(5), Vec::new(), now);
        assert!(roster.disconnect(&id, stream, now));
        join(&mut roster, "p", 1, now);
        assert_eq!(only(&roster).acknowledged, Some(at(5)));
        join(&mut roster, "p", 2, now);
        assert_eq!(only(&roster).acknowledged, None);
        assert_eq!(only(&roster).behind_since, Some(now.wall));
    }

    #[test]
    fn a_refusal_is_new_once() {
        let (mut roster, now) = roster();
        let (id, stream, _) = join(&mut roster, "p", 1, now);
        let refused =
            |reason: &str| v1::Refused { object: None, field: String::new(), reason: reason.into() };
        let mut acknowledge = |list: &[&str]| {
            roster.acknowledge(&id, stream, at(5), list.iter().map(|r| refused(r)).collect(), now).len()
        };
        assert_eq!(acknowledge(&["a"]), 1);
        assert_eq!(acknowledge(&["a", "b"]), 1);
        assert_eq!(acknowledge(&[]), 0);
        assert_eq!(acknowledge(&["a"]), 1, "it was realised in between");
    }

    #[test]
    fn what_a_proxy_says_is_kept_only_so_far() {
        let (mut roster, now) = roster();
        let (id, stream, _) = join(&mut roster, "p", 1, now);
        let long = "\u{e4}".repeat(100_000);
        let object = Some(v1::ObjectRef { kind: 1, name: long.clone() });
        let refusal = v1::Refused { object, field: long.clone(), reason: long.clone() };
        roster.acknowledge(&id, stream, at(5), vec![refusal; MOST_KEPT + 1], now);
        let kept = &only(&roster).refused;
        let bytes = |r: &v1::Refused| {
            let name = r.object.as_ref().map_or(0, |object| object.name.capacity());
            name + r.field.capacity() + r.reason.capacity()
        };
        assert_eq!(kept.len(), MOST_KEPT);
        assert!(kept.iter().all(|refused| bytes(refused) <= MOST_NAME + 2 * MOST_TEXT));

        let wire = v1::Report {
            draining: vec![v1::BackendInFlight { backend: long, in_flight: 1 }],
            ..Default::default()
        };
        assert_eq!(Report::of(wire, |_| true).draining.len(), 0, "no backend has such a name");
    }

    #[test]
    fn counts_that_cannot_be_added_are_no_idle_backend() {
        let (mut roster, now) = roster();
        for id in ["a", "b"] {
            let (id, stream, _) = join(&mut roster, id, 1, now);
            roster.acknowledge(&id, stream, at(6), Vec::new(), now);
            roster.report(&id, stream, report(6, &[("web/x", 1 << 63)]), |_| true);
        }
        assert_eq!(roster.draining(Epoch(7), Revision(6), "web/x").in_flight, u64::MAX);
    }

    #[test]
    fn who_left_is_remembered_for_an_hour() {
        let (mut roster, now) = roster();
        let (id, stream, _) = join(&mut roster, "p", 1, now);
        roster.disconnect(&id, stream, now);
        let after = |duration| Now { instant: now.instant + duration, ..now };
        roster.forget(after(REMEMBERED.saturating_sub(Duration::from_secs(1))));
        assert_eq!(roster.members().count(), 1);
        roster.forget(after(REMEMBERED));
        assert_eq!(roster.members().count(), 0);
    }

    #[test]
    fn a_full_roster_forgets_who_left_first_and_never_who_is_there() {
        let (mut roster, now) = roster();
        let mut left = Vec::new();
        for i in 0..MOST_PROXIES {
            left.push(join(&mut roster, &format!("p{i}"), 1, now));
        }
        assert!(roster.connect(identity("more", 1), stream(&CancellationToken::new()), now).is_none());
        join(&mut roster, "p9", 2, now);
        for (i, seconds) in [(3, 2), (4, 1)] {
            let (id, stream, _) = &left[i];
            roster.disconnect(
                id,
                *stream,
                Now { instant: now.instant + Duration::from_secs(seconds), ..now },
            );
        }
        join(&mut roster, "more", 1, now);
        let names: Vec<_> = roster.members().map(|m| m.identity.id.to_string()).collect();
        assert!(names.iter().any(|n| n == "p3") && !names.iter().any(|n| n == "p4"));
    }

    #[test]
    fn a_drain_is_done_when_every_connected_proxy_counted_zero_after_it() {
        let (mut roster, now) = roster();
        let (a, on_a, _) = join(&mut roster, "a", 1, now);
        let (b, on_b, _) = join(&mut roster, "b", 1, now);
        let view = |roster: &Roster| roster.draining(Epoch(7), Revision(6), "web/x");
        assert_eq!(view(&roster).unacknowledged, [a.clone(), b.clone()]);

        roster.acknowledge(&a, on_a, at(6), Vec::new(), now);
        roster.report(&a, on_a, report(5, &[("web/x", 0)]), |_| true);
        assert_eq!(
            (view(&roster).uncounted, view(&roster).is_done()),
            (1, false),
            "counted before the drain"
        );
        roster.report(&a, on_a, report(6, &[("web/x", 3)]), |_| true);
        roster.acknowledge(&b, on_b, at(7), Vec::new(), now);
        roster.report(&b, on_b, report(7, &[]), |_| true);
        assert_eq!(view(&roster), Draining { in_flight: 3, unacknowledged: Vec::new(), uncounted: 1 });

        roster.report(&a, on_a, report(6, &[("web/x", 0)]), |_| true);
        assert!(!view(&roster).is_done(), "b did not count it yet");
        roster.disconnect(&b, on_b, now);
        assert!(view(&roster).is_done(), "only connected proxies count");
    }
}
