//! `weir drain --wait`: to the end, or a word of what stays.

use std::{
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tonic::Status;
use weir_proto::v1::{self, DrainPhase};

use crate::fake::{Fake, Listening, Step};

const DRAIN: [&str; 3] = ["drain", "web/a", "--wait"];

type Streams = Vec<Result<Vec<Step<v1::DrainProgress>>, Status>>;

/// Tells of drains in these streams, one after the other.
async fn draining(streams: Streams) -> Listening {
    let asked = AtomicUsize::new(0);
    let drain = move |request: v1::DrainRequest| {
        assert_eq!(request.backend, "web/a");
        let n = asked.fetch_add(1, Ordering::SeqCst);
        streams.get(n).cloned().unwrap_or_else(|| Err(Status::internal("asked too often")))
    };
    Fake::default().on(drain).listen().await
}

fn progress(phase: DrainPhase, in_flight: u64, waiting_for: &[&str]) -> Step<v1::DrainProgress> {
    Step::Say(v1::DrainProgress {
        phase: phase as i32,
        revision: 9,
        live_proxies: 2,
        acknowledged_proxies: 1,
        in_flight,
        waiting_for: waiting_for.iter().map(|id| (*id).to_owned()).collect(),
    })
}

fn acknowledging() -> Step<v1::DrainProgress> {
    progress(DrainPhase::Acknowledging, 0, &["edge-2"])
}

#[tokio::test]
async fn it_tells_how_far_it_is_and_ends_when_the_backend_is_removed() {
    let steps =
        vec![acknowledging(), progress(DrainPhase::Finishing, 3, &[]), progress(DrainPhase::Removed, 0, &[])];
    let fake = draining(vec![Ok(steps)]).await;
    let ended = fake.weir(&DRAIN).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "removed web/a in revision 9\n"));
    assert_eq!(
        ended.stderr,
        "weir: web/a is draining: 1 of 2 proxies have acknowledged, waiting for edge-2\n\
         weir: web/a: 3 requests in flight\n"
    );
}

#[tokio::test]
async fn the_drain_gets_the_time_that_the_command_has() {
    let drain = |request: v1::DrainRequest| match request.timeout {
        Some(time) if (170..=180).contains(&time.seconds) => Ok(vec![progress(DrainPhase::Removed, 0, &[])]),
        other => Err(Status::internal(format!("{other:?}"))),
    };
    let fake = Fake::default().on(drain).listen().await;
    let (code, value) = fake.json(&["drain", "web/a", "--wait", "--timeout", "3m"]).await;
    assert_eq!((code, value), (Some(0), json!({ "backend": "web/a", "removed": true, "revision": 9 })));
}

#[tokio::test]
async fn proxies_that_do_not_answer_are_named_with_the_ways_on() {
    let late = Status::deadline_exceeded("these proxies did not answer: edge-2");
    let fake = draining(vec![Ok(vec![acknowledging(), Step::Fail(late)])]).await;
    let ended = fake.weir(&DRAIN).await;
    assert_eq!(ended.code, Some(4));
    let last = ended.stderr.lines().last().expect("a line");
    assert!(last.starts_with("weir: these proxies did not answer: edge-2;"), "{last}");
    assert!(
        last.ends_with("web/a stays draining: repeat the command, or `weir backend enable web/a`"),
        "{last}"
    );
}

#[tokio::test]
async fn who_enables_it_meanwhile_wins() {
    let enabled = Status::failed_precondition("web/a was enabled; it is not removed");
    let fake = draining(vec![Ok(vec![acknowledging(), Step::Fail(enabled)])]).await;
    let ended = fake.weir(&DRAIN).await;
    assert_eq!(ended.code, Some(8));
    assert!(ended.stderr.ends_with("weir: web/a was enabled; it is not removed\n"), "{ended:?}");
}

#[tokio::test]
async fn it_asks_again_when_the_control_plane_goes_away_meanwhile() {
    let away = || Status::unavailable("stopping");
    let fake = draining(vec![
        Ok(vec![acknowledging(), Step::Fail(away())]),
        Err(away()),
        Ok(vec![acknowledging()]),
        Ok(vec![progress(DrainPhase::Removed, 0, &[])]),
    ])
    .await;
    let ended = fake.weir(&DRAIN).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "removed web/a in revision 9\n"), "{ended:?}");
}

#[tokio::test]
async fn one_that_was_removed_while_nobody_listened_is_removed() {
    let gone = || Status::not_found("there is no backend web/a");
    let fake = draining(vec![Ok(vec![acknowledging()]), Err(gone())]).await;
    let (code, value) = fake.json(&DRAIN).await;
    assert_eq!((code, value), (Some(0), json!({ "backend": "web/a", "removed": true, "revision": null })));
    let fake = draining(vec![Err(gone())]).await;
    assert_eq!(fake.weir(&DRAIN).await.code, Some(7));
}

#[tokio::test]
async fn an_interrupt_leaves_it_draining_and_says_how_to_undo_that() {
    let fake = draining(vec![Ok(vec![acknowledging(), Step::Hang])]).await;
    let mut child = fake.command(&DRAIN).stdout(Stdio::null()).spawn().expect("weir runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut text = String::new();
    stderr.read_line(&mut text).await.expect("a line");
    let id = child.id().expect("it runs").to_string();
    let kill = std::process::Command::new("kill").args(["-INT", &id]).status().expect("kill runs");
    assert!(kill.success());
    stderr.read_to_string(&mut text).await.expect("the rest");
    assert_eq!(child.wait().await.expect("weir ends").code(), Some(1));
    let line = "weir: interrupted: web/a stays draining and is not removed; repeat the command, or `weir backend \
                enable web/a`\n";
    assert!(text.ends_with(line), "{text}");
}

#[tokio::test]
async fn without_waiting_it_only_begins() {
    let set = |request: v1::SetOperatorStateRequest| {
        assert_eq!(request.state(), v1::OperatorState::Draining);
        Ok(v1::SetOperatorStateResponse { revision: 4, backend: None })
    };
    let fake = Fake::default().on(set).listen().await;
    let ended = fake.weir(&DRAIN[..2]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "web/a is draining, as of revision 4\n"));
}
