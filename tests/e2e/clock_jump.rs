//! The wall clock jumps, or the control plane is stopped for a while: no lease expires wrongly, and none lives for ever.
//!
//! The clock is libfaketime's (Debian's `faketime`; `tests/conformance/setup` installs it).

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep};
use weir_proto::v1;
use weir_tests::{Api, Backend, Daemons, Heartbeats, Process, Signal, until};

const TTL: Duration = Duration::from_secs(2);
const HOUR: i64 = 3_600;

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_either_way_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = dir.path().join("clock");
    set(&clock, 0);
    let mut command = Process::command("weir-control-plane");
    command.args(["--store", "memory", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.env("LD_PRELOAD", library()).env("FAKETIME_TIMESTAMP_FILE", &clock);
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let control_plane = Process::spawn(command);
    let api = Api::at(control_plane.address("grpc").await);
    api.answers().await;

    let (silent, steady) = (Backend::start("silent").await, Backend::start("steady").await);
    let doomed = api.lease("web", silent.address(), TTL).await.unwrap().lease_id;
    let lease = api.lease("web", steady.address(), TTL).await.unwrap().lease_id;
    let _steady = Heartbeats::start(&api, vec![lease], TTL / 4);
    let heartbeats = Heartbeats::start(&api, vec![doomed], TTL / 4);
    for hours in [0, 1, -1, 1, 0] {
        set(&clock, hours * HOUR);
        let off = wall_clock_of(&api).await;
        assert!((off - hours * HOUR).abs() < 60, "its clock is off by {off} s, not by {hours} h");
        // The lease loop looks ten times a second, and heartbeats come twice as often as this lasts.
        sleep(TTL * 3 / 4).await;
        assert_eq!(states(&api).await, [v1::LeaseState::Live; 2], "{hours} h");
    }

    // And one that falls silent just before a jump goes.
    drop(heartbeats);
    set(&clock, -HOUR);
    let began = Instant::now();
    until("the silent one to expire", async || {
        states(&api).await.contains(&v1::LeaseState::Expired).then_some(())
    })
    .await;
    println!(
        "silent, with a ttl of {TTL:?} and the clock put back by an hour: expired after {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_was_stopped_expires_nobody_that_is_heard_again() {
    let daemons = Daemons::start(0).await;
    let mut leases = Vec::new();
    let backends = [Backend::start("a").await, Backend::start("b").await];
    for backend in &backends {
        leases.push(daemons.api.lease("web", backend.address(), TTL).await.unwrap().lease_id);
    }
    let (silent, steady) = (leases.remove(0), leases);
    let _steady = Heartbeats::start(&daemons.api, steady, TTL / 4);
    let heartbeats = Heartbeats::start(&daemons.api, vec![silent], TTL / 4);
    sleep(TTL / 2).await;

    daemons.control_plane.signal(Signal::STOP);
    sleep(2 * TTL).await;
    daemons.control_plane.signal(Signal::CONT);
    sleep(TTL).await;
    assert_eq!(states(&daemons.api).await, [v1::LeaseState::Live; 2]);
    assert!((daemons.metric("weir_control_plane_live_leases").await - 2.0).abs() < 0.1);

    drop(heartbeats);
    until("the silent one to expire", async || {
        states(&daemons.api).await.contains(&v1::LeaseState::Expired).then_some(())
    })
    .await;
}

/// Puts the clock off by so many seconds.
fn set(clock: &Path, seconds: i64) {
    // Read in one piece: never found half written.
    let next = clock.with_extension("next");
    fs::write(&next, format!("{seconds:+}s\n")).unwrap();
    fs::rename(&next, clock).unwrap();
}

/// How far the control plane's clock is off, as its newest event says.
async fn wall_clock_of(api: &Api) -> i64 {
    let port = fastrand::u16(1_024..);
    let address = std::net::SocketAddr::from(([127, 0, 0, 2], port));
    api.register("clock", address).await.unwrap();
    let request = v1::WatchEventsRequest { past: 1, ..v1::WatchEventsRequest::default() };
    let mut events = api.admin.clone().watch_events(request).await.unwrap().into_inner();
    let event = events.message().await.unwrap().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    event.time.unwrap().seconds - i64::try_from(now).unwrap()
}

async fn states(api: &Api) -> Vec<v1::LeaseState> {
    api.backends("web").await.unwrap().iter().map(v1::Backend::lease_state).collect()
}

fn library() -> PathBuf {
    let places = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let found = places.map(|place| place.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists());
    found.expect("libfaketime: run tests/conformance/setup, or install Debian's faketime")
}
