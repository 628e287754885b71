//! The control plane is away for many times as long as leases last: nobody is taken for dead because nobody could say
//! that he lives.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_proto::v1;
use weir_tests::{Backend, Daemons, Heartbeats, Load};

/// The shortest that there is.
const TTL: Duration = Duration::from_secs(1);
/// How long it is away.
const AWAY: u32 = 4;
const AWAY_IN_SOAK: u32 = 120;
/// Backends, each with a lease.
const BACKENDS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn many_ttls_without_a_control_plane_expire_nobody() {
    let away = TTL * if crate::soak() { AWAY_IN_SOAK } else { AWAY };
    let mut daemons = Daemons::start(1).await;
    let (mut backends, mut heartbeats) = (Vec::new(), Vec::new());
    for n in 0..BACKENDS {
        let backend = Backend::start(&format!("b{n}")).await;
        let lease = daemons.api.lease("web", backend.address(), TTL).await.unwrap().lease_id;
        heartbeats.push(Heartbeats::start(&daemons.api, vec![lease], TTL / 4));
        backends.push(backend);
    }
    daemons.api.settled(1).await;
    let before = daemons.api.status().await.unwrap();
    let load = Load::start(daemons.traffic[0], 4, Duration::from_millis(2));

    daemons.control_plane.kill().await;
    let killed = Instant::now();
    while killed.elapsed() < away {
        load.progress(20).await;
    }
    daemons.restart_control_plane().await;
    let back = Instant::now();
    while back.elapsed() < 3 * TTL {
        let listed = daemons.api.backends("web").await.unwrap();
        let live = listed.iter().filter(|b| b.lease_state() == v1::LeaseState::Live).count();
        assert_eq!(live, BACKENDS, "after {:?}: {listed:?}", back.elapsed());
        sleep(TTL / 10).await;
    }
    let after = daemons.api.status().await.unwrap();
    assert_eq!((after.epoch, after.revision, after.digest), (before.epoch, before.revision, before.digest));

    let more = Backend::start("more").await;
    let revision = daemons.api.register("web", more.address()).await.unwrap().revision;
    assert_eq!(revision, before.revision + 1, "the revision goes on");
    daemons.api.acknowledged(revision, 1).await;
    let outcome = load.stop().await;
    assert_eq!(outcome.failures, Vec::<String>::new());
    println!("away for {away:?}: {} requests answered, 0 failed, nobody expired", outcome.ok());
}
