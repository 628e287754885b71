//! Leases against a plain model, and the pauses in which nobody could renew.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use tokio::time::Instant;
use weir_proto::{BackendKey, LeaseId, LeaseTerms};

use super::{Lapse, Leases, TICK};
use crate::snapshot::Snapshot;

const TERMS: LeaseTerms =
    LeaseTerms { ttl: Duration::from_secs(2), deregister_after: Duration::from_secs(3) };

fn leases(now: Instant) -> Leases {
    Leases::restore(&Snapshot::empty(weir_proto::Epoch(1)), now)
}

fn key() -> BackendKey {
    BackendKey::try_from("web/a").expect("valid")
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
                    leases.grant(LeaseId(id), key(), TERMS, now);
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
                    for lapse in leases.due(now, usize::MAX) {
                        let Lapse::Expire(id) = lapse else {
                            prop_assert!(false, "{lapse:?} of a lease that was forgotten");
                            continue;
                        };
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
    leases.grant(LeaseId(1), key(), TERMS, t0);
    let at = t0 + TERMS.ttl;
    assert_eq!(leases.due(at, 9), [Lapse::Expire(LeaseId(1))]);
    assert!(leases.renew(LeaseId(1), at));
    assert_eq!(leases.begin_expiry(LeaseId(1), at), None);
    assert_eq!(leases.due(at + TERMS.ttl, 9), [Lapse::Expire(LeaseId(1))], "it is still looked after");
}

#[tokio::test(start_paused = true)]
async fn a_pause_counts_only_for_those_who_could_not_renew_in_it() {
    let t0 = Instant::now();
    let leases = leases(t0);
    let second = Duration::from_secs(1);
    leases.grant(LeaseId(1), key(), TERMS, t0);
    leases.grant(LeaseId(2), key(), TERMS, t0);
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
    leases.grant(LeaseId(1), key(), TERMS, t0);
    let at = t0 + TERMS.ttl;
    let expire = Lapse::Expire(LeaseId(1));
    assert_eq!(leases.due(at, 9), [expire]);
    assert!(leases.begin_expiry(LeaseId(1), at).is_some());
    assert!(!leases.renew(LeaseId(1), at), "no heartbeat is heard and then lost");
    leases.postpone(expire, at);
    assert_eq!(leases.live(), 1);
    assert_eq!(leases.due(at + super::RETRY, 9), [expire]);
}
