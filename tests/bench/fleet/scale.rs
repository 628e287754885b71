//! A hundred thousand backends with leases and a thousand proxies: what heartbeats, memory and changes cost.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::sleep;

use crate::{
    Size,
    agents::Agents,
    change,
    crowd::Crowd,
    measured::{Measured, mebibytes, resident},
    plane::Plane,
    real::Real,
    report::{at_most, each, exactly, figure, millis, number, part, times},
};

const TTL: Duration = Duration::from_secs(15);
/// Leases on one stream: ten messages spread over each period.
const BATCH: usize = 5_000;
const PERIOD: Duration = Duration::from_secs(5);
const PARTS: usize = 10;
const REAL: usize = 3;
/// The light proxies that are there while the cost of one change is compared.
const FEW: usize = 50;
/// Until memory and connections have come to rest.
const SETTLE: Duration = Duration::from_secs(5);
const LATENCY: Duration = Duration::from_millis(250);

pub(crate) async fn run(size: &Size) {
    let plane = Plane::start().await;
    let real = Real::start(plane.grpc, REAL).await;
    let mut few = Crowd::new(plane.grpc, FEW, None);
    few.connect().await;
    sleep(SETTLE).await;
    let empty = resident(plane.pid());
    figure("memory of an empty control plane with few proxies", format!("{:.1} MiB", mebibytes(empty)));

    let mut agents = Agents::new(plane.grpc, size.services, size.backends, TTL);
    agents.beat(BATCH, PERIOD, PARTS);
    for count in [size.backends / 100, size.backends / 10, size.backends] {
        grow(&plane, &real, &few, &agents, count).await;
        one_change(&plane, &few, &real[0], size).await;
    }
    drop(few);
    sleep(SETTLE).await;
    let full = resident(plane.pid());
    figure("memory with all backends", format!("{:.1} MiB", mebibytes(full)));
    let each_backend = each(full.saturating_sub(empty), size.backends);
    at_most("memory for each backend (resident, full less empty)", each_backend, "B", 1_000.0);
    figure(
        "memory of a real proxy with all backends",
        format!("{:.1} MiB", mebibytes(resident(real[0].pid()))),
    );

    part(format!("heartbeats of {} leases every {PERIOD:?}, no changes", size.backends));
    heartbeats(&plane, &agents, size, "with the real proxies only").await;

    let mut crowd = Crowd::new(plane.grpc, size.proxies - REAL, None);
    crowd.connect().await;
    part(format!("{} light proxies, a connection each, and {REAL} real ones", crowd.len()));
    sleep(SETTLE).await;
    let more = resident(plane.pid()).saturating_sub(full);
    figure("memory for each light proxy", format!("{:.1} KiB", each(more, crowd.len()) / 1_024.0));
    heartbeats(&plane, &agents, size, "with all proxies connected (they report every 5 s)").await;
    fan_out(&plane, &crowd, size).await;
    exactly("leases lost on the way", agents.counts().unknown.load(Relaxed), 0);
    exactly("wrong digests", crowd.counts().wrong_digests.load(Relaxed), 0);
}

/// Registers up to so many.
async fn grow(plane: &Plane, real: &[Real], few: &Crowd, agents: &Agents, count: usize) {
    let before = plane.status().await.expect("a status").backends;
    let usage = plane.measured();
    let took = agents.register(count).await;
    let made = u64::try_from(count).unwrap_or(u64::MAX).saturating_sub(before);
    part(format!("{count} backends"));
    figure(
        format!("registration of {made}"),
        format!(
            "{:.0} a second; {:.0} µs of the control plane's CPU each",
            number(made) / took.as_secs_f64(),
            usage.cpu().as_secs_f64() * 1e6 / number(made.max(1))
        ),
    );
    let revision = plane.status().await.expect("a status").revision;
    let most = Duration::from_mins(2);
    let (light, real) = (few.all_acked(revision, most).await, Real::all_have(real, revision, most).await);
    if light.is_none() || real.is_none() {
        figure("proxies that follow", "not all, after two minutes");
    }
}

/// What one change costs while everything else stays as it is.
async fn one_change(plane: &Plane, few: &Crowd, real: &Real, size: &Size) {
    sleep(SETTLE).await;
    // What heartbeats and reports cost by themselves is not the change's.
    let (plane_usage, real_usage) = (plane.measured(), real.measured());
    sleep(SETTLE).await;
    let idle = (plane_usage.percent() / 100.0, real_usage.percent() / 100.0);

    let before = few.counts().delta_bytes.load(Relaxed);
    let (plane_usage, real_usage, began) = (plane.measured(), real.measured(), tokio::time::Instant::now());
    let outcome = change::run(&plane.api(), few, None, size.changes).await;
    let wall = began.elapsed().as_secs_f64();
    let count = number(size.changes as u64);
    let cost = |used: Duration, idle: f64| (used.as_secs_f64() - idle * wall) * 1e3 / count;
    let bytes = few.counts().delta_bytes.load(Relaxed) - before;
    figure(
        format!("one change, to {} light proxies and {REAL} real ones", few.len()),
        format!(
            "{:.2} ms of the control plane's CPU, {:.2} ms of a real proxy's (less what is used anyway), {:.0} B to \
             each proxy",
            cost(plane_usage.cpu(), idle.0),
            cost(real_usage.cpu(), idle.1),
            each(bytes, few.len() * size.changes)
        ),
    );
    times("one change until all light ones acknowledged", &outcome.acknowledged, None);
}

async fn heartbeats(plane: &Plane, agents: &Agents, size: &Size, how: &str) {
    let (usage, before) = (plane.measured(), agents.counts().renewed.load(Relaxed));
    sleep(size.quiet).await;
    let renewed = agents.counts().renewed.load(Relaxed) - before;
    figure(
        format!("heartbeats answered, {how}"),
        format!("{:.0} a second", number(renewed) / size.quiet.as_secs_f64()),
    );
    at_most("the control plane's CPU, of one core", usage.percent(), "%", 50.0);
}

async fn fan_out(plane: &Plane, crowd: &Crowd, size: &Size) {
    part(format!("{} changes, one after the other, under heartbeats", size.changes));
    let (before, usage, own) =
        (crowd.counts().delta_bytes.load(Relaxed), plane.measured(), Measured::from_now(std::process::id()));
    let outcome = change::run(&plane.api(), crowd, None, size.changes).await;
    let each_change = |usage: &Measured| millis(usage.cpu()) / number(size.changes as u64);
    figure(
        "CPU for each, heartbeats included",
        format!(
            "{:.0} ms of the control plane, {:.0} ms here, for the fleet",
            each_change(&usage),
            each_change(&own)
        ),
    );
    times("from the call to the last light proxy's acknowledgement", &outcome.acknowledged, Some(LATENCY));
    figure("the quickest change", format!("{:.2} ms", quickest(&outcome.acknowledged)));
    let bytes = crowd.counts().delta_bytes.load(Relaxed) - before;
    let each = each(bytes, crowd.len() * size.changes);
    at_most("bytes for each change and proxy (encoded messages)", each, "B", 1_000.0);
    let asked = change::run(&plane.api(), crowd, Some(size.proxies), size.changes).await;
    times("as the control plane says, of all proxies", &asked.settled, Some(LATENCY));
    exactly("changes that did not arrive everywhere", outcome.lost + asked.lost, 0);
}

fn quickest(times: &[Duration]) -> f64 {
    times.iter().min().copied().map_or(0.0, millis)
}
