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

fn opens(proxy: &Membership, sockets: &[(&str, &str)]) {
    let open = |(name, at): &(&str, &str)| v1::OpenListener {
        name: (*name).into(),
        address: (*at).into(),
        reached_at: (*at).into(),
        ..Default::default()
    };
    let listeners = Some(v1::OpenListeners { open: sockets.iter().map(open).collect() });
    proxy.report(v1::Report { listeners, ..Default::default() }, |_| true);
}

fn addresses(fleet: &Fleet) -> Vec<String> {
    let addresses = fleet.routable();
    addresses.iter().flat_map(|proxy| proxy.addresses.iter().map(ToString::to_string)).collect()
}

#[tokio::test(start_paused = true)]
async fn clients_are_sent_to_the_sockets_that_are_open_and_to_no_proxy_without_one() {
    let fleet = fleet();
    let proxy = serving(&fleet, "a");
    assert_eq!(addresses(&fleet), ["10.0.0.1:0"], "of an older one nothing more is known");
    opens(&proxy, &[("--listen", "0.0.0.0:8080")]);
    assert_eq!(addresses(&fleet), ["10.0.0.1:8080"]);
    assert_eq!(fleet.own_addresses(), [("0.0.0.0:8080".to_owned(), 1)].into());
    opens(&proxy, &[("web", "0.0.0.0:80"), ("tls", "0.0.0.0:443")]);
    assert_eq!(
        (addresses(&fleet).join(" "), fleet.own_addresses().len()),
        ("10.0.0.1:80 10.0.0.1:443".into(), 0)
    );
    let open = fleet.list().remove(0).listeners.expect("it tells of them").open;
    assert_eq!((open[0].address.as_str(), open[0].reached_at.as_str()), ("0.0.0.0:80", "10.0.0.1:80"));
    opens(&proxy, &[]);
    assert_eq!(listed(&fleet), [""; 0]);
    opens(&proxy, &[("web", "0.0.0.0:80")]);
    assert_eq!(addresses(&fleet), ["10.0.0.1:80"]);
}

#[tokio::test(start_paused = true)]
async fn the_sockets_of_a_proxy_outlast_its_stream_and_the_control_plane() {
    let fleet = fleet();
    let proxy = serving(&fleet, "a");
    opens(&proxy, &[("tls", "0.0.0.0:443")]);
    let remembered = fleet.list();
    drop(proxy);
    assert_eq!(addresses(&fleet), ["10.0.0.1:443"]);
    let back = fleet.join(identity("a", 2)).expect("room");
    back.starts(true);
    assert_eq!(addresses(&fleet), ["10.0.0.1:443"], "until it tells of others");

    let restarted = self::fleet();
    restarted.remember(&remembered);
    assert_eq!(addresses(&restarted), ["10.0.0.1:443"]);
}
