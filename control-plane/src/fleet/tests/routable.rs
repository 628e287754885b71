//! Who is in the list that clients are sent by.

use tokio::time::{advance, sleep};

use super::*;

fn listed(fleet: &Fleet) -> Vec<String> {
    fleet.routable().iter().map(|proxy| proxy.id.to_string()).collect()
}

/// Lets the fleet notice that time has passed.
async fn later(duration: Duration) {
    advance(duration).await;
    sleep(UPKEEP_EVERY).await;
}

fn kept() -> (Fleet, tokio_util::task::AbortOnDropHandle<()>) {
    let fleet = fleet();
    let keep = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(fleet.clone().keep(|_| {})));
    (fleet, keep)
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_in_as_soon_as_it_has_something_to_serve_and_out_as_soon_as_it_drains() {
    let fleet = fleet();
    let new = fleet.join(identity("new", 1)).expect("room");
    new.starts(false);
    let old = fleet.join(identity("old", 1)).expect("room");
    old.starts(true);
    assert_eq!(listed(&fleet), ["old"], "from its copy on disk");
    new.acknowledge(at(5), Vec::new());
    says(&new, v1::ProxyState::Serving);
    assert_eq!(listed(&fleet), ["new", "old"]);
    says(&new, v1::ProxyState::Draining);
    assert_eq!(listed(&fleet), ["old"]);
    drop(new);
    let again = fleet.join(identity("new", 1)).expect("room");
    again.starts(true);
    assert_eq!(listed(&fleet), ["old"], "the same process still drains");
    let restarted = fleet.join(identity("new", 2)).expect("room");
    restarted.starts(true);
    assert_eq!(listed(&fleet), ["new", "old"], "another one does not");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_lost_takes_its_proxy_out_after_half_a_minute() {
    let (fleet, _keep) = kept();
    let (_a, _b, c) = (serving(&fleet, "a"), serving(&fleet, "b"), serving(&fleet, "c"));
    drop(c);
    later(Duration::from_secs(28)).await;
    assert_eq!(listed(&fleet), ["a", "b", "c"]);
    later(Duration::from_secs(1)).await;
    assert_eq!(listed(&fleet), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_cut_off_takes_nobody_out_until_half_are_back() {
    let (fleet, _keep) = kept();
    let proxies: Vec<_> = ["a", "b", "c", "d"].map(|id| serving(&fleet, id)).into();
    drop(proxies);
    later(Duration::from_hours(2)).await;
    assert_eq!(listed(&fleet), ["a", "b", "c", "d"]);
    assert_eq!(fleet.list().len(), 0, "nobody was there within the last hour");
    let _a = serving(&fleet, "a");
    later(Duration::ZERO).await;
    assert_eq!(listed(&fleet), ["a", "b", "c", "d"]);
    let _b = serving(&fleet, "b");
    later(Duration::ZERO).await;
    assert_eq!(listed(&fleet), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_is_told_to_come_back_later_is_not_lost_meanwhile() {
    let (fleet, _keep) = kept();
    let (_a, _b, c) = (serving(&fleet, "a"), serving(&fleet, "b"), serving(&fleet, "c"));
    // So many come before it that it comes back much later.
    let mut after = Duration::ZERO;
    while after < Duration::from_secs(10) {
        after = c.put_off();
    }
    drop(c);
    later(after + Duration::from_secs(28)).await;
    assert_eq!(listed(&fleet), ["a", "b", "c"]);
    later(Duration::from_secs(2)).await;
    assert_eq!(listed(&fleet), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_comes_back_is_never_out_in_between() {
    let fleet = fleet();
    drop(serving(&fleet, "a"));
    let _other = serving(&fleet, "other");
    let back = fleet.join(identity("a", 2)).expect("room");
    // Something else has the list made anew, before it is known what the proxy has.
    let _another = serving(&fleet, "z");
    assert_eq!(listed(&fleet), ["a", "other", "z"]);
    back.starts(false);
    assert_eq!(listed(&fleet), ["other", "z"], "it has nothing any more");
}
