//! A proxy that is stopped (SIGSTOP) holds nobody up and costs nothing, however much changes meanwhile.

use tokio::task::JoinSet;
use weir_proto::v1::OperatorState;
use weir_tests::{Api, Backend, Daemons, Signal, get};

/// Changes while the proxy is stopped.
const CHANGES: usize = 2_000;
/// Backends that change at the same time.
const AT_ONCE: usize = 8;
/// What the control plane may grow by meanwhile, in KiB: it remembers what happened, for its events and its history.
const MOST_GROWTH: u64 = 24 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_queues_up_for_it_and_it_catches_up_in_one_step() {
    let stays = Backend::start("stays").await;
    let mut flips = Vec::new();
    for _ in 0..AT_ONCE {
        flips.push(Backend::start("flips").await);
    }
    let daemons = Daemons::start(3).await;
    let api = &daemons.api;
    for backend in flips.iter().chain([&stays]) {
        api.register("web", backend.address()).await.unwrap();
    }
    // So that what the first changes take is not counted.
    flip(api, &flips, 10).await;
    api.settled(3).await;
    let before = daemons.control_plane.resident();

    daemons.proxies[2].signal(Signal::STOP);
    flip(api, &flips, CHANGES / AT_ONCE).await;
    let revision = api.status().await.unwrap().revision;
    api.acknowledged(revision, 2).await;
    let growth = daemons.control_plane.resident().saturating_sub(before);
    println!("{CHANGES} changes while a proxy is stopped: {growth} KiB");
    assert!(growth < MOST_GROWTH, "{growth} KiB more for {CHANGES} changes");
    for proxy in &daemons.traffic[..2] {
        for _ in 0..20 {
            assert_eq!(get(*proxy, "/").await.unwrap().text(), "stays", "the others drain");
        }
    }

    daemons.proxies[2].signal(Signal::CONT);
    // Its digest says nothing here: what it had when it was stopped is what there is now.
    api.acknowledged(revision, 3).await;
    for _ in 0..20 {
        assert_eq!(get(daemons.traffic[2], "/").await.unwrap().text(), "stays");
    }
}

/// Enables and drains each of the backends so many times, all of them at once. In the end they drain.
async fn flip(api: &Api, backends: &[Backend], times: usize) {
    let mut flipping = JoinSet::new();
    for backend in backends {
        let (api, backend) = (api.clone(), format!("web/{}", backend.address()));
        flipping.spawn(async move {
            for n in 1..=times {
                let drains = n.is_multiple_of(2) || n == times;
                let state = if drains { OperatorState::Draining } else { OperatorState::Enabled };
                api.operator_state(&backend, state).await.unwrap();
            }
        });
    }
    while let Some(flipped) = flipping.join_next().await {
        flipped.unwrap();
    }
}
