//! A million leases, held by agents that renew ten thousand with each message.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::sleep;

use crate::{
    Size,
    agents::Agents,
    measured::{mebibytes, resident},
    plane::Plane,
    report::{each, exactly, figure, number},
};

const TTL: Duration = Duration::from_mins(1);
/// As Register says: a third of the ttl.
const PERIOD: Duration = Duration::from_secs(20);
/// The most that one message may name.
const BATCH: usize = 10_000;
/// Leases for each backend of the scale.
const TIMES: usize = 10;
const SETTLE: Duration = Duration::from_secs(10);

pub(crate) async fn run(size: &Size) {
    let count = size.backends * TIMES;
    let plane = Plane::start().await;
    let empty = resident(plane.pid());
    let mut agents = Agents::new(plane.grpc, size.services, count, TTL);
    agents.beat(BATCH, PERIOD, 1);
    let usage = plane.measured();
    let took = agents.register(count).await;
    figure(
        format!("registration of {count} leases"),
        format!(
            "{:.0} a second; {:.0} µs of the control plane's CPU each",
            number(count as u64) / took.as_secs_f64(),
            usage.cpu().as_secs_f64() * 1e6 / number(count as u64)
        ),
    );
    sleep(SETTLE).await;
    let full = resident(plane.pid());
    figure("memory with all leases", format!("{:.1} MiB", mebibytes(full)));
    let each_lease = each(full.saturating_sub(empty), count);
    figure("memory for each, backend and all (resident)", format!("{each_lease:.0} B"));

    let (usage, before) = (plane.measured(), agents.counts().renewed.load(Relaxed));
    let quiet = TTL.max(size.quiet * 5);
    sleep(quiet).await;
    let renewed = agents.counts().renewed.load(Relaxed) - before;
    figure("heartbeats answered", format!("{:.0} a second", number(renewed) / quiet.as_secs_f64()));
    figure("the control plane's CPU for them, of one core", format!("{:.1} %", usage.percent()));
    let status = plane.status().await.expect("a status");
    exactly("live leases at the end", status.live_leases, count as u64);
    exactly("leases lost on the way", agents.counts().unknown.load(Relaxed), 0);
}
