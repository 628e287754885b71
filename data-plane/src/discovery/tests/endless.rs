//! Configurations that do not end, do not come, or are too large: they are let go, and what is in force serves on.

use prost::Message;

use super::*;
use crate::objects::Position;

/// A page of a snapshot that never has a last one.
fn page(position: Position, index: u32) -> Down {
    let object =
        |i| v1::Object { kind: 2, name: format!("s{index}-{i}"), body: vec![b'x'; 9_000].into(), level: 0 };
    let body = v1::SnapshotBody { objects: (0..10).map(object).collect() };
    Down::SnapshotPage(v1::SnapshotPage {
        position: Some(position.into()),
        index,
        total_objects: BOUNDS.objects,
        body: body.encode_to_vec().into(),
        ..Default::default()
    })
}

/// A link once the stream on it has ended.
async fn lost(proxy: &Proxy) -> String {
    let mut link = proxy.link.clone();
    let link = link.wait_for(|link| link.last_failure.is_some()).await.unwrap();
    link.last_failure.clone().unwrap_or_default()
}

#[tokio::test]
async fn pages_that_never_end_are_let_go_and_the_second_time_the_stream_ends() {
    let (mut plane, mut peer, proxy, _) = started(&web(4)).await;
    let position = state(1, 2, &[]).position;
    for index in 0..12 {
        peer.send(page(position, index)).await;
    }
    let reason = peer.resync().await;
    assert!(reason.contains("--max-snapshot-bytes"), "{reason}");
    assert_eq!(
        (proxy.revision(), proxy.backends().len(), proxy.metrics.beyond_bounds.get()),
        (Some(1), 3, 1)
    );
    for index in 0..12 {
        peer.send(page(position, index)).await;
    }
    assert!(lost(&proxy).await.contains("--max-snapshot-bytes"));
    let (mut peer, hello) = plane.accept().await;
    assert_eq!(hello.position.map(|p| p.revision), Some(1), "it comes back with what it has");
    assert_eq!((proxy.backends().len(), proxy.metrics.beyond_bounds.get()), (3, 2));

    let second = state(1, 2, &web(5));
    peer.snapshot(&second, 2, false).await;
    assert_eq!(peer.ack().await.position, Some(second.position.into()), "what fits is taken as ever");
}

#[tokio::test]
async fn a_snapshot_that_stops_halfway_is_given_up_in_time() {
    let (_plane, mut peer, proxy, _) = started(&web(4)).await;
    peer.send(page(state(1, 2, &[]).position, 0)).await;
    let pinging = async |times: u64| {
        for sequence in 0..times {
            peer.send(Down::Ping(v1::Ping { sequence })).await;
            assert!(matches!(peer.answer().await, Some(Up::Pong(_))));
            tokio::time::sleep(Duration::from_secs(15)).await;
        }
    };
    let pinging = &mut { pinging };
    tokio::time::pause();
    pinging(20).await;
    tokio::time::resume();
    let reason = peer.resync().await;
    assert!(reason.contains("is not complete after 300s"), "{reason}");
    assert_eq!((proxy.revision(), proxy.metrics.beyond_bounds.get()), (Some(1), 1));
}

