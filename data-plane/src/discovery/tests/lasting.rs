//! Streams that begin well and do not last: they are opened ever later.

use super::*;

/// How long the proxy waits in all between so many streams, each of which begins well and ends by `end`.
async fn waits(count: usize, end: impl AsyncFn(&mut Peer)) -> Duration {
    let (mut plane, mut peer, _proxy, first) = started(&web(2)).await;
    let mut waits = Duration::ZERO;
    for _ in 0..count {
        // Only while nobody waits for the workers, whose threads know no stopped clock.
        tokio::time::pause();
        end(&mut peer).await;
        drop(peer);
        let before = Instant::now();
        (peer, _) = plane.accept().await;
        waits += before.elapsed();
        tokio::time::resume();
        peer.delta(&first, &first).await;
        peer.ack().await;
    }
    waits
}

/// Without a time to come back at.
async fn go_away(peer: &mut Peer) {
    peer.send(Down::GoAway(v1::GoAway::default())).await;
}

#[tokio::test]
async fn streams_that_begin_well_and_are_sent_away_at_once_are_opened_ever_later() {
    let time = waits(16, go_away).await;
    // From the seventh on up to 10 s each, and half of that on average.
    assert!(time > Duration::from_secs(10), "16 waits of {time:?} in all");
}

#[tokio::test]
async fn streams_that_begin_well_and_break_are_opened_ever_later() {
    let time = waits(16, async |_| ()).await;
    assert!(time > Duration::from_secs(10), "16 waits of {time:?} in all");
}

#[tokio::test]
async fn a_stream_that_lasted_is_followed_by_another_one_at_once() {
    let time = waits(16, async |peer| {
        for sequence in 0..3 {
            tokio::time::sleep(Duration::from_secs(11)).await;
            peer.send(Down::Ping(v1::Ping { sequence })).await;
            assert!(matches!(peer.answer().await, Some(Up::Pong(_))));
        }
        go_away(peer).await;
    })
    .await;
    assert!(time < Duration::from_millis(210) * 16, "16 waits of {time:?} in all");
}
