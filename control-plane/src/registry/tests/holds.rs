//! Many leases that fall silent together: how many expire, which are held, and what is told of it. The clock stands still
//! but for what the tests let pass.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_proto::{BackendKey, LeaseId, LeaseState, v1};

use crate::{
    events::Reader,
    lease::Rules,
    registry::{Registry, testing::*},
};

const TTL: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// Registers backends `web/0`, `web/1`, ... Their leases.
async fn serve(registry: &Registry, count: usize) -> Vec<LeaseId> {
    let mut leases = Vec::new();
    for n in 0..count {
        let registered = registry.register(&me(), leased(&format!("web/{n}"), "")).await.expect("ok");
        leases.push(registered.lease.expect("leased"));
    }
    leases
}

/// Lets so much time pass, in which these leases are renewed.
async fn pass(registry: &Registry, time: Duration, renewed: &[LeaseId]) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert_eq!(registry.heartbeat(renewed).unknown, [], "they live");
        sleep(SECOND.min(end - Instant::now())).await;
    }
}

fn expired(registry: &Registry) -> usize {
    let snapshot = registry.current();
    let service = key("web/0").service;
    let states = snapshot.backends_of(&service, None).filter_map(|entry| entry.object.value.as_backend());
    states.filter(|backend| backend.lease_state == LeaseState::Expired).count()
}

async fn told(events: &mut Reader, kind: v1::EventType) -> String {
    loop {
        let event = events.next().await;
        if event.r#type() == kind {
            return event.message.clone();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_silent_leases_a_share_expires_and_the_others_are_held_until_they_are_renewed() {
    let (registry, _task, _) = start().await;
    let leases = serve(&registry, 40).await;
    let (silent, beating) = leases.split_at(16);
    let mut events = registry.events().read(0);
    pass(&registry, 9 * SECOND, beating).await;
    assert!(registry.is_preserving(), "24 of 40 were renewed within two thirds of their ttl");
    assert!(told(&mut events, v1::EventType::SelfPreservation).await.contains("16 of 40 leases"));
    pass(&registry, 2 * TTL, beating).await;
    // 15 % of 40, once: in self-preservation no more go however long it lasts.
    assert_eq!((expired(&registry), registry.overdue_leases()), (6, 10));
    let message = told(&mut events, v1::EventType::LeasesHeld).await;
    assert!(message.contains("10 leases of service web are overdue and held"), "{message}");
    let held: Vec<_> = silent.iter().copied().filter(|id| registry.lease_held(*id).is_some()).collect();
    let (since, why) = registry.lease_held(held[0]).expect("held");
    assert!(since > TTL && why.contains("renewals are missing"), "{since:?}, {why}");

    assert_eq!(registry.heartbeat(&held).unknown, [], "a heartbeat makes them normal again");
    assert_eq!((registry.overdue_leases(), registry.lease_held(held[0])), (0, None));
    assert!(told(&mut events, v1::EventType::SelfPreservation).await.contains("ends"));
    assert!(
        told(&mut events, v1::EventType::LeasesHeld).await.contains("no lease of service web is overdue")
    );
    assert!(!registry.is_preserving());
    let all = [&held, beating].concat();
    pass(&registry, 5 * TTL, &all).await;
    assert_eq!(registry.live_leases(), 34);
}

#[tokio::test(start_paused = true)]
async fn with_few_leases_the_others_go_one_after_the_other() {
    let (registry, _task, _) = start().await;
    let leases = serve(&registry, 5).await;
    let beating = &leases[3..];
    for (ttls, gone) in [(1, 1), (2, 2), (3, 3)] {
        pass(&registry, if ttls == 1 { TTL + SECOND } else { TTL }, beating).await;
        assert_eq!((expired(&registry), registry.overdue_leases()), (gone, 3 - gone));
        assert!(!registry.is_preserving());
    }
}

#[tokio::test(start_paused = true)]
async fn what_every_proxy_finds_dead_goes_at_once() {
    let (registry, _task, _) = start().await;
    registry.call_witness(Box::new(|| Box::new(|key: &BackendKey| key.id.as_str() != "0")));
    let leases = serve(&registry, 40).await;
    let mut events = registry.events().read(0);
    pass(&registry, TTL + SECOND, &leases[20..]).await;
    // Six go by the share, the others because they are dead; one is well to the proxies, but may be among the six.
    assert!(registry.overdue_leases() <= 1 && expired(&registry) + registry.overdue_leases() == 20);
    loop {
        let message = told(&mut events, v1::EventType::LeaseExpired).await;
        if message.contains("every proxy finds it unhealthy") {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_routable_backend_is_held_after_others_expired() {
    let (registry, _task, _) = start().await;
    serve(&registry, 2).await;
    let began = Instant::now();
    pass(&registry, 2 * TTL + 5 * SECOND, &[]).await;
    assert_eq!((expired(&registry), registry.overdue_leases()), (1, 1));
    while registry.overdue_leases() > 0 {
        sleep(SECOND).await;
    }
    let after = began.elapsed();
    let most = TTL + Rules::default().max_hold;
    assert!((most..most + 2 * SECOND).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_routable_anyway_is_not_the_last_one() {
    let (registry, _task, _) = start().await;
    serve(&registry, 2).await;
    let leases = |registry: &Registry| (expired(registry), registry.live_leases());
    let state = weir_proto::OperatorState::Draining;
    for n in ["web/0", "web/1"] {
        registry.set_operator_state(&me(), key(n), state, None).await.expect("ok");
    }
    pass(&registry, 2 * TTL + 2 * SECOND, &[]).await;
    assert_eq!(leases(&registry), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_expiry_that_was_not_stored_takes_no_room() {
    let (registry, _task, store) = start().await;
    let leases = serve(&registry, 3).await;
    store.fail(Some(crate::Error::StoreFull { store: "memory".into(), reason: "full".into() }));
    pass(&registry, 4 * TTL, &leases[1..]).await;
    assert_eq!((expired(&registry), registry.live_leases()), (0, 3));
    store.fail(None);
    pass(&registry, 2 * SECOND, &leases[1..]).await;
    assert_eq!((expired(&registry), registry.live_leases()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_a_lease_is_held_does_not_run_while_nothing_runs() {
    let (registry, _task, _) = start().await;
    let leases = serve(&registry, 2).await;
    pass(&registry, TTL + 2 * SECOND, &[]).await;
    assert_eq!(registry.overdue_leases(), 1);
    tokio::time::advance(Duration::from_hours(1)).await;
    sleep(SECOND).await;
    assert_eq!((expired(&registry), registry.overdue_leases()), (1, 1));
    let since = leases.iter().find_map(|id| registry.lease_held(*id)).expect("held").0;
    assert!(since < 5 * SECOND, "{since:?}");
}
