//! The control plane dies under load: nothing fails, nothing is lost, and life goes on where it was.

use std::time::Duration;

use tokio::time::Instant;
use weir_proto::v1;
use weir_tests::{Backend, Daemons, Heartbeats, Load, get, until};

const TTL: Duration = Duration::from_secs(3);
/// What a control plane has handed to the proxies since its start.
const SENT: &str = "weir_control_plane_sent_bytes_total";

#[tokio::test(flavor = "multi_thread")]
async fn traffic_does_not_notice() {
    let away = Duration::from_secs(if crate::soak() { 60 } else { 4 });
    let (a, b, leased) =
        (Backend::start("a").await, Backend::start("b").await, Backend::start("leased").await);
    let mut daemons = Daemons::start(2).await;
    daemons.api.register("web", a.address()).await.unwrap();
    daemons.api.register("web", b.address()).await.unwrap();
    let lease = daemons.api.lease("web", leased.address(), TTL).await.unwrap().lease_id;
    let heartbeats = Heartbeats::start(&daemons.api, vec![lease], TTL / 3);
    daemons.api.settled(2).await;
    let before = daemons.api.status().await.unwrap();
    assert!(daemons.metric(SENT).await > 100.0, "the whole configuration is more than that");
    let loads: Vec<_> =
        daemons.traffic.iter().map(|t| Load::start(*t, 4, Duration::from_millis(2))).collect();

    daemons.control_plane.kill().await;
    let killed = Instant::now();
    while killed.elapsed() < away {
        for load in &loads {
            load.progress(50).await;
        }
    }
    daemons.restart_control_plane().await;
    let after = daemons.api.status().await.unwrap();
    assert_eq!((after.epoch, after.revision, after.digest), (before.epoch, before.revision, before.digest));

    daemons.api.settled(2).await;
    resumed(&daemons).await;

    // The lease begins anew: it is live, and stays so for as long as heartbeats arrive.
    let back = Instant::now();
    while back.elapsed() < TTL + Duration::from_secs(2) {
        for load in &loads {
            load.progress(50).await;
        }
        let backends = daemons.api.backends("web").await.unwrap();
        let lost = |b: &v1::Backend| b.lease_state() == v1::LeaseState::Expired;
        assert!(backends.len() == 3 && !backends.iter().any(lost), "{backends:?}");
    }
    drop(heartbeats);

    let more = Backend::start("more").await;
    let revision = daemons.api.register("web", more.address()).await.unwrap().revision;
    assert_eq!(revision, before.revision + 1, "the revision goes on");
    daemons.api.acknowledged(revision, 2).await;
    until("the new backend to be used", async || (more.requests() > 0).then_some(())).await;

    let mut answered = 0;
    for load in loads {
        let outcome = load.stop().await;
        assert_eq!(outcome.failures, Vec::<String>::new());
        answered += outcome.ok();
    }
    println!("control plane away for {away:?}: {answered} requests answered, 0 failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_starts_meanwhile_serves_from_its_disk() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let mut daemons = Daemons::start(1).await;
    daemons.api.register("web", a.address()).await.unwrap();
    daemons.api.register("web", b.address()).await.unwrap();
    let revision = daemons.api.settled(1).await;
    daemons.copied(0, b.address()).await;
    daemons.control_plane.kill().await;

    daemons.proxies[0].kill().await;
    daemons.restart_proxy(0).await;
    for _ in 0..4 {
        assert_eq!(get(daemons.traffic[0], "/").await.unwrap().status(), 200);
    }
    assert_eq!((a.requests(), b.requests()), (2, 2));

    daemons.restart_control_plane().await;
    daemons.api.acknowledged(revision, 1).await;
    let fleet = daemons.api.proxies().await.unwrap();
    assert_eq!((fleet.proxies.len(), fleet.proxies[0].digest), (1, fleet.digest));
    resumed(&daemons).await;
}

/// The proxies have resumed with a delta, which is empty: nothing has changed.
async fn resumed(daemons: &Daemons) {
    let sent = daemons.metric(SENT).await;
    assert!(sent < 1.0, "{sent} bytes sent");
}
