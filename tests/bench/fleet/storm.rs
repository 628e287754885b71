//! The control plane killed and started again under the whole fleet: everybody comes back at once.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    Size,
    agents::Agents,
    crowd::{Claim, Crowd},
    operators::Operators,
    plane::Plane,
    real::Real,
    report::{at_most, exactly, figure, millis, part},
};

const TTL: Duration = Duration::from_secs(15);
const BATCH: usize = 5_000;
const PERIOD: Duration = Duration::from_secs(5);
const PARTS: usize = 10;
const REAL: usize = 3;
/// How long operators go on calling; every lease would have expired in this time.
const CALLING: Duration = Duration::from_secs(30);
/// Everybody is back by then, or never.
const MOST: Duration = Duration::from_mins(3);
/// Between death and start: the fleet has noticed.
const DEAD: Duration = Duration::from_millis(500);

pub(crate) async fn run(size: &Size) {
    let mut plane = Plane::start().await;
    let mut agents = Agents::new(plane.grpc, size.services, size.backends, TTL);
    agents.beat(BATCH, PERIOD, PARTS);
    agents.register(size.backends).await;
    let real = Real::start(plane.grpc, REAL).await;
    let mut crowd = Crowd::new(plane.grpc, size.proxies - REAL, None);
    crowd.connect().await;
    Operators::prepare(&plane.api()).await;

    part("before: operators while nothing else happens");
    let operators = Operators::start(plane.grpc);
    sleep(CALLING / 2).await;
    operators.report();

    let variants = [
        (Claim::Truth, "killed: every proxy knows what it has"),
        (Claim::OtherEpoch, "killed: every light proxy has something of another epoch"),
        (Claim::Nothing, "killed: every light proxy has nothing"),
    ];
    for (claim, what) in variants {
        part(what);
        once(&mut plane, &agents, &crowd, &real, claim).await;
    }
}

async fn once(plane: &mut Plane, agents: &Agents, crowd: &Crowd, real: &[Real], claim: Claim) {
    let backends = agents.members().len() as u64;
    let counts = crowd.counts();
    let watched = [
        ("states that began a stream: deltas", &counts.resumed_by_delta),
        ("states that began a stream: snapshots", &counts.resumed_by_snapshot),
        ("proxies that were told to come later", &counts.put_off),
        ("streams and attempts that failed", &counts.lost_streams),
        ("wrong digests", &counts.wrong_digests),
        ("agents' streams and attempts that failed", &agents.counts().lost_streams),
        ("leases that were unknown", &agents.counts().unknown),
    ];
    let before: Vec<u64> = watched.iter().map(|(_, count)| read(count)).collect();
    crowd.claim(claim);
    plane.kill().await;
    sleep(DEAD).await;

    let started = Instant::now();
    let start = plane.restart().await;
    let (operators, usage) = (Operators::start(plane.grpc), plane.measured());
    at_most(format!("start with {backends} backends, until ready"), millis(start), "ms", 1_000.0);
    let ready = Instant::now();
    match crowd.all_up_since(started, MOST).await {
        Some(after) if claim == Claim::Truth => {
            at_most("all light proxies resumed, after the start", after.as_secs_f64(), "s", 10.0);
        }
        Some(after) => figure(
            "all light proxies resumed, after the start",
            format!("{:.1} s (they check, but keep nothing)", after.as_secs_f64()),
        ),
        None => figure(
            "all light proxies resumed",
            format!("only {} of {} after {MOST:?}: MISSED", crowd.up_since(started), crowd.len()),
        ),
    }
    figure("the control plane's CPU until then", format!("{:.1} s", usage.cpu().as_secs_f64()));
    crowd.claim(Claim::Truth);
    sleep(CALLING.saturating_sub(ready.elapsed())).await;
    operators.report();
    let connected = plane.status().await.map_or(0, |status| status.connected_proxies);
    exactly("proxies connected then", connected, (crowd.len() + real.len()) as u64);
    for ((what, count), before) in watched.iter().zip(before) {
        figure(what, read(count) - before);
    }
    let live = plane.status().await.map_or(0, |status| status.live_leases);
    exactly("live leases then", live, backends);
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Relaxed)
}
