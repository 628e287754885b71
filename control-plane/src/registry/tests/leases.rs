//! Leases as callers see them; the clock stands still but for what the tests let pass.

use std::time::Duration;

use tokio::time::{Instant, advance, sleep};
use weir_proto::{LeaseState, OperatorState, v1};

use crate::registry::{NotRenewed, Outcome, Registry, Remove, Target, testing::*};

fn state(registry: &Registry, name: &str) -> Option<LeaseState> {
    registry.current().backend(&key(name)).and_then(|e| e.object.value.as_backend().map(|b| b.lease_state))
}

async fn until(registry: &Registry, name: &str, wanted: Option<LeaseState>) -> Duration {
    let begin = Instant::now();
    while state(registry, name) != wanted {
        assert!(begin.elapsed() < Duration::from_mins(10), "{name} never became {wanted:?}");
        sleep(Duration::from_millis(10)).await;
    }
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn silence_expires_a_lease_after_its_ttl_and_removes_it_later() {
    let (registry, _task, _) = start().await;
    let lease = registry.register(&me(), leased("web/a", "")).await.expect("ok").lease.expect("leased");
    let after = until(&registry, "web/a", Some(LeaseState::Expired)).await;
    assert!((10_000..11_000).contains(&after.as_millis()), "{after:?}");
    assert_eq!(registry.heartbeat(&[lease]).unknown, [lease]);
    assert_eq!((registry.live_leases(), registry.lease_remaining(lease)), (0, None));
    let after = until(&registry, "web/a", None).await;
    assert!((29_900..31_000).contains(&after.as_millis()), "{after:?}");
    assert_eq!(registry.current().len(), 0, "the service went with it");
}

#[tokio::test(start_paused = true)]
async fn only_what_an_operator_drained_is_withdrawn_and_another_registration_has_another_lease() {
    let (registry, _task, store) = start().await;
    let take_out = async |name, withdraws| {
        let lease = registry.register(&me(), leased(name, "")).await.expect("ok").lease.expect("leased");
        let set = registry.set_operator_state(&me(), key(name), OperatorState::Draining, None).await;
        let unchanged_since = Some(set.expect("ok").0);
        let remove = Remove { target: Target::Backend(key(name)), unchanged_since, withdraws };
        assert!(registry.remove_drained(&me(), remove).await.expect("ok").existed);
        lease
    };
    let (theirs, mine) = (take_out("web/a", true).await, take_out("web/b", false).await);
    let live = registry.register(&me(), leased("web/a", "")).await.expect("ok").lease.expect("leased");
    let gone = NotRenewed { unknown: vec![mine], withdrawn: vec![theirs] };
    assert_eq!(registry.heartbeat(&[theirs, live, mine]), gone);
    assert_eq!((registry.metrics.heartbeats.get(), registry.metrics.unknown_leases.get()), (1, 1));

    let (restarted, _task) = restart(&store).await;
    assert_eq!(restarted.heartbeat(&[theirs]).unknown, [theirs], "it is not durable");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_a_lease_and_change_no_revision() {
    let (registry, _task, _) = start().await;
    let it = registry.register(&me(), leased("web/a", "")).await.expect("ok");
    let mut published = registry.published();
    sleep(Duration::from_millis(200)).await;
    published.borrow_and_update();
    for _ in 0..100 {
        sleep(Duration::from_millis(9_700)).await;
        assert!(registry.heartbeat(&[it.lease.expect("leased")]).unknown.is_empty());
    }
    assert_eq!(registry.current().revision(), it.revision);
    assert!(!published.has_changed().expect("open"), "nobody wakes");
}

#[tokio::test(start_paused = true)]
async fn an_expired_backend_comes_back_with_a_new_lease() {
    let (registry, _task, _) = start().await;
    let first = registry.register(&me(), leased("web/a", "")).await.expect("ok");
    until(&registry, "web/a", Some(LeaseState::Expired)).await;
    let mut events = registry.events().read(0);
    let back = registry.register(&me(), leased("web/a", "")).await.expect("ok");
    assert!(back.outcome != Outcome::Created && back.lease != first.lease && back.lease.is_some());
    assert_eq!(events.next().await.r#type(), v1::EventType::LeaseRestored);
    assert_eq!(state(&registry, "web/a"), Some(LeaseState::Live));
    sleep(Duration::from_secs(9)).await;
    registry.heartbeat(&[back.lease.expect("leased")]);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(state(&registry, "web/a"), Some(LeaseState::Live), "the old lease's removal is off");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_ttl_counts_at_once() {
    let (registry, _task, _) = start().await;
    registry.register(&me(), leased("web/a", "")).await.expect("ok");
    let mut shorter = leased("web/a", "");
    shorter.lease.as_mut().expect("leased").ttl = Duration::from_secs(2);
    registry.register(&me(), shorter).await.expect("ok");
    let after = until(&registry, "web/a", Some(LeaseState::Expired)).await;
    assert!((2_000..3_000).contains(&after.as_millis()), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_gives_every_lease_a_whole_ttl() {
    let (registry, task, store) = start().await;
    let lease = registry.register(&me(), leased("web/a", "")).await.expect("ok").lease.expect("leased");
    sleep(Duration::from_secs(9)).await;
    task.stop().await.expect("stops");
    sleep(Duration::from_secs(100)).await;
    let (registry, _task) = restart(&store).await;
    assert_eq!(registry.lease_remaining(lease), Some(Duration::from_secs(10)));
    let after = until(&registry, "web/a", Some(LeaseState::Expired)).await;
    assert!((10_000..11_000).contains(&after.as_millis()), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn time_in_which_nothing_ran_counts_for_no_lease() {
    let (registry, _task, _) = start().await;
    registry.register(&me(), leased("web/a", "")).await.expect("ok");
    sleep(Duration::from_secs(5)).await;
    // The clock jumps as it does for a process that was stopped.
    advance(Duration::from_mins(1)).await;
    let after = until(&registry, "web/a", Some(LeaseState::Expired)).await;
    assert!((4_800..6_000).contains(&after.as_millis()), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_expiry_that_cannot_be_stored_is_tried_again() {
    let (registry, _task, store) = start().await;
    let lease = registry.register(&me(), leased("web/a", "")).await.expect("ok").lease.expect("leased");
    store.fail(Some(crate::Error::StoreFull { store: "memory".into(), reason: "full".into() }));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(state(&registry, "web/a"), Some(LeaseState::Live));
    store.fail(None);
    until(&registry, "web/a", Some(LeaseState::Expired)).await;
    assert_eq!(registry.heartbeat(&[lease]).unknown, [lease]);
}