#[tokio::test]
async fn a_control_plane_that_only_pings_is_left_for_another_one() {
    let (mut silent, mut next) = (ControlPlane::start().await, ControlPlane::start().await);
    let proxy = Proxy::start(vec![silent.uri(), next.uri()]);
    let (mut peer, mut other) = tokio::select! {
        (peer, _) = silent.accept() => (peer, next),
        (peer, _) = next.accept() => (peer, silent),
    };
    tokio::time::pause();
    for sequence in 0..20 {
        peer.send(Down::Ping(v1::Ping { sequence })).await;
        assert!(matches!(peer.answer().await, Some(Up::Pong(_))));
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
    assert!(peer.resync().await.contains("has not begun after 300s"), "it asks once more");
    for sequence in 20..40 {
        peer.send(Down::Ping(v1::Ping { sequence })).await;
        assert!(matches!(peer.answer().await, Some(Up::Pong(_))));
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
    tokio::time::resume();
    other.accept().await;
    assert_eq!(proxy.metrics.beyond_bounds.get(), 2);
}

/// Lets time pass on a stream on which nothing but pings comes. Fails if the proxy says anything of its own.
async fn only_pings(peer: &mut Peer, times: u64) {
    for sequence in 0..times {
        peer.send(Down::Ping(v1::Ping { sequence })).await;
        let answer = peer.answer().await;
        assert_eq!(answer, Some(Up::Pong(v1::Pong { sequence })), "after {sequence} times 15 s");
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
}

#[tokio::test]
async fn a_proxy_with_a_configuration_awaits_none_neither_on_a_new_stream_nor_after_a_resync() {
    let (mut plane, peer, proxy, first) = started(&web(4)).await;
    peer.send(Down::GoAway(v1::GoAway::default())).await;
    let (mut peer, hello) = plane.accept().await;
    assert_eq!(hello.position, Some(first.position.into()));
    tokio::time::pause();
    only_pings(&mut peer, 25).await;
    peer.send(page(state(1, 2, &[]).position, 3)).await;
    assert_eq!(peer.resync().await, "page 3 came first");
    only_pings(&mut peer, 25).await;
    tokio::time::resume();
    assert_eq!((proxy.metrics.beyond_bounds.get(), proxy.metrics.resyncs.get()), (0, 1));
}

#[tokio::test]
async fn pages_do_not_go_on_after_a_state_that_came_between_them() {
    let (_plane, mut peer, proxy, first) = started(&web(4)).await;
    let second = state(1, 2, &web(9));
    let all = pages(&second, 2, false);
    for page in &all[..2] {
        peer.send(Down::SnapshotPage(page.clone())).await;
    }
    peer.delta(&first, &first).await;
    peer.ack().await;
    peer.send(Down::SnapshotPage(all[2].clone())).await;
    assert_eq!(peer.resync().await, "page 2 came first");
    // The same, where the state is of another history.
    peer.snapshot(&second, 2, false).await;
    peer.ack().await;
    let third = state(1, 3, &web(10));
    let all = pages(&third, 2, false);
    peer.send(Down::SnapshotPage(all[0].clone())).await;
    peer.delta(&state(1, 2, &web(3)), &state(1, 3, &web(5))).await;
    assert_eq!(peer.kept_out().await.reason(), v1::KeptOutReason::Fork);
    peer.send(Down::SnapshotPage(all[1].clone())).await;
    assert_eq!(peer.resync().await, "page 1 came first");
    assert_eq!(proxy.revision(), Some(2));
}

#[tokio::test]
async fn pages_that_were_under_way_when_a_snapshot_was_asked_for_are_no_second_fault() {
    let (_plane, mut peer, proxy, _) = started(&web(4)).await;
    let second = state(1, 2, &web(9));
    let all = pages(&second, 2, false);
    for index in [0, 2, 3, 4] {
        peer.send(Down::SnapshotPage(all[index].clone())).await;
    }
    assert_eq!(peer.resync().await, "page 2 came where 1 was due");
    peer.snapshot(&second, 2, false).await;
    assert_eq!(peer.ack().await.position, Some(second.position.into()));
    assert_eq!((proxy.revision(), proxy.metrics.resyncs.get()), (Some(2), 1));
}

#[tokio::test]
async fn pages_without_a_first_one_end_the_stream_once_they_are_more_than_any_snapshot_has() {
    let (mut plane, mut peer, proxy, _) = started(&web(4)).await;
    let position = state(1, 2, &[]).position;
    peer.send(page(position, 3)).await;
    peer.resync().await;
    for index in 4..16 {
        peer.send(page(position, index)).await;
    }
    assert!(lost(&proxy).await.contains("--max-snapshot-bytes"));
    plane.accept().await;
}

#[tokio::test]
async fn asking_again_never_cuts_a_snapshot_that_is_coming() {
    let (_plane, mut peer, proxy, _) = started(&web(4)).await;
    peer.snapshot(&state(2, 1, &[]), 2, false).await;
    peer.kept_out().await;
    let anew = state(2, 2, &web(5));
    let mut all = pages(&anew, 2, false).into_iter();
    tokio::time::pause();
    only_pings(&mut peer, 3).await;
    peer.send(Down::SnapshotPage(all.next().unwrap())).await;
    only_pings(&mut peer, 3).await;
    tokio::time::resume();
    for page in all {
        peer.send(Down::SnapshotPage(page)).await;
    }
    assert_eq!(peer.kept_out().await, v1::KeptOut::default());
    assert_eq!(peer.ack().await.position, Some(anew.position.into()));
    assert_eq!(proxy.metrics.resyncs.get(), 0);
}

#[tokio::test]
async fn a_delta_that_makes_the_configuration_too_large_changes_nothing() {
    let (_plane, mut peer, proxy, first) = started(&web(4)).await;
    let second = state(1, 2, &web(1_100));
    peer.delta(&first, &second).await;
    let reason = peer.resync().await;
    assert!(reason.contains("--max-snapshot-objects"), "{reason}");
    assert_eq!((proxy.revision(), proxy.backends().len()), (Some(1), 3));
}

#[tokio::test]
async fn nobody_is_connected_before_the_control_plane_said_a_word() {
    let mut plane = ControlPlane::start().await;
    let proxy = Proxy::start(vec![plane.uri()]);
    let (peer, _) = plane.accept().await;
    assert_eq!((proxy.link.borrow().connected_to.clone(), proxy.metrics.connected.get()), (None, 0));
    peer.send(Down::Ping(v1::Ping { sequence: 1 })).await;
    let mut link = proxy.link.clone();
    link.wait_for(|link| link.connected_to.is_some()).await.unwrap();
    assert_eq!(proxy.metrics.connected.get(), 1);
}
