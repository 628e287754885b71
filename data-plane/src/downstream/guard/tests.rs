//! What the bytes of a connection say about it.

use tokio::time::{self, Duration};

use super::*;
use crate::http2::frames::tests::frame;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn began() -> Received {
    let mut received = Received::new(Instant::now());
    received.read(PREFACE);
    received.read(&frame(4, 0, 0, b""));
    received
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_begun_with_its_first_frame() {
    let mut received = Received::new(Instant::now());
    let start = Instant::now();
    time::advance(Duration::from_secs(1)).await;
    received.read(&PREFACE[..10]);
    assert_eq!(received.unfinished, Some(start));
    received.read(&PREFACE[10..]);
    assert_eq!(received.unfinished, Some(start));
    received.read(&frame(4, 0, 0, b""));
    assert_eq!(received.unfinished, None);
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_end_is_noticed_from_its_beginning() {
    let mut received = began();
    let start = Instant::now();
    received.read(&frame(1, 0, 1, b"abc"));
    for _ in 0..10 {
        time::advance(Duration::from_secs(1)).await;
        received.read(&frame(9, 0, 1, b"d"));
    }
    assert_eq!(received.unfinished, Some(start));
    received.read(&frame(9, 4, 1, b"e"));
    assert_eq!(received.unfinished, None);
}

#[tokio::test(start_paused = true)]
async fn frames_that_follow_each_other_never_look_like_one_that_does_not_end() {
    let mut received = began();
    let ping = frame(6, 0, 0, &[0; 8]);
    received.read(&ping[..5]);
    for _ in 0..10 {
        time::advance(Duration::from_secs(1)).await;
        received.read(&ping[5..]);
        received.read(&ping[..5]);
        assert_eq!(received.unfinished, Some(Instant::now()));
    }
}

#[tokio::test(start_paused = true)]
async fn data_may_take_its_time() {
    let mut received = began();
    received.read(&frame(0, 0, 1, b"abc")[..11]);
    assert_eq!(received.unfinished, None);
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_noticed_and_a_trickle_is_not() {
    let ping = frame(6, 0, 0, &[0; 8]);
    let mut trickle = began();
    for _ in 0..10_000 {
        time::advance(Duration::from_millis(11)).await;
        trickle.read(&ping);
    }
    assert!(!trickle.overdrawn);
    let mut flood = began();
    for _ in 0..1_000 {
        flood.read(&ping);
    }
    assert!(flood.overdrawn);
}

#[tokio::test(start_paused = true)]
async fn streams_that_never_become_requests_are_charged_once() {
    let mut received = began();
    for stream in 0..200 {
        received.read(&frame(1, 4, stream * 2 + 1, b"x"));
    }
    for _ in 0..1_000 {
        received.accepted(0);
    }
    assert!(!received.overdrawn, "some may be refused");
    for stream in 200..600 {
        received.read(&frame(1, 4, stream * 2 + 1, b"x"));
        received.accepted(0);
    }
    assert!(received.overdrawn);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_header_is_on_its_way_is_not_refused() {
    let mut received = began();
    for stream in 0..1_000 {
        let id = stream * 2 + 1;
        received.read(&frame(1, 0, id, b"x"));
        received.accepted(stream);
        received.read(&frame(9, 4, id, b"x"));
        received.accepted(stream + 1);
        received.budget.answered();
        time::advance(Duration::from_millis(10)).await;
    }
    assert!(!received.overdrawn);
    assert_eq!(received.refused, 0);
}
