//! Who gets everything at once, who waits, and who comes back later.

use control_message::Message as Down;

use super::*;
use crate::fleet::Place;

/// All the places that there are.
fn places(api: &Api) -> Vec<Place> {
    std::iter::from_fn(|| api.fleet.resyncs().begin()).collect()
}

/// What comes next within an hour of quiet, but for pings, which are answered.
async fn next(proxy: &mut Proxy) -> Option<Down> {
    loop {
        match proxy.next().await? {
            Down::Ping(ping) => proxy.say(Message::Pong(v1::Pong { sequence: ping.sequence })).await,
            other => return Some(other),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_has_something_comes_back_later_when_all_places_are_taken() {
    let world = Proxy::with(None).await;
    let _taken = places(&world.api);
    let mut stale = Proxy::beside(&world, "stale", Some(elsewhere()));
    let Some(Down::GoAway(go_away)) = stale.next().await else { panic!("not sent away") };
    let after = Duration::try_from(go_away.retry_after.expect("a time")).expect("positive");
    assert!(after <= MINUTE, "{after:?}");
    assert!(stale.next().await.is_none(), "that is all");
    let mut events = world.api.registry.events().read(100);
    while events.next().await.r#type() != v1::EventType::ProxiesPutOff {}
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_has_nothing_waits_for_its_turn() {
    let world = Proxy::with(None).await;
    let taken = places(&world.api);
    let mut bare = Proxy::beside(&world, "bare", None);
    assert!(timeout(10 * MINUTE, next(&mut bare)).await.is_err(), "it is kept, and waits");
    drop(taken);
    let message = next(&mut bare).await;
    assert!(matches!(message, Some(Down::SnapshotPage(_))), "{message:?}");
}

#[tokio::test(start_paused = true)]
async fn who_needs_no_more_than_a_delta_waits_for_nobody() {
    let world = Proxy::with(None).await;
    let current = world.api.registry.current().position();
    world.register("10.0.0.1:80").await;
    let _taken = places(&world.api);
    let mut close = Proxy::beside(&world, "close", Some(current));
    let message = next(&mut close).await;
    assert!(matches!(message, Some(Down::Delta(_))), "{message:?}");
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_with_the_last_page_and_when_the_proxy_goes() {
    let mut proxy = Proxy::with(None).await;
    let all = usize::from(crate::config::RESYNCS_AT_ONCE);
    assert!(matches!(proxy.next().await, Some(Down::SnapshotPage(page)) if page.last));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let taken = places(&proxy.api);
    assert_eq!(taken.len(), all);
    let waits = Proxy::beside(&proxy, "bare", None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(waits);
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(taken);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(places(&proxy.api).len(), all, "nobody took one and went with it");
}
