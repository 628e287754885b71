//! States that do not follow from what the proxy has: they are kept out, said, and never joined by number alone.

use super::*;

/// The answer to a ping shows that everything before it was judged.
async fn judged(peer: &mut Peer) {
    peer.send(Down::Ping(v1::Ping { sequence: 9 })).await;
    assert_eq!(peer.answer().await, Some(Up::Pong(v1::Pong { sequence: 9 })), "nothing was acknowledged");
}

async fn send_pages(peer: &Peer, state: &State, change: impl Fn(&mut v1::SnapshotPage)) {
    for mut page in pages(state, 2, false) {
        change(&mut page);
        peer.send(Down::SnapshotPage(page)).await;
    }
}

#[tokio::test]
async fn the_same_revision_with_other_content_leads_to_resync_and_never_to_a_swap() {
    let (mut plane, mut peer, proxy, first) = started(&web(4)).await;
    let other = state(1, 1, &web(3));
    peer.snapshot(&other, 2, false).await;
    assert_eq!(peer.kept_out().await.reason(), v1::KeptOutReason::Fork);
    assert!(peer.resync().await.contains("is offered, here it has"));
    // Once more, and the stream ends.
    peer.snapshot(&other, 2, false).await;
    let (_peer, hello) = plane.accept().await;
    assert_eq!(hello.position, Some(first.position.into()));
    assert_eq!((proxy.revision(), proxy.backends().len()), (Some(1), 3));
    assert!(proxy.link.borrow().last_failure.is_some(), "it backs off");
}

#[tokio::test]
async fn a_delta_from_another_digest_is_kept_out_and_its_history_not_joined_when_the_numbers_catch_up() {
    let (_plane, mut peer, proxy, first) = started(&web(4)).await;
    let (elsewhere, later) = (state(1, 1, &web(3)), state(1, 2, &web(5)));
    peer.delta(&elsewhere, &later).await;
    let said = peer.kept_out().await;
    assert_eq!((said.reason(), said.offered), (v1::KeptOutReason::Fork, Some(later.position.into())));
    judged(&mut peer).await;
    // A later snapshot that does not say what it follows from is of that history too.
    peer.snapshot(&state(1, 3, &web(6)), 2, false).await;
    peer.kept_out().await;
    judged(&mut peer).await;
    assert_eq!((proxy.revision(), proxy.backends().len()), (Some(1), 3));
    // One that follows from what is in force is welcome, and so is a new epoch.
    let next = state(1, 4, &web(2));
    peer.delta(&first, &next).await;
    assert_eq!(peer.kept_out().await, v1::KeptOut::default());
    assert_eq!(peer.ack().await.position, Some(next.position.into()));
}

#[tokio::test]
async fn an_older_state_is_said_to_be_kept_out_and_its_history_is_left_by_a_new_epoch_only() {
    let (mut plane, mut peer, proxy, first) = started(&web(4)).await;
    let second = state(1, 5, &web(3));
    peer.delta(&first, &second).await;
    peer.ack().await;
    peer.snapshot(&state(1, 3, &web(4)), 2, false).await;
    let (mut peer, _) = plane.accept().await;
    // The numbers have caught up.
    peer.snapshot(&state(1, 6, &web(9)), 2, false).await;
    assert_eq!(peer.kept_out().await.reason(), v1::KeptOutReason::Fork);
    judged(&mut peer).await;
    assert_eq!(proxy.revision(), Some(5));
    let anew = state(2, 7, &web(9));
    peer.snapshot(&anew, 4, false).await;
    assert_eq!(peer.kept_out().await, v1::KeptOut::default());
    assert_eq!(peer.ack().await.position, Some(anew.position.into()));
}

#[tokio::test]
async fn most_backends_go_by_a_snapshot_only_if_their_removal_is_known_or_accepted() {
    let (_plane, mut peer, proxy, first) = started(&web(5)).await;
    let fewer = state(1, 2, &web(2));
    peer.snapshot(&fewer, 2, false).await;
    let said = peer.kept_out().await;
    assert_eq!((said.reason(), said.backends, said.backends_in_force), (v1::KeptOutReason::Shrinks, 1, 4));
    judged(&mut peer).await;
    assert_eq!(proxy.backends().len(), 4);
    // The control plane knows what this proxy has, and all removals since.
    send_pages(&peer, &fewer, |page| page.removals_from = first.position.digest.0).await;
    peer.kept_out().await;
    assert_eq!(peer.ack().await.position, Some(fewer.position.into()));

    let many = state(1, 3, &web(9));
    peer.delta(&fewer, &many).await;
    peer.ack().await;
    let none = state(1, 4, &web(1));
    send_pages(&peer, &none, |page| page.accepted_revision = 3).await;
    peer.kept_out().await;
    judged(&mut peer).await;
    assert_eq!(proxy.backends().len(), 8, "what was accepted is older than what the proxy has");
    send_pages(&peer, &none, |page| page.accepted_revision = 4).await;
    peer.kept_out().await;
    assert_eq!(peer.ack().await.position, Some(none.position.into()));
}

#[tokio::test]
async fn a_delta_may_remove_everything() {
    let (_plane, mut peer, proxy, first) = started(&web(5)).await;
    let none = state(1, 2, &web(1));
    peer.delta(&first, &none).await;
    assert_eq!(peer.ack().await.position, Some(none.position.into()));
    assert!(proxy.backends().is_empty());
}
