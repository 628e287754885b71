//! Who comes, goes, acknowledges, reports and is forgotten.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use weir_proto::Digest;

use super::{
    super::{
        acknowledged::filed,
        bounds::{MOST_KEPT, MOST_NAME, MOST_TEXT},
        conditions::Conditions,
        member::REMEMBERED,
    },
    *,
};

pub(super) fn at(revision: u64) -> Position {
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
        listeners: None,
        state: v1::ProxyState::Serving,
        in_flight: 0,
        draining: in_flight.iter().map(|(b, n)| ((*b).to_owned(), *n)).collect(),
        revision: Revision(revision),
        conditions: Arc::new(Conditions::heard(Vec::new())),
    }
}

fn stream(end: &CancellationToken) -> impl FnOnce(StreamId) -> Stream {
    let end = end.clone();
    |id| Stream { id, end, questions: Arc::default(), closes: Arc::default() }
}

/// A roster at revision 5, and a moment.
pub(super) fn roster() -> (Roster, Now) {
    (Roster::new(at(5)), Now::read())
}

pub(super) fn join(
    roster: &mut Roster,
    id: &str,
    boot_id: u64,
    now: Now,
) -> (ProxyId, StreamId, CancellationToken) {
    let identity = identity(id, boot_id);
    let (id, end) = (identity.id.clone(), CancellationToken::new());
    let stream = roster.connect(identity, stream(&end), now).expect("room");
    (id, stream, end)
}

fn only(roster: &Roster) -> &Member {
    roster.connected().next().expect("a member")
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
    roster.published(at(6), Revision(0), later(2));
    roster.published(at(7), Revision(0), later(3));
    roster.acknowledge(&id, stream, at(6), Vec::new(), later(4));
    assert_eq!(only(&roster).behind_since, Some(later(2).wall));
    roster.acknowledge(&id, stream, at(8), Vec::new(), later(5));
    roster.published(at(8), Revision(0), later(6));
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
    let refused = |reason: &str| v1::Refused { object: None, field: String::new(), reason: reason.into() };
    let mut acknowledge = |list: &[&str]| {
        roster
            .acknowledge(
                &id,
                stream,
                at(5),
                filed(list.iter().map(|r| refused(r)).collect(), |_| Revision(5)),
                now,
            )
            .len()
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
    let refused = filed(vec![refusal; MOST_KEPT + 1], |_| Revision(5));
    roster.acknowledge(&id, stream, at(5), refused, now);
    let kept = &only(&roster).refused;
    let bytes = |r: &v1::Refused| {
        let name = r.object.as_ref().map_or(0, |object| object.name.capacity());
        name + r.field.capacity() + r.reason.capacity()
    };
    assert_eq!(kept.len(), MOST_KEPT);
    assert!(kept.iter().all(|refused| bytes(&refused.said) <= MOST_NAME + 2 * MOST_TEXT));

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
    assert_eq!(roster.draining(now.instant, Epoch(7), Revision(6), "web/x").in_flight, u64::MAX);
}

#[test]
fn who_left_is_remembered_for_an_hour() {
    let (mut roster, now) = roster();
    let (id, stream, _) = join(&mut roster, "p", 1, now);
    roster.disconnect(&id, stream, now);
    let after = |duration| Now { instant: now.instant + duration, ..now };
    let hour = after(REMEMBERED);
    roster.forget(after(REMEMBERED.saturating_sub(Duration::from_secs(1))));
    assert_eq!((roster.members(now.instant).count(), roster.members(hour.instant).count()), (1, 0));
    roster.forget(hour);
    assert_eq!(roster.members(now.instant).count(), 0);
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
        roster.disconnect(id, *stream, Now { instant: now.instant + Duration::from_secs(seconds), ..now });
    }
    join(&mut roster, "more", 1, now);
    let names: Vec<_> = roster.members(now.instant).map(|m| m.identity.id.to_string()).collect();
    assert!(names.iter().any(|n| n == "p3") && !names.iter().any(|n| n == "p4"));
}

#[test]
fn a_drain_is_done_when_every_live_proxy_counted_zero_after_it() {
    let (mut roster, now) = roster();
    let (a, on_a, _) = join(&mut roster, "a", 1, now);
    let (b, on_b, _) = join(&mut roster, "b", 1, now);
    let view = |roster: &Roster| roster.draining(now.instant, Epoch(7), Revision(6), "web/x");
    assert_eq!(view(&roster).unacknowledged, [a.clone(), b.clone()]);

    roster.acknowledge(&a, on_a, at(6), Vec::new(), now);
    roster.report(&a, on_a, report(5, &[("web/x", 0)]), |_| true);
    assert_eq!(
        (view(&roster).uncounted, view(&roster).live),
        (vec![a.clone()], 2),
        "counted before the drain"
    );
    roster.report(&a, on_a, report(6, &[("web/x", 3)]), |_| true);
    roster.acknowledge(&b, on_b, at(7), Vec::new(), now);
    assert_eq!((view(&roster).busy, view(&roster).uncounted), (vec![a.clone()], vec![b.clone()]));
    roster.report(&b, on_b, report(7, &[]), |_| true);
    assert_eq!((view(&roster).in_flight, view(&roster).uncounted), (3, Vec::new()), "b does not know it");

    roster.report(&a, on_a, report(6, &[("web/x", 0)]), |_| true);
    assert!(view(&roster).is_done());

    let (c, on_c, _) = join(&mut roster, "c", 1, now);
    roster.disconnect(&c, on_c, now);
    assert_eq!(view(&roster).unacknowledged, [c], "it is expected back");
    let later = now.instant + Duration::from_secs(30);
    assert!(roster.draining(later, Epoch(7), Revision(6), "web/x").is_done());
}
