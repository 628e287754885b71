//! Backends that come, go and change all the time: how often proxies are woken. The clock stands still but for what the
//! tests let pass.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use weir_proto::v1;

use crate::{
    Error,
    registry::{Registration, Registry, Target, testing::*},
};

const SECOND: Duration = Duration::from_secs(1);

async fn leave(registry: &Registry, name: &str) -> bool {
    registry.deregister(&me(), Target::Backend(key(name))).await.expect("ok").existed
}

/// With a ttl of 10 minutes.
fn lasting(name: &str, weight: u32) -> Registration {
    let mut registration = leased(name, "");
    registration.lease.as_mut().expect("leased").ttl = 600 * SECOND;
    registration.backend.weight = weight;
    registration
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_and_goes_each_second_wakes_proxies_five_times_in_a_minute() {
    let (registry, _task, _) = start().await;
    registry.register(&me(), lasting("web/a", 1)).await.expect("ok");
    registry.register(&me(), fixed("web/steady", "")).await.expect("ok");
    let mut published = registry.published();
    sleep(301 * SECOND).await;
    published.borrow_and_update();
    let (mut updates, mut refused) = (0, 0);
    let mut events = registry.events().read(0);
    for half in 0..120 {
        if half % 2 == 0 {
            leave(&registry, "web/a").await;
        } else if let Err(error) = registry.register(&me(), lasting("web/a", 1)).await {
            let Error::HeldBack { retry_after, flaps, .. } = error else { panic!("{error}") };
            assert!(flaps == 2 && retry_after <= 60 * SECOND);
            refused += 1;
        }
        sleep(SECOND / 2).await;
        updates += u32::from(published.has_changed().expect("open"));
        published.borrow_and_update();
    }
    assert_eq!((updates, refused), (5, 58), "down, up, down, up, down");
    assert_eq!((registry.held_back_backends(), registry.overdue_leases()), (1, 0));
    let left = registry.held_back(&key("web/a")).expect("held");
    let mut held = 0;
    while let Ok(event) = timeout(SECOND, events.next()).await {
        held += u32::from(event.r#type() == v1::EventType::BackendHeldBack);
    }
    assert_eq!(held, 1, "told once");

    sleep(left).await;
    assert_eq!((registry.held_back(&key("web/a")), registry.held_back_backends()), (None, 0));
    registry.register(&me(), leased("web/a", "")).await.expect("its time has come");
}

#[tokio::test(start_paused = true)]
async fn coming_back_after_an_expiry_and_changing_are_flaps() {
    let (registry, _task, _) = start().await;
    registry.register(&me(), lasting("web/a", 1)).await.expect("the first time");
    sleep(620 * SECOND).await;
    assert_eq!(registry.live_leases(), 0);
    registry.register(&me(), lasting("web/a", 1)).await.expect("back");
    registry.register(&me(), lasting("web/a", 2)).await.expect("changed");
    let revision = registry.current().revision();
    registry.register(&me(), lasting("web/a", 2)).await.expect("the same again");
    let held = registry.register(&me(), lasting("web/a", 3)).await;
    assert!(matches!(held, Err(Error::HeldBack { .. })), "{held:?}");
    assert_eq!(registry.current().revision(), revision);
    sleep(50 * SECOND).await;
    registry.register(&me(), lasting("web/a", 2)).await.expect("the same is a heartbeat");
    assert!(registry.register(&me(), lasting("web/a", 3)).await.is_err());
    sleep(11 * SECOND).await;
    registry.register(&me(), lasting("web/a", 3)).await.expect("its time has come");
}

#[tokio::test(start_paused = true)]
async fn operators_are_not_held_back_nor_is_anybody_from_leaving() {
    let (registry, _task, _) = start().await;
    for weight in 1..20 {
        let mut by_hand = fixed("web/a", "");
        by_hand.backend.weight = weight;
        registry.register(&me(), by_hand).await.expect("ok");
        assert!(weight % 3 > 0 || leave(&registry, "web/a").await);
    }
    for n in 0..5 {
        let came = registry.register(&me(), leased("web/b", "")).await.is_ok();
        assert_eq!((came, leave(&registry, "web/b").await), (n < 2, n < 2), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_no_flap_and_forgives() {
    let (registry, task, store) = start().await;
    for _ in 0..2 {
        registry.register(&me(), leased("web/a", "")).await.expect("ok");
        leave(&registry, "web/a").await;
    }
    assert!(registry.register(&me(), leased("web/a", "")).await.is_err());
    task.stop().await.expect("stops");
    let (registry, _task) = restart(&store).await;
    assert_eq!(registry.held_back_backends(), 0);
    registry.register(&me(), leased("web/a", "")).await.expect("forgiven");
}
