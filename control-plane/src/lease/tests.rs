//! Leases against a plain model, and the pauses in which nobody could renew.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use tokio::time::Instant;
use weir_proto::{BackendKey, LeaseId, LeaseTerms};

use super::{Cause, Hold, Lapse, Leases, TICK};
use crate::snapshot::Snapshot;

const TERMS: LeaseTerms =
    LeaseTerms { ttl: Duration::from_secs(2), deregister_after: Duration::from_secs(3) };

fn leases(now: Instant) -> Leases {
    Leases::restore(&Snapshot::empty(weir_proto::Epoch(1)), now)
}

fn key() -> BackendKey {
    BackendKey::try_from("web/a").expect("valid")
}

/// The leases that are silent at `now`. What is late becomes so on the way.
fn silent(leases: &Leases, now: Instant) -> Vec<u64> {
    leases.due(now).silent.iter().map(|silent| silent.id.0).collect()
}

#[derive(Debug, Clone)]
enum Op {
    Grant(u64),
    Renew(u64),
    Forget(u64),
    Wait(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (1..5u64).prop_map(Op::Grant),
        (1..5u64).prop_map(Op::Renew),
        (1..5u64).prop_map(Op::Forget),
        (1..1500u64).prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 1..80)
}

proptest! {
    /// Looked at in every tick, a lease expires neither before its deadline nor more than a tick after it.
    #[test]
    fn nothing_expires_early_or_late(ops in ops()) {
        let mut now = Instant::now();
        let leases = leases(now);
        let mut model: BTreeMap<u64, Instant> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Grant(id) => {
                    leases.grant(LeaseId(id), &key(), TERMS, now);
                    model.insert(id, now + TERMS.ttl);
                }
                Op::Renew(id) => {
                    let known = leases.renew(LeaseId(id), now);
                    prop_assert_eq!(known, model.contains_key(&id));
                    model.entry(id).and_modify(|deadline| *deadline = now + TERMS.ttl);
                }
                Op::Forget(id) => {
                    leases.forget(LeaseId(id));
                    model.remove(&id);
                }
                Op::Wait(ms) => for _ in 0..ms.div_ceil(100) {
                    now += TICK;
                    let due = leases.due(now);
                    prop_assert!(due.removals.is_empty(), "of a lease that was forgotten: {:?}", due.removals);
                    let late = model.values().filter(|deadline| **deadline <= now + TERMS.ttl / 3).count();
                    prop_assert_eq!(leases.late(), late);
                    for id in due.silent.into_iter().map(|silent| silent.id) {
                        prop_assert!(leases.begin_expiry(id, now).is_some());
                        leases.forget(id);
                        prop_assert!(model.remove(&id.0).is_some_and(|deadline| deadline <= now));
                    }
                    prop_assert!(model.values().all(|deadline| *deadline > now), "overdue");
                }
            }
            prop_assert_eq!(leases.live(), model.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_between_due_and_expiry_wins() {
    let t0 = Instant::now();
    let leases = leases(t0);
    leases.grant(LeaseId(1), &key(), TERMS, t0);
    let at = t0 + TERMS.ttl;
    assert_eq!(silent(&leases, at), [1]);
    assert!(leases.renew(LeaseId(1), at));
    assert_eq!(leases.begin_expiry(LeaseId(1), at), None);
    assert_eq!(silent(&leases, at + TERMS.ttl), [1], "it is still looked after");
}

#[tokio::test(start_paused = true)]
async fn a_pause_counts_only_for_those_who_could_not_renew_in_it() {
    let t0 = Instant::now();
    let leases = leases(t0);
    let second = Duration::from_secs(1);
    leases.grant(LeaseId(1), &key(), TERMS, t0);
    leases.grant(LeaseId(2), &key(), TERMS, t0);
    // Stopped from second 1 to second 61; the second lease's heartbeat is heard before the loop wakes.
    let (from, to) = (t0 + second, t0 + 61 * second);
    leases.renew(LeaseId(2), to);
    leases.extend(from, to);
    assert_eq!(leases.remaining(LeaseId(1), to), Some(second));
    assert_eq!(leases.remaining(LeaseId(2), to), Some(TERMS.ttl));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_done_is_due_again() {
    let t0 = Instant::now();
    let leases = leases(t0);
    leases.grant(LeaseId(1), &key(), TERMS, t0);
    let at = t0 + TERMS.ttl;
    assert_eq!(silent(&leases, at), [1]);
    assert!(leases.begin_expiry(LeaseId(1), at).is_some());
    assert!(!leases.renew(LeaseId(1), at), "no heartbeat is heard and then lost");
    leases.postpone(Lapse::Expire(LeaseId(1), Cause::Silence), at);
    assert_eq!(leases.live(), 1);
    assert_eq!(silent(&leases, at + super::RETRY), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_looked_at_in_every_tick_until_it_is_renewed() {
    let t0 = Instant::now();
    let leases = leases(t0);
    leases.grant(LeaseId(1), &key(), TERMS, t0);
    let mut at = t0 + TERMS.ttl;
    for since in [0, 1, 2] {
        assert_eq!(silent(&leases, at), [1]);
        assert_eq!(leases.hold(LeaseId(1), Hold::ServiceCap, at), since == 0, "new only once");
        assert_eq!(leases.held(LeaseId(1), at), Some((since * TICK, Hold::ServiceCap)));
        assert_eq!((leases.live(), leases.late(), leases.overdue()), (1, 1, 1));
        assert_eq!(leases.overdue_in(&key().service), 1);
        at += TICK;
    }
    assert!(leases.renew(LeaseId(1), at));
    assert_eq!(leases.held(LeaseId(1), at), None);
    assert_eq!((leases.live(), leases.late(), leases.overdue()), (1, 0, 0));
    assert!(silent(&leases, at).is_empty());
    assert_eq!(silent(&leases, at + TERMS.ttl), [1], "it is still looked after");
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_no_part_of_the_time_that_a_lease_is_held() {
    let t0 = Instant::now();
    let leases = leases(t0);
    leases.grant(LeaseId(1), &key(), TERMS, t0);
    let at = t0 + TERMS.ttl;
    assert_eq!(silent(&leases, at), [1]);
    leases.hold(LeaseId(1), Hold::ServiceCap, at);
    let (from, to) = (at + TICK, at + Duration::from_mins(10));
    leases.extend(from, to);
    assert_eq!(leases.held(LeaseId(1), to), Some((TICK, Hold::ServiceCap)));
}

#[tokio::test(start_paused = true)]
async fn services_are_forgotten_with_their_last_lease() {
    let t0 = Instant::now();
    let leases = leases(t0);
    for id in 1..=1_000 {
        let backend = BackendKey::try_from(format!("s{}/a{id}", id % 10).as_str()).expect("valid");
        leases.grant(LeaseId(id), &backend, TERMS, t0);
    }
    assert_eq!((leases.services.len(), leases.live()), (10, 1_000));
    (1..=1_000).for_each(|id| leases.forget(LeaseId(id)));
    assert_eq!((leases.services.len(), leases.live(), leases.late()), (0, 0, 0));
}
